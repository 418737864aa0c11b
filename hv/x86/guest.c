/* SPDX-License-Identifier: MIT */
/*
 * Bounces: leaving for the guest kernel's handlers instead of where the guest was; and the last
 * look before a guest runs again.
 *
 * The frame a handler finds on its kernel stack (upwards): rcx, r11, [error code,] rip, cs with the
 * event mask in bits 32.., rflags, rsp, ss; its order is fixed by the interface and known to Linux'
 * entry code.
 */
#include "base/string.h"
#include "core/domain.h"
#include "core/event.h"
#include "core/sched.h"
#include "core/time.h"
#include "core/uaccess.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include "x86/insn.h"
#include "x86/segments.h"

#define RFLAGS_BOUNCE_CLEARS                                                                       \
    (RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM | RFLAGS_AC | RFLAGS_IOPL | RFLAGS_VIF |        \
     RFLAGS_VIP)

void guest_enter_kernel(struct vcpu *v)
{
    v->in_kernel = true;
    __asm__ volatile("swapgs" : : : "memory");
    write_cr3(v->kernel_cr3);
}

void guest_enter_user(struct vcpu *v)
{
    v->in_kernel = false;
    __asm__ volatile("swapgs" : : : "memory");
    write_cr3(v->user_cr3);
}

enum frame_kind { FRAME_PLAIN, FRAME_ERROR, FRAME_FAILSAFE };

/* Push the frame and go to `address`. The guest's stack pointer must be sane for the whole frame:
 * it is written with one checked copy; if that fails the guest cannot be told of anything any more.
 */
static inline __attribute__((always_inline)) void bounce(struct vcpu *v, struct regs *regs,
                                                         uint64_t address, enum frame_kind kind,
                                                         uint32_t error_code, bool mask_events)
{
    uint64_t frame[12];
    unsigned n = 0;
    bool from_user = !v->in_kernel;
    uint8_t mask = READ_ONCE(v->info->evtchn_upcall_mask);
    uint64_t sp = (from_user ? v->kernel_sp : regs->rsp) & ~15ull;
    uint64_t cs = from_user ? regs->cs : regs->cs & ~3ull;

    frame[n++] = regs->rcx;
    frame[n++] = regs->r11;
    if (kind == FRAME_ERROR)
        frame[n++] = error_code;
    if (kind == FRAME_FAILSAFE)
        for (unsigned i = 0; i < 4; i++)
            frame[n++] = 0; /* ds, es, fs, gs: those that failed were replaced by null selectors */
    frame[n++] = regs->rip;
    frame[n++] = (cs & 0xffff) | ((uint64_t) !!mask << 32);
    frame[n++] = (regs->rflags & ~(uint64_t)(RFLAGS_IF | RFLAGS_IOPL)) | (mask ? 0 : RFLAGS_IF);
    frame[n++] = regs->rsp;
    frame[n++] = regs->ss & 0xffff;

    if (from_user)
        guest_enter_kernel(v);
    sp -= n * 8;
    if (copy_to_guest(sp, frame, n * 8)) {
        domain_crash(v->domain, "its kernel stack (%lx) cannot take an exception frame",
                     (unsigned long)sp);
        return;
    }
    if (mask_events)
        WRITE_ONCE(v->info->evtchn_upcall_mask, 1);
    regs->rip = address;
    regs->cs = GUEST_CS64;
    regs->ss = GUEST_DS;
    regs->rsp = sp;
    regs->rflags = (regs->rflags & ~(uint64_t)RFLAGS_BOUNCE_CLEARS) | RFLAGS_IF | RFLAGS_MBS;
    regs->vector = 0; /* not by SYSRET: rcx and r11 count */
}

static bool has_error_code(unsigned vector)
{
    return vector < 32 &&
           ((1u << vector) & ((1u << EXC_DF) | (1u << EXC_TS) | (1u << EXC_NP) | (1u << EXC_SS) |
                              (1u << EXC_GP) | (1u << EXC_PF) | (1u << EXC_AC)));
}

static bool has_handler(struct vcpu *v, unsigned vector)
{
    if (likely(v->traps[vector].address))
        return true;
    domain_crash(v->domain, "no handler for exception %u", vector);
    return false;
}

void guest_inject(struct vcpu *v, unsigned vector, uint32_t error_code)
{
    const struct guest_trap *t = &v->traps[vector];

    if (!has_handler(v, vector))
        return;
    if (has_error_code(vector))
        bounce(v, vcpu_regs(v), t->address, FRAME_ERROR, error_code, t->flags & 4);
    else
        bounce(v, vcpu_regs(v), t->address, FRAME_PLAIN, 0, t->flags & 4);
}

void guest_inject_page_fault(struct vcpu *v, uint64_t address, uint32_t error_code)
{
    v->info->arch.cr2 = address;
    /* Guest kernels run in ring 3, but think of themselves as supervisor. */
    if (v->in_kernel)
        error_code &= ~(uint32_t)PF_USER;
    const struct guest_trap *t = &v->traps[EXC_PF];
    if (has_handler(v, EXC_PF))
        bounce(v, vcpu_regs(v), t->address, FRAME_ERROR, error_code, t->flags & 4);
}

/* ---- system calls that entry.S does not do itself ---- */

void guest_update_syscall_frame(struct vcpu *v)
{
    uint64_t sp = (v->kernel_sp & ~15ull) - 7 * 8;
    bool usual = v->syscall_cb.address && v->syscall_cb.mask_events && guest_range_ok(sp, 7 * 8);
    v->syscall_frame = usual ? sp : 0;
}

static void bounce_callback(struct vcpu *v, struct regs *regs, const struct guest_callback *cb)
{
    if (!cb->address) {
        /* As on hardware where the instruction is not there. */
        regs->rip -= regs->rip && regs->vector == ENTRY_SYSCALL ? 2 : 0;
        regs->vector = 0;
        guest_inject(v, EXC_UD, 0);
        return;
    }
    bounce(v, regs, cb->address, FRAME_PLAIN, 0, cb->mask_events);
}

void system_call_from_user(struct regs *regs)
{
    struct vcpu *v = current_vcpu();
    bounce_callback(v, regs, &v->syscall_cb);
    guest_exit(v, regs);
}

/* SYSCALL of 32-bit code (user mode only: a guest kernel has no business in compatibility mode). */
void system_call_32(struct regs *regs)
{
    struct vcpu *v = current_vcpu();
    if (v->in_kernel)
        guest_inject(v, EXC_GP, 0);
    else
        bounce_callback(v, regs, &v->syscall32_cb);
    guest_exit(v, regs);
}

void sysenter_from_guest(struct regs *regs)
{
    struct vcpu *v = current_vcpu();

    regs->rflags = (regs->rflags & ~(uint64_t)(RFLAGS_TF | RFLAGS_NT | RFLAGS_IOPL)) | RFLAGS_IF;
    if (v->in_kernel || !v->sysenter_cb.address) {
        /* Where it came from is lost; a fault is all that can be said. */
        regs->vector = 0;
        guest_inject(v, EXC_GP, 0);
    } else {
        bounce(v, regs, v->sysenter_cb.address, FRAME_PLAIN, 0, v->sysenter_cb.mask_events);
    }
    guest_exit(v, regs);
}

/* ---- failures on the way out ---- */

void guest_stack_fault(struct regs *regs)
{
    struct vcpu *v = current_vcpu();
    domain_crash(v->domain, "its kernel stack (%lx) cannot take a system call's frame",
                 (unsigned long)v->syscall_frame);
    guest_exit(v, regs);
}

void guest_iret_failed(struct regs *regs)
{
    struct vcpu *v = current_vcpu();
    if (v->failsafe_cb.address)
        bounce(v, regs, v->failsafe_cb.address, FRAME_FAILSAFE, 0, v->failsafe_cb.mask_events);
    else
        domain_crash(v->domain, "it returns to an impossible context and has no failsafe handler");
    guest_exit(v, regs);
}

/* ---- the last look ---- */

static void deliver_event(struct vcpu *v, struct regs *regs)
{
    v->upcalls++; /* called only where there is a handler */
    if (v->event_cb.address)
        bounce(v, regs, v->event_cb.address, FRAME_PLAIN, 0, true);
}

static void deliver_nmi(struct vcpu *v, struct regs *regs)
{
    v->nmi_pending = false;
    v->nmi_masked = true;
    bounce(v, regs, v->nmi_address, FRAME_PLAIN, 0, true);
}

void guest_exit_work(struct vcpu *v, struct regs *regs)
{
    bool delivered = false;

    for (;;) {
        if (unlikely(this_cpu()->need_resched)) {
            sched_boundary();
            continue;
        }
        if (unlikely(v->exit_work)) {
            v->exit_work = false;
            runstate_update_area(v);
            if (v->nmi_pending && !v->nmi_masked && v->nmi_address)
                deliver_nmi(v, regs);
            continue;
        }
        if (delivered || !event_deliverable(v) || !v->event_cb.address)
            break;
        /* Once: what another vCPU does to pending and mask meanwhile waits for the next way out. Then from the top: a
         * domain whose stack cannot take the frame is to stop here. */
        deliver_event(v, regs);
        delivered = true;
    }
}
