# SPDX-License-Identifier: MIT
# Host tests of hv/core: scheduler, events, timers on a fake machine whose CPUs take turns at every atomic access.
#   host-core-test   build and run them

HOST_CORE_BUILD ?= build/host/core
HOST_CORE_CFLAGS := -std=gnu11 -g -O1 -fno-omit-frame-pointer -DPAL_DEBUG -D__XEN_TOOLS__ -Wall -Wextra -Werror \
	-fsanitize=undefined -fno-sanitize-recover=all -Itests/host/core/include -Itests/host/core -Ihv/include \
	-Imm/include -MMD -MP
HOST_CORE_PARTS := sched sched_cap pause runstate timer vtimer event event_bind event_close sched_op pirq
HOST_CORE_TESTS := test_share test_sched test_event test_timer

.PHONY: host-core-test
host-core-test: $(HOST_CORE_TESTS:%=$(HOST_CORE_BUILD)/%)
	@tests/host/run.sh $(HOST_CORE_BUILD) $^

$(HOST_CORE_BUILD)/hv_%.o: hv/core/%.c
	@mkdir -p $(@D)
	$(or $(HOST_CC),gcc) $(HOST_CORE_CFLAGS) -include tests/host/yield_atomics.h -c $< -o $@
$(HOST_CORE_BUILD)/%.o: tests/host/core/%.c
	@mkdir -p $(@D)
	$(or $(HOST_CC),gcc) $(HOST_CORE_CFLAGS) -c $< -o $@
$(HOST_CORE_TESTS:%=$(HOST_CORE_BUILD)/%): $(HOST_CORE_BUILD)/%: $(HOST_CORE_BUILD)/%.o \
		$(HOST_CORE_BUILD)/machine.o $(HOST_CORE_PARTS:%=$(HOST_CORE_BUILD)/hv_%.o)
	$(or $(HOST_CC),gcc) -fsanitize=undefined $^ -lcmocka -o $@

-include $(wildcard $(HOST_CORE_BUILD)/*.d)
