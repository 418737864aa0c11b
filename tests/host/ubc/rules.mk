# SPDX-License-Identifier: MIT
# Host tests of pal-blkd: requests, ring, overlays, and the whole engine on a model of the machine.
#   host-ubc-test          under sanitizers
#   host-ubc-fuzz-short    a quarter of a minute of each fuzzer (needs clang)

comma          := ,
HOST_UBC       := $(or $(HOST_BUILD),build/host)/ubc
HOST_UBC_FLAGS := -std=gnu11 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -Wall -Wextra -Werror \
	-fsanitize=address,undefined -fno-sanitize-recover=all -D__XEN_TOOLS__ -Itools -Itools/ubc -Ihv/include -Itests/host/boot
HOST_UBC_OVERLAY := $(wildcard tools/ubc/overlay*.c)
HOST_UBC_CORE  := $(addprefix tools/ubc/,request.c ring.c base.c fetch.c volume.c disk.c disk_read.c disk_write.c) tools/libpal/identity.c $(HOST_UBC_OVERLAY)
HOST_UBC_WORLD := tests/host/ubc/world.c tests/host/ubc/guest.c
HOST_UBC_TESTS := $(addprefix $(HOST_UBC)/,test_request test_overlay test_change test_disk)

.PHONY: host-ubc-test host-ubc-fuzz-short
host-ubc-test: $(HOST_UBC_TESTS)
	@tests/host/run.sh $(HOST_UBC) $^
$(HOST_UBC)/test_request: tests/host/ubc/test_request.c tools/ubc/request.c tools/ubc/ring.c
$(HOST_UBC)/test_overlay: tests/host/ubc/test_overlay.c $(HOST_UBC_OVERLAY)
$(HOST_UBC)/test_change: tests/host/ubc/test_change.c $(HOST_UBC_OVERLAY)
$(HOST_UBC)/test_change: HOST_UBC_MORE := $(addprefix -Wl$(comma)--wrap=,pwrite ftruncate fsync fdatasync fallocate posix_fallocate)
$(HOST_UBC)/test_disk: tests/host/ubc/test_disk.c $(HOST_UBC_CORE) $(HOST_UBC_WORLD)
$(HOST_UBC_TESTS): $(wildcard tools/ubc/*.h tests/host/ubc/*.h) tests/host/ubc/rules.mk
	@mkdir -p $(@D)
	$(or $(HOST_CC),gcc) $(HOST_UBC_FLAGS) $(HOST_UBC_MORE) $(filter %.c,$^) -lcmocka -lsodium -lz -o $@
$(HOST_UBC)/fuzz_ring: tests/host/ubc/fuzz_ring.c $(HOST_UBC_CORE) tests/host/ubc/world.c
$(HOST_UBC)/fuzz_overlay: tests/host/ubc/fuzz_overlay.c $(HOST_UBC_OVERLAY)
$(HOST_UBC)/fuzz_ring $(HOST_UBC)/fuzz_overlay: $(wildcard tools/ubc/*.h tests/host/ubc/*.h)
	@mkdir -p $(@D)
	clang $(HOST_UBC_FLAGS) -fsanitize=fuzzer $(filter %.c,$^) -lsodium -lz -o $@
$(HOST_UBC)/make_overlay: tests/host/ubc/make_overlay.c $(HOST_UBC_OVERLAY) tools/ubc/overlay.h
	@mkdir -p $(@D)
	$(or $(HOST_CC),gcc) $(HOST_UBC_FLAGS) $(filter %.c,$^) -lz -o $@
host-ubc-fuzz-short: $(HOST_UBC)/fuzz_ring $(HOST_UBC)/fuzz_overlay $(HOST_UBC)/make_overlay
	@mkdir -p $(HOST_UBC)/corpus-ring $(HOST_UBC)/corpus-overlay && cd $(HOST_UBC) && ./make_overlay corpus-overlay/seed
	cd $(HOST_UBC) && ./fuzz_ring -max_len=4096 -verbosity=0 -print_final_stats=1 -timeout=20 -seed=1 -max_total_time=15 corpus-ring
	cd $(HOST_UBC) && ./fuzz_overlay -max_len=40000 -verbosity=0 -print_final_stats=1 -timeout=20 -seed=1 -max_total_time=15 corpus-overlay
