/* SPDX-License-Identifier: MIT */
/* The end of the machine, with a report (hv/x86/crash.c). */
#ifndef X86_CRASH_H
#define X86_CRASH_H

#include "x86/regs.h"

/* An exception of the hypervisor itself: registers, symbolised backtrace, then stop or reboot. */
__noreturn void crash_exception(const struct regs *regs, uint64_t fault_address);
/* An NMI: when another CPU crashed, this one stops here; otherwise noted once and ignored, or fatal
 * with nmi=fatal. */
void crash_nmi(const struct regs *regs);
/* Print a context's registers (a guest's, for domain_crash). */
void crash_print_registers(const struct regs *regs);

#endif
