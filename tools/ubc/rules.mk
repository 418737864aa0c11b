# SPDX-License-Identifier: MIT
# pal-blkd, the block backend.
#   tools                    builds it, too
#   host-ubc-test            its parts and all of it on a model of disk and guest, under sanitizers
#   host-ubc-fuzz-short      half a minute of each fuzzer (needs clang)
# Packages: liburing-dev libseccomp-dev libsodium-dev libxen-dev zlib1g-dev

UBC_SOURCES := $(sort $(wildcard tools/ubc/*.c))
UBC_OBJECTS := $(UBC_SOURCES:%=$(TOOLS)/%.o) $(TOOLS)/tools/libpal/identity.c.o
# liburing is linked in: a small library that not every system has.
UBC_LIBS    := -l:liburing.a -lseccomp -lsodium -lxencall -lxenevtchn -lxengnttab -lxenstore -lz

tools: $(TOOLS)/pal-blkd $(TOOLS)/pal-blkd.8
$(TOOLS)/tools/ubc/%.c.o: TOOLS_MORE := -D__XEN_TOOLS__ -Ihv/include
$(TOOLS)/pal-blkd: $(UBC_OBJECTS)
	$(call Q,LD,$@)$(CC) -pie -Wl,-z,relro,-z,now -Wl,--as-needed -o $@ $^ $(UBC_LIBS)
$(TOOLS)/pal-blkd.8: tools/ubc/pal-blkd.8.scd
	$(call Q,MAN,$@)scdoc <$< >$@

install: install-ubc
.PHONY: install-ubc
install-ubc: tools
	install -D -m 755 $(TOOLS)/pal-blkd $(DESTDIR)$(PREFIX)/sbin/pal-blkd
	install -D -m 644 $(TOOLS)/pal-blkd.8 $(DESTDIR)$(PREFIX)/share/man/man8/pal-blkd.8
	install -D -m 644 tools/ubc/pal-blkd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/pal-blkd.conf
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|' tools/ubc/pal-blkd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/pal-blkd.service

-include $(UBC_OBJECTS:.o=.d)
-include tests/host/ubc/rules.mk
