# SPDX-License-Identifier: MIT
# Everything is built out of tree in $(BUILD). `make help` lists the targets.

BUILD   ?= build
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
LD      := ld
OBJCOPY := objcopy
NM      := nm
VERSION := 0.1
PYTHON  ?= /usr/bin/python3
JOBS    ?= 2

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# ---- the hypervisor ----
# Include roots of each part, made of links, so that an include in a wrong direction finds nothing:
# abi, base <- mm <- hv/core, hv/x86, hv/dev <- hv/boot.
ROOTS := $(BUILD)/roots
ROOT_hv/base := $(ROOTS)/base
ROOT_mm      := $(ROOTS)/mm
ROOT_hv/core := $(ROOTS)/hv
ROOT_hv/x86  := $(ROOTS)/hv
ROOT_hv/dev  := $(ROOTS)/hv
ROOT_hv/boot := $(ROOTS)/boot
PARTS := hv/base mm hv/core hv/x86 hv/dev hv/boot

COMPILER_INCLUDE := $(shell $(CC) -print-file-name=include)
FLAGS := -ffreestanding -nostdinc -isystem $(COMPILER_INCLUDE) -isystem $(BUILD)/include \
	-D__XEN_TOOLS__ -fpie -fvisibility=hidden -fcf-protection=none \
	-ffile-prefix-map=$(CURDIR)=. -g
CFLAGS := -std=gnu11 -O2 $(FLAGS) -mno-red-zone -mgeneral-regs-only -fno-stack-protector -fno-common \
	-fno-strict-aliasing -fno-omit-frame-pointer -include $(BUILD)/generated/hidden.h -fno-asynchronous-unwind-tables \
	-Wall -Wextra -Werror -Wmissing-prototypes $(if $(DEBUG),-DPAL_DEBUG)

SOURCES := $(filter-out hv/x86/asm_offsets.c,$(sort $(foreach p,$(PARTS),$(wildcard $(p)/*.c $(p)/*.S))))
OBJECTS := $(SOURCES:%=$(BUILD)/%.o)
OFFSETS := $(BUILD)/generated/asm_offsets.h
GENERATED := $(BUILD)/generated/version.h $(BUILD)/generated/hidden.h
# V=1 shows whole commands.
Q = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2);)

.PHONY: all run demo test iso bench fuzz format format-check header-check size matrix soak dom0 clean help
all: $(BUILD)/palimpsest

$(ROOTS)/.made: Makefile
	@mkdir -p $(BUILD)/include $(ROOTS)/base $(ROOTS)/mm $(ROOTS)/hv $(ROOTS)/boot
	@ln -sfn /usr/include/xen $(BUILD)/include/xen
	@for to in base/base mm/base mm/abi hv/base hv/abi hv/core hv/dev hv/x86 \
	    boot/base boot/abi boot/core boot/dev boot/x86 boot/boot; do \
	    ln -sfn $(CURDIR)/hv/include/$${to#*/} $(ROOTS)/$$to; done
	@for part in mm hv boot; do ln -sfn $(CURDIR)/mm/include/mm $(ROOTS)/$$part/mm; done
	@touch $@

$(OFFSETS): hv/x86/asm_offsets.c $(ROOTS)/.made $(GENERATED)
	@mkdir -p $(@D)
	$(call Q,GEN,$@)$(CC) $(filter-out -Wmissing-prototypes,$(CFLAGS)) -I$(ROOT_hv/x86) -MMD -MP -MT $@ -MF $@.d -S -o $@.s $<
	@sed -n 's/.*"@@ \([A-Za-z0-9_]*\) \$$\?\([-0-9]*\)".*/#define \1 \2/p' $@.s >$@

$(BUILD)/generated/version.h: Makefile
	@mkdir -p $(@D)
	@echo '#define PAL_VERSION "$(VERSION)"' >$@
# Declarations are hidden, too (-fvisibility reaches definitions only): no global offset table.
$(BUILD)/generated/hidden.h: Makefile
	@mkdir -p $(@D)
	@echo '#pragma GCC visibility push(hidden)' >$@

define PART_RULES
$(BUILD)/$(1)/%.c.o: $(1)/%.c $(ROOTS)/.made $(GENERATED)
	@mkdir -p $$(@D)
	$$(call Q,CC,$$<)$$(CC) $$(CFLAGS) -I$(ROOT_$(1)) -I$(BUILD)/generated -MMD -MP -c -o $$@ $$<
$(BUILD)/$(1)/%.S.o: $(1)/%.S $(ROOTS)/.made $(OFFSETS)
	@mkdir -p $$(@D)
	$$(call Q,AS,$$<)$$(CC) $$(FLAGS) -I$(ROOT_$(1)) -I$(BUILD)/generated -MMD -MP -c -o $$@ $$<
endef
$(foreach p,$(PARTS),$(eval $(call PART_RULES,$(p))))

# Decoders for compressed kernels: sets DECOMPRESS_OBJ.
-include hv/boot/decompress/rules.mk
OBJECTS += $(DECOMPRESS_OBJ)

# Linked twice: first with an empty table of symbols, then with that of the first.
LINK = $(LD) -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none --no-warn-rwx-segments \
	-T hv/boot/image.lds
SYMBOLS = awk -f hv/x86/symbols.awk

$(BUILD)/palimpsest.elf: $(OBJECTS) hv/boot/image.lds hv/x86/symbols.awk
	@$(SYMBOLS) </dev/null >$@.symbols0.S
	@$(CC) -c -o $@.symbols0.o $@.symbols0.S
	@$(LINK) -o $@.first $(OBJECTS) $@.symbols0.o
	@$(NM) -n $@.first | $(SYMBOLS) >$@.symbols.S
	@$(CC) -c -o $@.symbols.o $@.symbols.S
	$(call Q,LD,$@)$(LINK) -o $@ $(OBJECTS) $@.symbols.o
	@rm -f $@.first $@.symbols*

# Loaders of multiboot 1 want a 32-bit ELF file: the same bytes, at their place in the machine.
$(BUILD)/palimpsest: $(BUILD)/palimpsest.elf hv/boot/container.lds
	@$(OBJCOPY) -O binary $< $@.bin
	$(call Q,LD,$@)cd $(BUILD) && $(LD) -m elf_i386 --build-id=none -z max-page-size=4096 \
	    --no-warn-rwx-segments -s --defsym image_size=$$($(NM) palimpsest.elf | \
	    awk '$$3 == "image_end" { print "0x" substr($$1, 9) }') \
	    -T $(CURDIR)/hv/boot/container.lds -b binary palimpsest.bin -o palimpsest
	@rm -f $@.bin

# ---- checks of form ----
HEADERS := $(sort $(wildcard hv/include/*/*.h mm/include/mm/*.h))
header-check: $(ROOTS)/.made $(GENERATED)
	@for h in $(HEADERS); do \
	    case $$h in hv/include/base/*) root=base;; mm/*|hv/include/abi/*) root=mm;; \
	    hv/include/boot/*) root=boot;; *) root=hv;; esac; \
	    $(CC) $(CFLAGS) -I$(ROOTS)/$$root -fsyntax-only -include ./$$h -x c /dev/null || exit 1; done

FORMATTED = $(sort $(shell find hv mm guest save-restore balloon tests tools -name '*.[ch]'))
format:
	clang-format -i $(FORMATTED)
format-check:
	@clang-format --dry-run -Werror $(FORMATTED)

size:
	@find hv mm -name '*.[chS]' | xargs cat | awk 'END { print "size: " NR " lines in hv and mm" }'

# ---- domain 0, running, testing ----
HOST_BUILD := $(BUILD)/host
HOST_CORE_BUILD := $(HOST_BUILD)/core
-include tests/host/rules.mk tests/host/core/rules.mk tests/host/x86/rules.mk tests/host/boot/rules.mk
-include guest/bare/rules.mk
-include tools/rules.mk
-include balloon/rules.mk
-include guest/shm/rules.mk
-include save-restore/rules.mk
-include tools/ubc/rules.mk
-include tests/bench/rules.mk

DOM0 := $(BUILD)/dom0/initrd.gz
dom0:
	@PAL_BUILD=$(abspath $(BUILD)) tools/dom0-image/build.sh
$(DOM0):
	@PAL_BUILD=$(abspath $(BUILD)) tools/dom0-image/build.sh

iso: $(BUILD)/palimpsest.iso
$(BUILD)/palimpsest.iso: $(BUILD)/palimpsest $(DOM0) packaging/grub.cfg packaging/iso.sh
	packaging/iso.sh $(BUILD)

run: all dom0
	packaging/run.sh $(BUILD)

demo:
	packaging/deps.sh
	$(MAKE) -j$(JOBS) all dom0 tools
	PAL_BUILD=$(abspath $(BUILD)) tools/dom0-image/mkshared.sh
	packaging/demo.sh $(BUILD)

test:
	packaging/deps.sh
	@packaging/test.sh $(BUILD) CC=$(CC)

bench: all dom0 tools
	$(PYTHON) tests/bench/run.py

# The long variants of what `make test` does in short, on up to 8 GiB.
soak: all dom0 tools
	PAL_SOAK=1 tests/e2e/run.sh -m soak

matrix: all dom0
	PAL_MATRIX=full tests/e2e/run.sh tests/e2e/test_matrix.py

clean:
	rm -rf $(BUILD)

help:
	@echo "make            the hypervisor: $(BUILD)/palimpsest (multiboot 1 and 2), with symbols palimpsest.elf"
	@echo "make tools      $(BUILD)/tools/pal, for domain 0"
	@echo "make guest-deb  $(BUILD)/palshm_$(VERSION)_amd64.deb: what Debian guests use regions with"
	@echo "make demo       install what is missing, build, boot domain 0, show it and three Debian guests"
	@echo "make run        domain 0 on this terminal; Ctrl-A x leaves"
	@echo "make test       all tests; ends with 'N passed, N failed'"
	@echo "make iso        $(BUILD)/palimpsest.iso, for BIOS and UEFI"
	@echo "make bench      compare with the native kernel and Debian's Xen"
	@echo "make matrix     boot on every kind of machine; make fuzz: an hour of fuzzing; make soak: long runs"
	@echo "make format     format the sources; format-check and header-check only look"
	@echo "make size       lines of the hypervisor"
	@echo "make clean      remove $(BUILD)"
	@echo "CC=clang builds with clang, DEBUG=1 with more checks, V=1 shows commands, BUILD=DIR goes elsewhere"

-include $(sort $(foreach p,$(PARTS),$(wildcard $(BUILD)/$(p)/*.d))) $(OFFSETS).d
