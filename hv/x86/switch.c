/* SPDX-License-Identifier: MIT */
/*
 * From one vCPU to another on this CPU. Everything of the guest that lives in registers is saved and loaded here, in
 * full; what C code needs is on the vCPU's own stack, which is switched last.
 */
#include "base/check.h"
#include "core/sched.h"
#include "core/domain.h"
#include "mm/mm.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include "x86/insn.h"
#include "x86/paging.h"

static uint64_t stack_address(struct vcpu *v)
{
    return (uint64_t)&v->stack->cpu;
}

static void save_segments(struct vcpu *v)
{
    __asm__ volatile("mov %%ds, %0" : "=r"(v->ds));
    __asm__ volatile("mov %%es, %0" : "=r"(v->es));
    __asm__ volatile("mov %%fs, %0" : "=r"(v->fs));
    __asm__ volatile("mov %%gs, %0" : "=r"(v->gs));
    v->fs_base = rdmsr(MSR_FS_BASE);
    uint64_t live = rdmsr(MSR_GS_BASE), other = rdmsr(MSR_KERNEL_GS_BASE);
    v->gs_base_kernel = v->in_kernel ? live : other;
    v->gs_base_user = v->in_kernel ? other : live;
}

/* Selectors first: loading them writes the bases. One that no longer exists becomes null, as the interface's failsafe
 * callback would have the guest do. */
static void load_segments(struct vcpu *v)
{
    load_ds(v->ds);
    load_es(v->es);
    load_fs(v->fs);
    load_gs(v->gs);
    wrmsr(MSR_FS_BASE, v->fs_base);
    wrmsr(MSR_GS_BASE, v->in_kernel ? v->gs_base_kernel : v->gs_base_user);
    wrmsr(MSR_KERNEL_GS_BASE, v->in_kernel ? v->gs_base_user : v->gs_base_kernel);
}

void vcpu_load_root(struct vcpu *v)
{
    tlb_load_cr3(v->in_kernel ? v->kernel_cr3 : v->user_cr3);
}

static void leave_guest(struct vcpu *v)
{
    save_segments(v);
    fpu_save(v);
    debug_unload(v);
    mm_ldt_drop(&v->mm);
}

static void enter_guest(struct vcpu *v)
{
    window_load(v);
    vcpu_load_root(v);
    load_segments(v);
    msr_load(v);
    fpu_restore(v);
    debug_load(v);
}

void context_switch(struct vcpu *prev, struct vcpu *next)
{
    struct cpu *c = this_cpu();

    DCHECK(!irq_enabled());
    if (!prev->is_idle)
        leave_guest(prev);
    c->switched_from = prev;
    next->cpu = c->id;
    next->stack->cpu = c;
    c->current = next;
    c->tss->rsp0 = stack_address(next);
    c->entry->stack_top = stack_address(next);
    store_relaxed(&c->guest, (uint32_t)next->mm.d->id << 16 | next->mm.id);
    full_fence(); /* before its tables are loaded: see runs_one_of in tlb.c */
    if (next->is_idle) {
        tlb_load_cr3(hv_root_maddr());
        store_release(&c->exempt, true);
    } else {
        store_relaxed(&c->exempt, false);
        full_fence();
        enter_guest(next);
    }
    stack_switch(&prev->saved_rsp, next->saved_rsp);
}

/* What stack_switch pops for a vCPU that never ran: six registers and the address to go to. */
void vcpu_prepare_stack(struct vcpu *v)
{
    uint64_t *sp = (uint64_t *)&v->stack->regs;
    *--sp = (uint64_t)vcpu_first_entry;
    for (unsigned i = 0; i < 6; i++)
        *--sp = 0;
    v->saved_rsp = (uint64_t)sp;
    v->stack->current = v;
}

void vcpu_start(void)
{
    struct vcpu *v = current_vcpu();
    sched_switch_tail();
    guest_exit(v, vcpu_regs(v));
}
