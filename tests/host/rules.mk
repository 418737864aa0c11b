# SPDX-License-Identifier: MIT
# Host tests of mm/: unit tests, races, the exhaustive search of the role word, fuzzing.
#   host-test        build and run all but the fuzzing under sanitizers
#   host-fuzz-short  half a minute of fuzzing; fuzz: FUZZ_SECONDS (default an hour)
# HOST_CC may be gcc or clang; fuzzing needs clang.

HOST_BUILD ?= build/host
HOST_CC ?= gcc
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 3600

HOST_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
HOST_CFLAGS := -std=gnu11 -g -O1 -fno-omit-frame-pointer -DPAL_DEBUG -Wall -Wextra -Werror \
	-Ihv/include -Imm/include -MMD -MP
HOST_MM := $(notdir $(wildcard mm/*.c))
HOST_UNIT := frame palloc heap ptype validate update ext reserve exchange desc domain audit grant region bufcache
HOST_RACE := races grant_races region_races bufcache_races
HOST_BIN := $(HOST_UNIT:%=$(HOST_BUILD)/test_%) $(HOST_RACE:%=$(HOST_BUILD)/test_%) \
	$(HOST_BUILD)/model_role

.PHONY: host-test host-fuzz-short fuzz

host-test: $(HOST_BIN)
	@tests/host/run.sh $(HOST_BUILD) $^

# mm/ in two builds: as it is, and with a switching point before every atomic access.
$(HOST_BUILD)/plain/%.o: mm/%.c
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) $(HOST_SAN) -c $< -o $@
$(HOST_BUILD)/yield/%.o: mm/%.c
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) $(HOST_SAN) -include tests/host/yield_atomics.h -c $< -o $@
$(HOST_BUILD)/%.o: tests/host/mm/%.c
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) $(HOST_SAN) -c $< -o $@
$(HOST_BUILD)/fake_env.o: tests/host/fake_env.c
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) $(HOST_SAN) -c $< -o $@

$(HOST_UNIT:%=$(HOST_BUILD)/test_%): $(HOST_BUILD)/test_%: $(HOST_BUILD)/test_%.o \
		$(HOST_BUILD)/fake_env.o $(HOST_MM:%.c=$(HOST_BUILD)/plain/%.o)
	$(HOST_CC) $(HOST_SAN) $^ -lcmocka -o $@
$(HOST_RACE:%=$(HOST_BUILD)/test_%): $(HOST_BUILD)/test_%: $(HOST_BUILD)/test_%.o \
		$(HOST_BUILD)/play.o $(HOST_BUILD)/fake_env.o $(HOST_MM:%.c=$(HOST_BUILD)/yield/%.o)
	$(HOST_CC) $(HOST_SAN) $^ -lcmocka -o $@
$(HOST_BUILD)/model_role: $(HOST_BUILD)/model_role.o $(HOST_BUILD)/fake_env.o \
		$(HOST_MM:%.c=$(HOST_BUILD)/plain/%.o)
	$(HOST_CC) $(HOST_SAN) $^ -o $@

# The fuzzer is one compilation of everything: its coverage counters belong into all of mm/.
$(HOST_BUILD)/fuzz_mm: $(wildcard mm/*.c mm/*.h mm/include/mm/*.h tests/host/*.[ch] tests/host/mm/*.[ch])
	@mkdir -p $(@D)
	$(FUZZ_CC) $(filter-out -MMD -MP,$(HOST_CFLAGS)) $(HOST_SAN) -fsanitize=fuzzer \
	  -include tests/host/yield_atomics.h tests/host/fake_env.c tests/host/mm/play.c \
	  tests/host/mm/fuzz_mm.c $(wildcard mm/*.c) -o $@

HOST_FUZZ = mkdir -p $(HOST_BUILD)/corpus && cd $(HOST_BUILD) && \
	./fuzz_mm -max_len=1200 -len_control=10 -print_final_stats=1 -verbosity=0

host-fuzz-short: $(HOST_BUILD)/fuzz_mm
	$(HOST_FUZZ) -seed=1 -max_total_time=30 corpus >fuzz-short.log 2>&1 || { tail -40 fuzz-short.log; exit 1; }
fuzz: $(HOST_BUILD)/fuzz_mm
	$(HOST_FUZZ) -max_total_time=$(FUZZ_SECONDS) corpus

-include $(wildcard $(HOST_BUILD)/*.d $(HOST_BUILD)/*/*.d)
