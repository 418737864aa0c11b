# SPDX-License-Identifier: MIT
# The balloon's policy and its simulator.
#   host-balloon-test    the policy on thousands of fleets, under sanitizers
#   balloon-picture      docs/balloon-moving-load.svg again, after a change of the policy
BALLOON_FLAGS     := -std=gnu11 -D_GNU_SOURCE -g -Wall -Wextra -Werror -Iballoon/include
BALLOON_SIMULATOR := balloon/policy.c $(wildcard balloon/simulator/*.c)
HOST_BALLOON      := $(or $(HOST_BUILD),build/host)/balloon

.PHONY: host-balloon-test balloon-picture
tools: $(TOOLS)/pal-balloon-sim $(TOOLS)/pal-balloond $(TOOLS)/pal-balloond.8 $(TOOLS)/pal-agent

BALLOON_DAEMON := $(patsubst %,$(TOOLS)/%.o,balloon/policy.c $(wildcard balloon/daemon/*.c))
$(TOOLS)/balloon/%.c.o: TOOLS_MORE := -D__XEN_TOOLS__ -Iballoon/include
$(TOOLS)/pal-balloond: $(BALLOON_DAEMON) $(filter $(TOOLS)/tools/libpal/% $(TOOLS)/tools/ubc/%,$(TOOLS_OBJECTS))
	$(call Q,LD,$@)$(CC) -pie -Wl,-z,relro,-z,now -Wl,--as-needed -o $@ $^ $(TOOLS_LIBS) -linih
$(TOOLS)/pal-balloond.8: balloon/daemon/pal-balloond.8.scd
	$(call Q,MAN,$@)scdoc <$< >$@

# For guests: one static file.
$(TOOLS)/pal-agent: guest/agent/pal-agent.c tools/libpal/meminfo.c tools/libpal/meminfo.h balloon/rules.mk
	@mkdir -p $(@D)
	$(call Q,LD,$@)$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Itools -static -s -o $@ $(filter %.c,$^) \
	    -lxenstore -lxentoolcore -lpthread

install: install-balloon
.PHONY: install-balloon
install-balloon: tools
	install -D -m 755 $(TOOLS)/pal-balloond $(DESTDIR)$(PREFIX)/sbin/pal-balloond
	install -D -m 755 $(TOOLS)/pal-agent $(DESTDIR)$(PREFIX)/lib/pal/pal-agent
	install -D -m 644 $(TOOLS)/pal-balloond.8 $(DESTDIR)$(PREFIX)/share/man/man8/pal-balloond.8
	install -D -m 644 balloon/daemon/balloon.conf $(DESTDIR)/etc/pal/balloon.conf
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|' balloon/daemon/pal-balloond.service \
	    >$(DESTDIR)$(PREFIX)/lib/systemd/system/pal-balloond.service
$(TOOLS)/pal-balloon-sim: $(BALLOON_SIMULATOR) $(wildcard balloon/include/balloon/*.h balloon/simulator/*.h) balloon/rules.mk
	@mkdir -p $(@D)
	$(call Q,LD,$@)$(CC) $(BALLOON_FLAGS) -O2 $(filter %.c,$^) -o $@
balloon-picture: $(TOOLS)/pal-balloon-sim
	$< docs/balloon-moving-load.trace --svg docs/balloon-moving-load.svg

host-balloon-test: $(HOST_BALLOON)/test_policy
	@tests/host/run.sh $(HOST_BALLOON) $^
$(HOST_BALLOON)/test_policy: tests/host/balloon/test_policy.c balloon/policy.c balloon/simulator/fleet.c \
    $(wildcard balloon/include/balloon/*.h balloon/simulator/*.h) balloon/rules.mk
	@mkdir -p $(@D)
	$(or $(HOST_CC),gcc) $(BALLOON_FLAGS) -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	    -Iballoon/simulator -Itests/host/boot $(filter %.c,$^) -lcmocka -o $@

-include $(BALLOON_DAEMON:.o=.d)
