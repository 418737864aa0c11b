/* SPDX-License-Identifier: MIT */
/* The iret hypercall in full; the common case is in entry.S (iret_fast). */
#include "core/domain.h"
#include "core/hypercall.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include "x86/segments.h"

long do_iret(struct vcpu *v, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct regs *regs = vcpu_regs(v);
    struct iret_context f;
    (void)a1, (void)a2, (void)a3, (void)a4, (void)a5;

    if (copy_from_guest(&f, regs->rsp, sizeof(f))) {
        domain_crash(v->domain, "its iret frame (%lx) cannot be read", (unsigned long)regs->rsp);
        return 0;
    }
    bool to_user = (f.cs & 3) == 3;
    if (to_user && !v->user_cr3) {
        domain_crash(v->domain, "iret to user mode without a user page table");
        return 0;
    }
    regs->rip = f.rip;
    regs->cs = (f.cs & 0xffff) | 3;
    regs->rflags = (f.rflags & RFLAGS_GUEST) | RFLAGS_IF | RFLAGS_MBS;
    regs->rsp = f.rsp;
    regs->ss = (f.ss & 0xffff) | 3;
    regs->rax = f.rax;
    if (!(f.flags & VGCF_in_syscall)) {
        regs->rcx = f.rcx;
        regs->r11 = f.r11;
    }
    regs->vector = 0; /* not by SYSRET */
    v->nmi_masked = false;
    if (v->nmi_pending)
        store_relaxed(&v->exit_work, true);
    WRITE_ONCE(v->info->evtchn_upcall_mask, !(f.rflags & RFLAGS_IF));
    if (to_user)
        guest_enter_user(v);
    return 0;
}
