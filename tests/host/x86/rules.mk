# SPDX-License-Identifier: MIT
# Host tests of the instruction emulation (hv/x86: decode, emulate*, cpuid, msr, ioport, mmio).
#   host-x86-test        differential and unit tests under sanitizers; the decoder against objdump
#   host-x86-fuzz-short  ten seconds of the decoder's fuzzer; fuzz-decode: FUZZ_SECONDS

HOST_BUILD ?= build/host
HOST_CC ?= gcc
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 3600

HOSTX86 := $(HOST_BUILD)/x86
HOSTX86_FLAGS := -std=gnu11 -g -O1 -fno-omit-frame-pointer -DPAL_DEBUG -D__XEN_TOOLS__ -Wall -Wextra \
	-Werror -fsanitize=address,undefined -fno-sanitize-recover=all \
	-Itests/host/x86/fake -Ihv/include -Imm/include
HOSTX86_TESTS := test_write test_ioport test_policy
HOSTX86_SOURCES := $(addprefix hv/x86/,decode.c alu.c operand.c emulate.c emulate_write.c mmio.c msr.c \
	cpuid.c policy.c ioport.c) tests/host/x86/machine.c tests/host/x86/native.S
HOSTX86_DEPENDS := $(HOSTX86_SOURCES) $(wildcard hv/x86/*.h hv/include/*/*.h mm/include/mm/*.h \
	tests/host/x86/*.h tests/host/x86/fake/x86/*.h) tests/host/x86/rules.mk

.PHONY: host-x86-test host-x86-fuzz-short fuzz-decode

host-x86-test: $(HOSTX86_TESTS:%=$(HOSTX86)/%) $(HOSTX86)/check_decoder
	@tests/host/run.sh $(HOSTX86) $^

$(HOSTX86)/test_%: tests/host/x86/test_%.c $(HOSTX86_DEPENDS)
	@mkdir -p $(@D)
	$(HOST_CC) $(HOSTX86_FLAGS) $< $(HOSTX86_SOURCES) -lcmocka -o $@
$(HOSTX86)/dump_decoder: tests/host/x86/dump_decoder.c $(HOSTX86_DEPENDS)
	@mkdir -p $(@D)
	$(HOST_CC) $(HOSTX86_FLAGS) $< hv/x86/decode.c -o $@
$(HOSTX86)/check_decoder: $(HOSTX86)/dump_decoder tests/host/x86/check_decoder.py
	@printf '#!/bin/sh\nexec /usr/bin/python3 tests/host/x86/check_decoder.py $< $@.bin\n' >$@
	@chmod +x $@
$(HOSTX86)/fuzz_decode: tests/host/x86/fuzz_decode.c $(HOSTX86_DEPENDS)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(HOSTX86_FLAGS) -fsanitize=fuzzer $< hv/x86/decode.c -o $@

HOSTX86_FUZZ = mkdir -p $(HOSTX86)/corpus && cd $(HOSTX86) && \
	./fuzz_decode -max_len=32 -print_final_stats=1 -verbosity=0
host-x86-fuzz-short: $(HOSTX86)/fuzz_decode
	$(HOSTX86_FUZZ) -seed=1 -max_total_time=10 corpus >fuzz.log 2>&1 || { tail -40 fuzz.log; exit 1; }
fuzz-decode: $(HOSTX86)/fuzz_decode
	$(HOSTX86_FUZZ) -max_total_time=$(FUZZ_SECONDS) corpus
