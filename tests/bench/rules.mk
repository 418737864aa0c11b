# SPDX-License-Identifier: MIT
# What the bench runs inside: the bare guests pair.elf (`make bench` makes them; the programs that are built as user space are
# run.py's).
$(BUILD)/bench/pair.o: tests/bench/pair.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/bench/pair.elf: $(BUILD)/bench/pair.o $(BUILD)/guest/libbare.a guest/bare/link.ld
	$(CC) $(GUEST_LDFLAGS) -o $@ $< -Wl,--whole-archive $(BUILD)/guest/libbare.a -Wl,--no-whole-archive
-include $(BUILD)/bench/pair.d
