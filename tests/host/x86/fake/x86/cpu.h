/* SPDX-License-Identifier: MIT */
/* Stands before hv/include/x86/cpu.h in host builds: a host program's stack does not tell its CPU.
 */
#ifndef FAKE_X86_CPU_H
#define FAKE_X86_CPU_H

#define this_cpu     real_this_cpu
#define current_vcpu real_current_vcpu
#include_next "x86/cpu.h"
#undef this_cpu
#undef current_vcpu

struct cpu *this_cpu(void);
struct vcpu *current_vcpu(void);

#endif
