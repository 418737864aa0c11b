# SPDX-License-Identifier: MIT
# User space of domain 0: libpal, the domain builder, pal.
#   tools            build/tools/pal and what belongs to it
#   install          into $(DESTDIR)$(PREFIX)
# Packages: libxen-dev libjansson-dev libsmartcols-dev libxml2-dev libsodium-dev liblzma-dev libzstd-dev zlib1g-dev liblz4-dev

TOOLS      := $(BUILD)/tools
PREFIX     ?= /usr
# libxml2 is loaded when a domain file is read, by the name that linking would have used.
TOOLS_XML  := $(shell xml2-config --cflags 2>/dev/null || echo -I/usr/include/libxml2) \
	-DLIBXML_SONAME='"$(shell objdump -p $$($(CC) -print-file-name=libxml2.so) 2>/dev/null | awk '$$1 == "SONAME" { print $$2 }')"'
# Only what is public: the parts below include "libpal/..." and "builder/...".
TOOLS_FLAGS := -std=gnu11 -D_GNU_SOURCE -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE \
	-ffile-prefix-map=$(CURDIR)/= -Wall -Wextra -Werror -Wmissing-prototypes -Itools -I$(BUILD)/generated
TOOLS_LIBS := -lxencall -lxenforeignmemory -lxentoollog -lxenstore -ljansson -lsmartcols -lsodium -llzma -lzstd -lz -llz4

# The builder shares the hypervisor's readers of kernel images, compiled for the host.
TOOLS_IMAGE   := $(addprefix hv/boot/,elf_image.c elf_notes.c kernel_image.c dom0_layout.c decompress/decompress.c)
TOOLS_SOURCES := $(sort $(wildcard tools/libpal/*.c tools/libpal/*.S tools/builder/*.c tools/pal/*.c \
	save-restore/engine/*.c)) $(wildcard tools/ubc/overlay*.c) $(TOOLS_IMAGE)
TOOLS_OBJECTS := $(TOOLS_SOURCES:%=$(TOOLS)/%.o)

.PHONY: tools install
TOOLS_MANUALS := $(patsubst tools/pal/%.scd,$(TOOLS)/%,$(wildcard tools/pal/*.scd))
tools: $(TOOLS)/pal $(TOOLS_MANUALS) $(TOOLS)/pal.bash

$(TOOLS_MANUALS): $(TOOLS)/%: tools/pal/%.scd
	@mkdir -p $(@D)
	$(call Q,MAN,$@)scdoc <$< >$@
$(TOOLS)/pal.bash: $(TOOLS)/pal
	$(call Q,GEN,$@)$(TOOLS)/pal completion bash >$@

$(TOOLS)/tools/libpal/%.c.o: TOOLS_MORE := -D__XEN_TOOLS__
$(addprefix $(TOOLS)/tools/libpal/,config_xml.c.o config_tree.c.o libxml.c.o): TOOLS_MORE := $(TOOLS_XML)
$(addprefix $(TOOLS)/tools/libpal/,hv_state.c.o hv_own.c.o hv_region.c.o hv_cache.c.o): TOOLS_MORE := -D__XEN_TOOLS__ -Ihv/include
$(TOOLS)/save-restore/engine/%.c.o: TOOLS_MORE := -D__XEN_TOOLS__ -Isave-restore/include -Isave-restore
$(TOOLS)/tools/pal/%.c.o: TOOLS_MORE := -D__XEN_TOOLS__ -Itools/pal -Isave-restore/include
$(TOOLS)/tools/builder/%.c.o: TOOLS_MORE := -D__XEN_TOOLS__ -Ihv/include -Ihv/boot
$(TOOLS)/hv/boot/%.c.o: TOOLS_MORE := -Ihv/include -Ihv/boot

$(TOOLS)/%.c.o: %.c tools/rules.mk $(BUILD)/generated/version.h
	@mkdir -p $(@D)
	$(call Q,CC,$<)$(CC) $(TOOLS_FLAGS) $(TOOLS_MORE) -MMD -MP -c -o $@ $<
$(TOOLS)/tools/libpal/schema.S.o: tools/libpal/schema.S tools/libpal/schema.rng
	@mkdir -p $(@D)
	$(call Q,AS,$<)$(CC) -c -o $@ $<
$(TOOLS)/pal: $(TOOLS_OBJECTS)
	$(call Q,LD,$@)$(CC) -pie -Wl,-z,relro,-z,now -Wl,--as-needed -o $@ $^ $(TOOLS_LIBS) $(IMAGE_LIBS)

# A program of tests on the same objects.
$(TOOLS)/scale: tests/e2e/scale/scale.c $(filter-out $(TOOLS)/tools/pal/% $(TOOLS)/save-restore/%,$(TOOLS_OBJECTS)) \
		$(TOOLS)/tools/pal/make.c.o
	$(call Q,LD,$@)$(CC) $(TOOLS_FLAGS) -D__XEN_TOOLS__ -Ihv/include -pie -Wl,--as-needed -o $@ $^ $(TOOLS_LIBS)

install: tools
	install -D -m 755 $(TOOLS)/pal $(DESTDIR)$(PREFIX)/sbin/pal
	for page in $(notdir $(TOOLS_MANUALS)); do \
	    install -D -m 644 $(TOOLS)/$$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$page || exit 1; done
	install -D -m 644 $(TOOLS)/pal.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/pal
	install -D -m 644 tools/libpal/schema.rng $(DESTDIR)$(PREFIX)/share/pal/domain.rng
	install -D -m 755 tools/network/pal-network $(DESTDIR)$(PREFIX)/sbin/pal-network
	install -D -m 755 tools/units/pal-prepare $(DESTDIR)$(PREFIX)/lib/pal/pal-prepare
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for unit in tools/units/*.service tools/network/*.service; do \
	    sed 's|@PREFIX@|$(PREFIX)|' $$unit >$(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/} || exit 1; done
	for script in xen xendomains; do install -D -m 644 tools/units/not-on-palimpsest.conf \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system/$$script.service.d/not-on-palimpsest.conf || exit 1; done

-include $(TOOLS_OBJECTS:.o=.d)
-include tests/host/tools/rules.mk
