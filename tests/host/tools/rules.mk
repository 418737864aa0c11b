# SPDX-License-Identifier: MIT
# Host tests of the tools: domain files, guards' rules, the cache of unpacked kernels, progress.
#   host-tools-test        unit tests under sanitizers
#   host-tools-fuzz-short  half a minute of the fuzzer of domain files (needs clang)

HOST_TOOLS       := $(or $(HOST_BUILD),build/host)/tools
HOST_TOOLS_FLAGS := -std=gnu11 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -Wall -Wextra -Werror \
	-fsanitize=address,undefined -fno-sanitize-recover=all -D__XEN_TOOLS__ -Itools -Ihv/include -Ihv/boot \
	-Itests/host/boot $(TOOLS_XML)
HOST_TOOLS_CONFIG := $(addprefix tools/libpal/,config.c config_xml.c config_tree.c libxml.c address.c error.c terminal.c schema.S)

.PHONY: host-tools-test host-tools-fuzz-short
HOST_TOOLS_TESTS := $(addprefix $(HOST_TOOLS)/,test_config test_guard test_cache test_progress test_room)
host-tools-test: $(HOST_TOOLS_TESTS) tools
	@PAL=$(abspath $(TOOLS)/pal) tests/host/run.sh $(HOST_TOOLS) $(HOST_TOOLS_TESTS) \
	    tests/host/tools/check_manuals.py tests/host/tools/check_words.py tests/host/tools/check_disk.py tests/host/tools/check_completion.sh

$(HOST_TOOLS)/test_config: tests/host/tools/test_config.c $(HOST_TOOLS_CONFIG)
$(HOST_TOOLS)/test_guard: tests/host/tools/test_guard.c tools/libpal/guard.c tools/libpal/address.c
$(HOST_TOOLS)/test_cache: tests/host/tools/test_cache.c tools/builder/cache.c
$(HOST_TOOLS)/test_progress: tests/host/tools/test_progress.c tools/libpal/progress.c
$(HOST_TOOLS)/test_room: tests/host/tools/test_room.c tools/libpal/room_divide.c
$(HOST_TOOLS_TESTS): $(wildcard tools/libpal/*.h tools/builder/*.h) tools/libpal/schema.rng tests/host/tools/rules.mk
	@mkdir -p $(@D)
	$(or $(HOST_CC),gcc) $(HOST_TOOLS_FLAGS) $(filter %.c %.S,$^) -lcmocka -lsodium -ljansson -o $@
$(HOST_TOOLS)/fuzz_config: tests/host/tools/fuzz_config.c $(HOST_TOOLS_CONFIG) $(wildcard tools/libpal/*.h) tools/libpal/schema.rng
	@mkdir -p $(@D)
	clang $(HOST_TOOLS_FLAGS) -fsanitize=fuzzer $(filter %.c %.S,$^) -o $@
host-tools-fuzz-short: $(HOST_TOOLS)/fuzz_config
	@mkdir -p $(HOST_TOOLS)/corpus
	cp -n tools/dom0-image/guest/*.xml $(HOST_TOOLS)/corpus
	cd $(HOST_TOOLS) && ./fuzz_config -max_len=8192 -verbosity=0 -print_final_stats=1 -timeout=20 -seed=1 -max_total_time=30 corpus
