/* SPDX-License-Identifier: MIT */
/* Channel 2 of the 8254 timer: counts down from 65535 with its gate on and the speaker off. */
#include "dev/clock.h"
#include "x86/insn.h"

#define PIT_HZ       1193182
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND  0x43
#define PIT_CONTROL  0x61

static uint64_t read_counter(void)
{
    outb(PIT_COMMAND, 0x80); /* latch channel 2 */
    unsigned low = inb(PIT_CHANNEL2);
    return 0xffff - (low | (unsigned)inb(PIT_CHANNEL2) << 8);
}

bool pit_reference(struct reference_clock *c)
{
    outb(PIT_CONTROL, (inb(PIT_CONTROL) & ~2) | 1);
    outb(PIT_COMMAND, 0xb4); /* channel 2, both bytes, rate generator */
    outb(PIT_CHANNEL2, 0xff);
    outb(PIT_CHANNEL2, 0xff);
    *c = (struct reference_clock){"PIT", PIT_HZ, 0xffff, read_counter};
    return true;
}
