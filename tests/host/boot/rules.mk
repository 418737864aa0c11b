# SPDX-License-Identifier: MIT
# Host tests of hv/boot's readers of kernel images and of domain 0's layout.
#   host-boot-test        unit tests under sanitizers; needs the kernels in $(PAL_CACHE)
#   host-boot-fuzz-short  half a minute of the image fuzzer; host-boot-fuzz: FUZZ_SECONDS
# Needs libcmocka-dev, liblzma-dev, libzstd-dev, zlib1g-dev, liblz4-dev; the fuzzer clang.

HOST_BOOT       := $(or $(HOST_BUILD),build/host)/boot
HOST_CC         ?= gcc
FUZZ_CC         ?= clang
FUZZ_SECONDS    ?= 3600
PAL_CACHE       ?= cache
HOST_BOOT_FLAGS := -std=gnu11 -g -O1 -fno-omit-frame-pointer -Wall -Wextra -Werror \
	-fsanitize=address,undefined -fno-sanitize-recover=all \
	-Ihv/include -Ihv/boot -Itests/host/boot -DPAL_CACHE='"$(PAL_CACHE)"'
HOST_BOOT_LIBS  := -lcmocka -llzma -lzstd -lz -llz4
HOST_BOOT_IMAGE := $(addprefix hv/boot/,kernel_image.c elf_image.c elf_notes.c decompress/decompress.c) \
	$(addprefix tests/host/boot/,decompress_host.c read_image.c)
HOST_BOOT_DEPS  := $(wildcard hv/boot/*.h hv/boot/decompress/*.h hv/include/base/*.h tests/host/boot/*.h) \
	tests/host/boot/rules.mk
HOST_BOOT_TESTS := $(addprefix $(HOST_BOOT)/test_,image elf dom0)

.PHONY: host-boot-test host-boot-fuzz-short host-boot-fuzz
host-boot-test: $(HOST_BOOT_TESTS)
	@tests/host/run.sh $(HOST_BOOT) $^

$(HOST_BOOT)/test_image: tests/host/boot/test_image.c tests/host/boot/make_image.c $(HOST_BOOT_IMAGE)
$(HOST_BOOT)/test_elf: tests/host/boot/test_elf.c tests/host/boot/make_image.c hv/boot/elf_image.c hv/boot/elf_notes.c
$(HOST_BOOT)/test_dom0: tests/host/boot/test_dom0.c hv/boot/dom0_mem.c hv/boot/dom0_layout.c hv/boot/options.c
$(HOST_BOOT_TESTS): $(HOST_BOOT_DEPS)
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_BOOT_FLAGS) $(filter %.c,$^) $(HOST_BOOT_LIBS) -o $@

$(HOST_BOOT)/fuzz_image: tests/host/boot/fuzz_image.c $(HOST_BOOT_IMAGE) $(HOST_BOOT_DEPS)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(HOST_BOOT_FLAGS) -fsanitize=fuzzer $(filter %.c,$^) -llzma -lzstd -lz -llz4 -o $@
# Small sound kernels to start from: one file a packing, behind the byte that chooses the way.
$(HOST_BOOT)/corpus/.made: tests/host/boot/make_corpus.c tests/host/boot/make_image.c $(HOST_BOOT_DEPS)
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_BOOT_FLAGS) $(filter %.c,$^) $(HOST_BOOT_LIBS) -o $(HOST_BOOT)/make_corpus
	$(HOST_BOOT)/make_corpus $(@D)
	@touch $@
HOST_BOOT_FUZZ = cd $(HOST_BOOT) && ./fuzz_image -max_len=32768 -verbosity=0 -print_final_stats=1 \
	-rss_limit_mb=2048 -timeout=20
host-boot-fuzz-short: $(HOST_BOOT)/fuzz_image $(HOST_BOOT)/corpus/.made
	$(HOST_BOOT_FUZZ) -seed=1 -max_total_time=30 corpus
host-boot-fuzz: $(HOST_BOOT)/fuzz_image $(HOST_BOOT)/corpus/.made
	$(HOST_BOOT_FUZZ) -max_total_time=$(FUZZ_SECONDS) corpus
