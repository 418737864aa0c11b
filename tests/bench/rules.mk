# SPDX-License-Identifier: MIT
# What the bench runs inside: bare guests (`make bench` makes them; the programs that are built as user space are run.py's).
BENCH_BARE := $(patsubst %,$(BUILD)/bench/%.elf,pair balloon)
bench: $(BENCH_BARE)
$(BUILD)/bench/%.o: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<
$(BENCH_BARE): $(BUILD)/bench/%.elf: $(BUILD)/bench/%.o $(BUILD)/guest/libbare.a guest/bare/link.ld
	$(CC) $(GUEST_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--whole-archive $(BUILD)/guest/libbare.a -Wl,--no-whole-archive
-include $(wildcard $(BUILD)/bench/*.d)
