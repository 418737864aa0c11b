# SPDX-License-Identifier: MIT
# The balloon's policy and its simulator.
#   host-balloon-test    the policy on thousands of fleets, under sanitizers
#   balloon-picture      docs/balloon-moving-load.svg again, after a change of the policy
BALLOON_FLAGS     := -std=gnu11 -D_GNU_SOURCE -g -Wall -Wextra -Werror -Iballoon/include
BALLOON_SIMULATOR := balloon/policy.c $(wildcard balloon/simulator/*.c)
HOST_BALLOON      := $(or $(HOST_BUILD),build/host)/balloon

.PHONY: host-balloon-test balloon-picture
tools: $(TOOLS)/pal-balloon-sim
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
