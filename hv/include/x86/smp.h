/* SPDX-License-Identifier: MIT */
#ifndef X86_SMP_H
#define X86_SMP_H

#include "base/types.h"

/* Start every CPU of the MADT but the calling one, through a trampoline in this page below 1 MiB.
 */
void smp_init(uint64_t trampoline_page);
/* Leave the boot stack for the idle vCPU's: gives the boot-only memory back and idles. */
__noreturn void smp_boot_cpu_idle(void);

#endif
