/* SPDX-License-Identifier: MIT */
/* What entry.S calls, and what the files of the entry paths share. */
#ifndef X86_ENTRY_H
#define X86_ENTRY_H

#include "core/event.h"

/* traps.c */
void trap_from_guest(struct regs *regs);
void page_fault_from_guest(struct regs *regs);
void trap_from_hypervisor(struct regs *regs);
struct regs *trap_on_own_stack(struct regs *regs);
void interrupt_from_guest(struct regs *regs);
void interrupt_from_hypervisor(struct regs *regs);

/* guest.c */
void guest_exit_work(struct vcpu *v, struct regs *regs);
void guest_stack_fault(struct regs *regs);
void guest_iret_failed(struct regs *regs);
void system_call_from_user(struct regs *regs);
void system_call_32(struct regs *regs);
void sysenter_from_guest(struct regs *regs);
void guest_update_syscall_frame(struct vcpu *v); /* after a change of kernel_sp or syscall_cb */

/* hv/core/hypercall.c */
void hypercall_from_guest(struct regs *regs);

/* switch.c */
void vcpu_start(void);
void vcpu_prepare_stack(struct vcpu *v); /* a new vCPU: its stack begins at vcpu_first_entry */
void vcpu_load_root(struct vcpu *v);     /* CR3 of its present mode, on this CPU */
void stack_switch(uint64_t *save_rsp, uint64_t load_rsp);
extern char vcpu_first_entry[], guest_resume[];

/* window.c */
void window_load(struct vcpu *v); /* show v's GDT and LDT in this CPU's window */
bool ldt_window_fault(struct vcpu *v,
                      uint64_t address); /* true: an LDT page was promoted, try again */
/* A guest faulted in the window: resolved, or turned into what it would see on bare hardware. */
bool window_guest_fault(struct vcpu *v, struct regs *regs, uint64_t address);

/* far_return.c: a present page of the guest's refused itself to a user access; true: carried out
 * instead */
bool far_return_emulate(struct regs *regs);

/* fpu.c */
void fpu_clear_ts(struct vcpu *v);
void fpu_set_ts(struct vcpu *v);

/* debugreg.c */
void debug_note_status(struct vcpu *v);
void debug_clear_status(void);
void debug_load(struct vcpu *v);
void debug_unload(struct vcpu *v);
long debug_set(struct vcpu *v, unsigned reg, uint64_t value);

/* uaccess.S */
void load_ds(unsigned selector);
void load_es(unsigned selector);
void load_fs(unsigned selector);
void load_gs(unsigned selector);
int xrstor_safe(void *area, uint64_t mask);
int fxrstor_safe(void *area);
int xsetbv_safe(uint64_t xcr0);

/* tlb.c */
void tlb_load_cr3(uint64_t cr3); /* and note the clock */
void tlb_flush_local(void);
/* Forget what these pages of the hypervisor's own addresses were mapped to, on all CPUs. */
void tlb_drop_own(uint64_t va, unsigned pages);

/*
 * The last look before a guest runs; may switch vCPUs. Interrupts are off from here to the guest,
 * so what is decided stays true: whoever changes it afterwards sends an interrupt, which is taken
 * at the guest's first instruction.
 */
static inline void guest_exit(struct vcpu *v, struct regs *regs)
{
    if (unlikely(v->stack->cpu->need_resched || v->exit_work || v->info->evtchn_upcall_pending))
        guest_exit_work(v, regs);
}

#endif
