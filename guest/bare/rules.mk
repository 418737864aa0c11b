# SPDX-License-Identifier: MIT
# Bare guests: build/guest/<name>.elf from tests/guest/<name>/*.c and the library here.
# The includer may set CC, BUILD; it gets the target `guests` and the list GUESTS.

BUILD ?= build
GUEST_LIB_SRC := $(sort $(wildcard guest/bare/*.c)) guest/bare/entry.S
GUEST_NAMES := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard tests/guest/*/main.c)))))
GUESTS := $(GUEST_NAMES:%=$(BUILD)/guest/%.elf)
GUEST_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-stack-protector -fno-pic -fno-pie \
	-mno-red-zone -mgeneral-regs-only -mcmodel=kernel -fno-asynchronous-unwind-tables \
	-fno-common -fcf-protection=none -Wall -Wextra -Werror -Wno-missing-field-initializers -Wmissing-prototypes \
	-ffile-prefix-map=$(CURDIR)=. -D__XEN_INTERFACE_VERSION__=0x00040e00 \
	-Iguest/bare/include -Ihv/include
GUEST_LDFLAGS := -nostdlib -static -Wl,-T,guest/bare/link.ld -Wl,-z,noexecstack \
	-Wl,-z,max-page-size=4096 -Wl,--build-id=none -Wl,--no-warn-rwx-segments

GUEST_LIB_OBJ := $(patsubst guest/bare/%,$(BUILD)/guest/lib/%.o,$(GUEST_LIB_SRC))

$(BUILD)/guest/lib/%.o: guest/bare/%
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/guest/libbare.a: $(GUEST_LIB_OBJ)
	rm -f $@
	$(AR) rcsD $@ $^

$(BUILD)/guest/obj/%.o: tests/guest/%
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

define GUEST_RULE
$(BUILD)/guest/$(1).elf: $(patsubst tests/guest/%,$(BUILD)/guest/obj/%.o,$(sort $(wildcard tests/guest/$(1)/*.[cS]))) $(BUILD)/guest/libbare.a guest/bare/link.ld
	$(CC) $(GUEST_LDFLAGS) -o $$@ $$(filter %.o,$$^) -Wl,--whole-archive $(BUILD)/guest/libbare.a -Wl,--no-whole-archive
endef
$(foreach g,$(GUEST_NAMES),$(eval $(call GUEST_RULE,$(g))))

.PHONY: guests
guests: $(GUESTS)

-include $(wildcard $(BUILD)/guest/lib/*.d $(BUILD)/guest/obj/*/*.d)
