# SPDX-License-Identifier: MIT
# Host tests of libpalshm and palshm's file protocol.
#   host-shm-test        unit tests under sanitizers, and under the thread sanitizer; the search for lost wake-ups
#   host-shm-fuzz-short  half a minute of a hostile peer (needs clang)
HOST_SHM := $(or $(HOST_BUILD),build/host)/shm
HOST_SHM_FLAGS := -std=gnu11 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -Wall -Wextra -Werror \
	-Iguest/shm/include -Iguest/shm/lib -Iguest/shm/tool -Ihv/include -Itests/host/shm
HOST_SHM_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
# All of the library but the two files that speak with a guest's kernel.
HOST_SHM_LIB := $(filter-out %/store.c %/devices.c,$(wildcard guest/shm/lib/*.c)) tests/host/shm/fake.c
HOST_SHM_DEPENDS := $(wildcard guest/shm/*/*.h tests/host/shm/*.h) tests/host/shm/rules.mk
HOST_SHM_TESTS := $(addprefix $(HOST_SHM)/,test_ring test_proto test_channel test_channel_threads test_wakeups)

.PHONY: host-shm-test host-shm-fuzz-short
host-shm-test: $(HOST_SHM_TESTS)
	@tests/host/run.sh $(HOST_SHM) $^

$(HOST_SHM)/test_ring: tests/host/shm/test_ring.c guest/shm/lib/ring.c guest/shm/lib/window.c $(HOST_SHM_DEPENDS)
	@mkdir -p $(@D)
	$(or $(HOST_CC),gcc) $(HOST_SHM_FLAGS) $(HOST_SHM_SAN) $(filter %.c,$^) -lcmocka -o $@
$(HOST_SHM)/test_proto: tests/host/shm/test_proto.c guest/shm/tool/proto.c $(HOST_SHM_DEPENDS)
	@mkdir -p $(@D)
	$(or $(HOST_CC),gcc) $(HOST_SHM_FLAGS) $(HOST_SHM_SAN) $(filter %.c,$^) -lcmocka -o $@
$(HOST_SHM)/test_channel: tests/host/shm/test_channel.c $(HOST_SHM_LIB) $(HOST_SHM_DEPENDS)
	@mkdir -p $(@D)
	$(or $(HOST_CC),gcc) $(HOST_SHM_FLAGS) $(HOST_SHM_SAN) $(filter %.c,$^) -lcmocka -lpthread -o $@
# gcc's thread sanitizer does not know fences.
$(HOST_SHM)/test_channel_threads: tests/host/shm/test_channel.c $(HOST_SHM_LIB) $(HOST_SHM_DEPENDS)
	@mkdir -p $(@D)
	clang $(HOST_SHM_FLAGS) -fsanitize=thread $(filter %.c,$^) -lcmocka -lpthread -o $@
# Jumps between stacks by itself: without sanitizers.
$(HOST_SHM)/test_wakeups: tests/host/shm/test_wakeups.c guest/shm/lib/ring.c $(HOST_SHM_DEPENDS)
	@mkdir -p $(@D)
	$(or $(HOST_CC),gcc) $(HOST_SHM_FLAGS) $< -o $@
$(HOST_SHM)/fuzz_peer: tests/host/shm/fuzz_peer.c guest/shm/tool/proto.c $(HOST_SHM_LIB) $(HOST_SHM_DEPENDS)
	@mkdir -p $(@D)
	clang $(HOST_SHM_FLAGS) $(HOST_SHM_SAN) -fsanitize=fuzzer $(filter %.c,$^) -lpthread -o $@
# Requests and answers as they should be, for the fuzzer to start from.
host-shm-fuzz-short: $(HOST_SHM)/fuzz_peer
	@mkdir -p $(HOST_SHM)/corpus
	@printf '\001PSF1\002\000\007\000deep/er' >$(HOST_SHM)/corpus/request
	@printf '\002PSF1\001\000\001\000\244\001\000\000\000\000\000\000\002\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000x\002\000\000\000hi\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000' >$(HOST_SHM)/corpus/answer
	cd $(HOST_SHM) && ./fuzz_peer -max_len=9000 -verbosity=0 -print_final_stats=1 -timeout=20 -seed=1 -max_total_time=$(or $(SHM_FUZZ_SECONDS),30) corpus
