# SPDX-License-Identifier: MIT
#
# The decoders as one relocatable object, for the hypervisor's image:
#
#   in:   BUILD, CC, LD, OBJCOPY, NM
#   out:  DECOMPRESS_OBJ   link it like any other object of hv/boot
#
# Its sections are .init.text, .init.rodata and .init.data, its only global symbol is decompress,
# and it needs nothing from outside; the rule fails when that is not so. The static libraries come from
# liblzma-dev, libzstd-dev, zlib1g-dev and liblz4-dev.

DECOMPRESS_DIR  := hv/boot/decompress
DECOMPRESS_OUT  := $(BUILD)/$(DECOMPRESS_DIR)
DECOMPRESS_OBJ  := $(DECOMPRESS_OUT)/decoder.o
DECOMPRESS_LIBS := $(foreach l,lzma zstd z lz4,$(shell $(CC) -print-file-name=lib$(l).a))

# Ordinary position-independent code, so that it links at any address, but with nothing that wants a
# C library or an operating system.
DECOMPRESS_CFLAGS := -std=gnu11 -O2 -g0 -Wall -Wextra -Werror -ffreestanding -fno-builtin -fpie \
    -fvisibility=hidden -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none

$(DECOMPRESS_OUT)/decompress.o: private DECOMPRESS_CFLAGS += -msse2
$(DECOMPRESS_OUT)/libc.o: private DECOMPRESS_CFLAGS += -msse2
$(DECOMPRESS_OUT)/enter.o: private DECOMPRESS_CFLAGS += -mgeneral-regs-only -mno-red-zone

$(DECOMPRESS_OUT)/%.o: $(DECOMPRESS_DIR)/%.c $(DECOMPRESS_DIR)/decompress.h $(DECOMPRESS_DIR)/rules.mk
	@mkdir -p $(@D)
	$(CC) $(DECOMPRESS_CFLAGS) -c -o $@ $<

$(DECOMPRESS_OBJ): $(addprefix $(DECOMPRESS_OUT)/,enter.o decompress.o libc.o) \
    $(DECOMPRESS_DIR)/decompress.ld $(DECOMPRESS_LIBS)
	$(LD) -r -T $(DECOMPRESS_DIR)/decompress.ld -o $@.all $(filter %.o,$^) \
	    --start-group $(DECOMPRESS_LIBS) --end-group
	$(OBJCOPY) --keep-global-symbol=decompress --discard-all $@.all $@.one
	@undefined=$$($(NM) -u $@.one | grep -v _GLOBAL_OFFSET_TABLE_); \
	    test -z "$$undefined" || { echo "$@: undefined: $$undefined" >&2; exit 1; }
	@mv $@.one $@
	@rm -f $@.all
