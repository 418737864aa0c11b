# SPDX-License-Identifier: MIT
# What guests use regions with: libpalshm, static and shared, and the tool palshm, one static file.
#   guest-tools      build/tools/palshm, libpalshm.*, manuals, pkg-config file
#   install-guest    into $(DESTDIR)$(PREFIX)
#   guest-deb        build/palshm_VERSION_amd64.deb: apt install ./palshm_*.deb in a Debian guest
# Packages: libxen-dev libxxhash-dev scdoc
SHM_SONAME := libpalshm.so.1
SHM_FLAGS  := -std=gnu11 -D_GNU_SOURCE -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIC -fvisibility=hidden \
	-ffile-prefix-map=$(CURDIR)/= -Wall -Wextra -Werror -Wmissing-prototypes -Iguest/shm/include -I$(BUILD)/generated
SHM_LIB    := $(patsubst %,$(TOOLS)/%.o,$(sort $(wildcard guest/shm/lib/*.c)))
SHM_TOOL   := $(patsubst %,$(TOOLS)/%.o,$(sort $(wildcard guest/shm/tool/*.c)))
SHM_MADE   := $(addprefix $(TOOLS)/,palshm libpalshm.a $(SHM_SONAME) palshm.pc palshm.1 palshm.3)
# The latest commit is the time of everything in the package.
SHM_EPOCH  := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),0)
SHM_DEB    := $(BUILD)/palshm_$(VERSION)_amd64.deb

.PHONY: guest-tools install-guest guest-deb
tools: guest-tools
guest-tools: $(SHM_MADE)

$(TOOLS)/guest/shm/lib/%.c.o: guest/shm/lib/%.c guest/shm/rules.mk
	@mkdir -p $(@D)
	$(call Q,CC,$<)$(CC) $(SHM_FLAGS) -Iguest/shm/lib -Ihv/include -MMD -MP -c -o $@ $<
$(TOOLS)/guest/shm/tool/%.c.o: guest/shm/tool/%.c guest/shm/rules.mk $(BUILD)/generated/version.h
	@mkdir -p $(@D)
	$(call Q,CC,$<)$(CC) $(SHM_FLAGS) -MMD -MP -c -o $@ $<
$(TOOLS)/libpalshm.a: $(SHM_LIB)
	@rm -f $@
	$(call Q,AR,$@)ar rcsD $@ $^
$(TOOLS)/$(SHM_SONAME): $(SHM_LIB)
	$(call Q,LD,$@)$(CC) -shared -Wl,-soname,$(SHM_SONAME) -Wl,-z,relro,-z,now -Wl,--build-id=none -o $@ $^
$(TOOLS)/palshm: $(SHM_TOOL) $(TOOLS)/libpalshm.a
	$(call Q,LD,$@)$(CC) -static -s -Wl,--build-id=none -o $@ $^
$(TOOLS)/palshm.pc: guest/shm/palshm.pc.in guest/shm/rules.mk
	@sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' $< >$@
$(TOOLS)/palshm.%: guest/shm/palshm.%.scd
	$(call Q,MAN,$@)scdoc <$< >$@

install-guest: guest-tools
	install -D -m 755 $(TOOLS)/palshm $(DESTDIR)$(PREFIX)/bin/palshm
	install -D -m 644 $(TOOLS)/$(SHM_SONAME) $(DESTDIR)$(PREFIX)/lib/$(SHM_SONAME)
	ln -sfn $(SHM_SONAME) $(DESTDIR)$(PREFIX)/lib/libpalshm.so
	install -D -m 644 $(TOOLS)/libpalshm.a $(DESTDIR)$(PREFIX)/lib/libpalshm.a
	install -D -m 644 guest/shm/include/palshm.h $(DESTDIR)$(PREFIX)/include/palshm.h
	install -D -m 644 $(TOOLS)/palshm.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/palshm.pc
	install -D -m 644 $(TOOLS)/palshm.1 $(DESTDIR)$(PREFIX)/share/man/man1/palshm.1
	install -D -m 644 $(TOOLS)/palshm.3 $(DESTDIR)$(PREFIX)/share/man/man3/palshm.3
	install -D -m 644 guest/shm/modules.conf $(DESTDIR)$(PREFIX)/lib/modules-load.d/palshm.conf
	install -D -m 644 guest/shm/modprobe.conf $(DESTDIR)$(PREFIX)/lib/modprobe.d/palshm.conf

guest-deb: $(SHM_DEB)
$(SHM_DEB): $(SHM_MADE) $(addprefix guest/shm/,modules.conf modprobe.conf deb/control.in deb/postinst)
	@rm -rf $(BUILD)/deb
	@$(MAKE) --no-print-directory install-guest DESTDIR=$(BUILD)/deb PREFIX=/usr >/dev/null
	@install -D -m 755 guest/shm/deb/postinst $(BUILD)/deb/DEBIAN/postinst
	@sed 's|@VERSION@|$(VERSION)|' guest/shm/deb/control.in >$(BUILD)/deb/DEBIAN/control
	@find $(BUILD)/deb -exec touch -h -d @$(SHM_EPOCH) {} +
	@SOURCE_DATE_EPOCH=$(SHM_EPOCH) dpkg-deb --root-owner-group -Zgzip --build $(BUILD)/deb $@ >/dev/null
	@echo $@

-include $(SHM_LIB:.o=.d) $(SHM_TOOL:.o=.d)
-include tests/host/shm/rules.mk
