/* SPDX-License-Identifier: MIT */
/* What the files of the instruction emulation share. */
#ifndef X86_EMULATE_H
#define X86_EMULATE_H

#include "decode.h"
#include "x86/guest.h"

/* Read the instruction at regs->rip, once, and decode it. False: not 64-bit code, not readable, or
 * not one that the decoder knows. */
bool emulate_fetch(struct vcpu *v, const struct regs *regs, struct insn *insn);

/* The instruction is done: go behind it; single-step it if the guest asked for that. */
void emulate_done(struct vcpu *v, struct regs *regs, const struct insn *insn);

/* An access of n bytes at va failed: give the guest the fault that the processor would. */
void emulate_access_fault(struct vcpu *v, uint64_t va, unsigned n, bool write);

/* Would a write of n bytes (at most a page) at va be let through by the guest's own tables now? */
bool emulate_writable(struct vcpu *v, uint64_t va, unsigned n);

/* msr.c: RDMSR and WRMSR of a guest kernel. False: a general-protection fault. */
bool msr_guest_read(struct vcpu *v, uint32_t msr, uint64_t *value);
bool msr_guest_write(struct vcpu *v, uint32_t msr, uint64_t value);
/* CR4 as the guest sees it. A write keeps the bits that a guest may own and ignores the rest. */
uint64_t msr_guest_cr4(const struct vcpu *v);
void msr_guest_set_cr4(struct vcpu *v, uint64_t value);

/* ioport.c: the instruction is IN, OUT, INS or OUTS. False: a general-protection fault. */
bool ioport_emulate(struct vcpu *v, struct regs *regs, const struct insn *insn);

/* mmio.c: a MOV of value to device memory that domain 0 maps read-only. False: not such a write. */
bool mmio_guest_write(struct vcpu *v, uint64_t va, unsigned size, uint64_t value);

#endif
