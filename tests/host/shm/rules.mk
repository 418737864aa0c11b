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
HOST_SHM_TESTS := $(addprefix $(HOST_SHM)/,test_ring test_channel test_channel_threads test_wakeups)

.PHONY: host-shm-test host-shm-fuzz-short
host-shm-test: $(HOST_SHM_TESTS)
	@tests/host/run.sh $(HOST_SHM) $^

$(HOST_SHM)/test_ring: tests/host/shm/test_ring.c guest/shm/lib/ring.c guest/shm/lib/window.c $(HOST_SHM_DEPENDS)
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
