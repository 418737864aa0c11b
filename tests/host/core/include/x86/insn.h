/* SPDX-License-Identifier: MIT */
/* Stands in front of hv/include for the host tests of hv/core: interrupts are those of the fake
 * machine. */
#ifndef X86_INSN_H
#define X86_INSN_H

void fake_irq_window(void);
void fake_irq_wait(void);

static inline void irq_window(void)
{
    fake_irq_window();
}
static inline void irq_wait(void)
{
    fake_irq_wait();
}

#endif
