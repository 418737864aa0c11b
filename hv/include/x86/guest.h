/* SPDX-License-Identifier: MIT */
/* Guest entry and exit as the rest of the hypervisor sees it. */
#ifndef X86_GUEST_H
#define X86_GUEST_H

#include "core/vcpu.h"

/* Deliver an exception to the current vCPU's guest kernel: builds the bounce frame on its kernel stack
 * and changes regs. Kills the domain when the frame cannot be written. */
void guest_inject(struct vcpu *v, unsigned vector, uint32_t error_code);
void guest_inject_page_fault(struct vcpu *v, uint64_t address, uint32_t error_code);

/* Enter guest kernel mode from user mode or back: roots and GS base. */
void guest_enter_kernel(struct vcpu *v);
void guest_enter_user(struct vcpu *v);

/*
 * hv/x86/emulate*.c: a general-protection or invalid-opcode fault of the guest kernel (or user with I/O rights)
 * at regs->rip: if it is an instruction that the interface lets a guest use (in/out, rdmsr/wrmsr, cpuid with the
 * forced-emulation prefix, mov cr/dr, clts, xsetbv, ...), carry it out, advance rip and return true; false: the
 * fault is the guest's (nothing changed). May itself inject (then true).
 */
bool emulate_privileged(struct vcpu *v, struct regs *regs);
bool emulate_invalid_opcode(struct vcpu *v, struct regs *regs);
/* A write fault at a present read-only mapping: a store to an own level-1 table (mm_trapped_write) or to
 * read-only device memory of domain 0 (MMCFG, MSI-X table). Same result convention. */
bool emulate_write_fault(struct vcpu *v, struct regs *regs, uint64_t address);

/* CPUID as guests see it (hv/x86/cpuid.c). */
void guest_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/* Load what RDTSC, RDTSCP and RDPID of v depend on, where it differs from what this CPU has: TSC_AUX, CR4.TSD (hv/x86/msr.c).
 * At context switch to v. */
void msr_load(struct vcpu *v);
/* Its CR4, as far as it is a guest's to choose; v does not run. */
void msr_init_cr4(struct vcpu *v, uint64_t value);

/* Segment base of the running guest, live registers. */
uint64_t guest_segment_base(struct vcpu *v, const struct regs *regs, unsigned segment);

/* FPU (hv/x86/fpu.c) */
int fpu_init_vcpu(struct vcpu *v);
/* x87 and SSE from the 512 bytes of a context; what else there is stays as it is. v does not run. */
void fpu_load_image(struct vcpu *v, const void *fxsave);
/* The same from a whole area in the standard XSAVE form, cpu_features.xsave_size bytes. 0, -EINVAL. */
int fpu_load_xsave(struct vcpu *v, const void *area);
void fpu_restore(struct vcpu *v); /* before returning to the guest */
void fpu_save(struct vcpu *v);    /* at context switch */

#endif
