# SPDX-License-Identifier: MIT
# Host tests of images of domains and of page tables' rewriting.
#   host-save-test        unit tests under sanitizers; memory and kills without them
#   host-save-fuzz-short  half a minute of the reader's fuzzer; host-save-fuzz: FUZZ_SECONDS (needs clang)

HOST_SAVE       := $(or $(HOST_BUILD),build/host)/save
HOST_CC         ?= gcc
FUZZ_CC         ?= clang
FUZZ_SECONDS    ?= 3600
HOST_SAVE_PLAIN := -std=gnu11 -D_GNU_SOURCE -g -Wall -Wextra -Werror $(IMAGE_FLAGS) -Itools -Itests/host/boot -Itests/host/save
HOST_SAVE_FLAGS := $(HOST_SAVE_PLAIN) -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
HOST_SAVE_DEPS  := $(IMAGE_HEADERS) $(wildcard tests/host/save/*.h) tests/host/save/rules.mk
HOST_SAVE_LIB   := $(IMAGE_SOURCES) $(addprefix tools/libpal/,error.c terminal.c)
HOST_SAVE_TESTS := $(addprefix $(HOST_SAVE)/test_,rewrite sums image damage)
HOST_SAVE_FAST  := $(addprefix $(HOST_SAVE)/test_,output memory)

.PHONY: host-save-test host-save-fuzz-short host-save-fuzz
host-save-test: $(HOST_SAVE_TESTS) $(HOST_SAVE_FAST) $(HOST_SAVE)/test_frames $(HOST_SAVE)/test_format
	@tests/host/run.sh $(HOST_SAVE) $^

$(HOST_SAVE)/%.san.o: %.c $(HOST_SAVE_DEPS)
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_SAVE_FLAGS) -c -o $@ $<
$(HOST_SAVE)/%.o: %.c $(HOST_SAVE_DEPS)
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_SAVE_PLAIN) -O2 -c -o $@ $<
$(HOST_SAVE_TESTS): $(HOST_SAVE)/test_%: $(HOST_SAVE)/tests/host/save/test_%.san.o \
		$(patsubst %.c,$(HOST_SAVE)/%.san.o,$(HOST_SAVE_LIB) tests/host/save/world.c)
	$(HOST_CC) $(HOST_SAVE_FLAGS) $^ -lcmocka $(IMAGE_LIBS) -o $@
# What goes wrong outside is put in place of these.
HOST_SAVE_WRAP := -Wl,--wrap=writev,--wrap=fsync,--wrap=renameat,--wrap=linkat,--wrap=openat
$(HOST_SAVE)/test_output: HOST_SAVE_MORE := $(HOST_SAVE_WRAP)
$(HOST_SAVE_FAST): $(HOST_SAVE)/test_%: $(HOST_SAVE)/tests/host/save/test_%.o \
		$(patsubst %.c,$(HOST_SAVE)/%.o,$(HOST_SAVE_LIB) tests/host/save/world.c)
	$(HOST_CC) $(HOST_SAVE_PLAIN) $(HOST_SAVE_MORE) $^ -lcmocka $(IMAGE_LIBS) -o $@

# The engine's lists; the test stands in for the hypervisor.
$(HOST_SAVE)/test_frames: tests/host/save/test_frames.c save-restore/engine/frames.c tools/libpal/error.c tools/libpal/terminal.c \
		$(HOST_SAVE_DEPS) save-restore/engine/frames.h
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_SAVE_PLAIN) -D__XEN_TOOLS__ -Ihv/include -O2 $(filter %.c,$^) -lcmocka -o $@

# The fuzzer is one compilation of everything, for its coverage counters.
$(HOST_SAVE)/fuzz_image: tests/host/save/fuzz_image.c $(HOST_SAVE_LIB) $(HOST_SAVE_DEPS)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(HOST_SAVE_FLAGS) -fsanitize=fuzzer $(filter %.c,$^) $(IMAGE_LIBS) -o $@
$(HOST_SAVE)/make_corpus: $(patsubst %.c,$(HOST_SAVE)/%.o,$(HOST_SAVE_LIB) $(addprefix tests/host/save/,make_corpus.c world.c))
	$(HOST_CC) $(HOST_SAVE_PLAIN) $^ -lcmocka $(IMAGE_LIBS) -o $@
$(HOST_SAVE)/corpus/.made: $(HOST_SAVE)/make_corpus
	@mkdir -p $(@D)
	$< $(@D)
	@touch $@
# The second reader, with something to read.
$(HOST_SAVE)/test_format: $(HOST_SAVE)/make_corpus tests/host/save/read_image.py
	@mkdir -p $(HOST_SAVE)/plain
	$< $(HOST_SAVE)/plain plain
	@printf '#!/bin/sh\nexec %s %s\n' $(abspath tests/host/save/read_image.py) \
	    "$(foreach n,0 1 2 3 4 5 6 7 8,$(abspath $(HOST_SAVE))/plain/image-$n $(abspath $(HOST_SAVE))/plain/memory-$n)" >$@
	@chmod +x $@
HOST_SAVE_FUZZ = cd $(HOST_SAVE) && ./fuzz_image -max_len=65536 -verbosity=0 -print_final_stats=1 \
	-rss_limit_mb=1024 -timeout=20
host-save-fuzz-short: $(HOST_SAVE)/fuzz_image $(HOST_SAVE)/corpus/.made
	$(HOST_SAVE_FUZZ) -seed=1 -max_total_time=30 corpus
host-save-fuzz: $(HOST_SAVE)/fuzz_image $(HOST_SAVE)/corpus/.made
	$(HOST_SAVE_FUZZ) -max_total_time=$(FUZZ_SECONDS) corpus

# Sizes and rates of real memory dumps (see the file); static, to be run anywhere.
$(HOST_SAVE)/measure: $(patsubst %.c,$(HOST_SAVE)/%.o,$(HOST_SAVE_LIB) tests/host/save/measure.c)
	$(HOST_CC) -static $^ -llz4 -lz -pthread -o $@
