/* SPDX-License-Identifier: MIT */
/* The one table of hypercalls: who may call what. */
#include "core/hypercall.h"
#include "abi/pal.h"
#include "base/log.h"
#include "mm/mm.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include <xen/arch-x86/xen-mca.h>

/* The memory core's hypercalls take its own view of a vCPU. */
long do_mmu_update(struct vcpu *v, uint64_t reqs, uint64_t count, uint64_t done, uint64_t foreign,
                   uint64_t a5)
{
    (void)a5;
    return mm_mmu_update(&v->mm, reqs, (unsigned)count, done, (unsigned)foreign);
}

long do_mmuext_op(struct vcpu *v, uint64_t ops, uint64_t count, uint64_t done, uint64_t foreign,
                  uint64_t a5)
{
    (void)a5;
    return mm_mmuext_op(&v->mm, ops, (unsigned)count, done, (unsigned)foreign);
}

long do_update_va_mapping(struct vcpu *v, uint64_t va, uint64_t value, uint64_t flags, uint64_t a4,
                          uint64_t a5)
{
    (void)a4, (void)a5;
    return mm_update_va_mapping(&v->mm, va, value, flags, DOMID_SELF);
}

long do_update_va_mapping_otherdomain(struct vcpu *v, uint64_t va, uint64_t value, uint64_t flags,
                                      uint64_t domid, uint64_t a5)
{
    (void)a5;
    return mm_update_va_mapping(&v->mm, va, value, flags, (unsigned)domid);
}

#define HC(nr, handler)      [__HYPERVISOR_##nr] = {do_##handler, HC_ANYONE, #nr}
#define HC_CTRL(nr, handler) [__HYPERVISOR_##nr] = {do_##handler, HC_CONTROL, #nr}

/* A slot without a handler is a hypercall that is not there. */
const struct hypercall hypercall_table[HYPERCALL_COUNT] = {
    HC(set_trap_table, set_trap_table),
    HC(mmu_update, mmu_update),
    HC(set_gdt, set_gdt),
    HC(stack_switch, stack_switch),
    HC(set_callbacks, set_callbacks),
    HC(fpu_taskswitch, fpu_taskswitch),
    HC_CTRL(platform_op, platform_op),
    HC(set_debugreg, set_debugreg),
    HC(get_debugreg, get_debugreg),
    HC(update_descriptor, update_descriptor),
    HC(memory_op, memory_op),
    HC(multicall, multicall),
    HC(update_va_mapping, update_va_mapping),
    HC(set_timer_op, set_timer_op),
    HC(event_channel_op, event_channel_op),
    HC(xen_version, xen_version),
    HC(console_io, console_io),
    HC(physdev_op, physdev_op),
    HC(grant_table_op, grant_table_op),
    HC(vm_assist, vm_assist),
    HC(update_va_mapping_otherdomain, update_va_mapping_otherdomain),
    HC(iret, iret),
    HC(vcpu_op, vcpu_op),
    HC(set_segment_base, set_segment_base),
    HC(mmuext_op, mmuext_op),
    HC(sched_op, sched_op),
    HC(callback_op, callback_op),
    HC_CTRL(sysctl, sysctl),
    HC_CTRL(domctl, domctl),
    HC_CTRL(mca, mca),
    HC(pal_op, pal_op), /* decides itself: a few of its commands are for guests */
};
#undef HC
#undef HC_CTRL

#ifdef PAL_DEBUG
static void note_missing(struct vcpu *v, uint64_t number)
{
    static uint64_t seen;
    if (number < 64 && !bit_test_and_set(&seen, (unsigned)number))
        log_guest(v->mm.d->id, "hypercall %lu is not there", (unsigned long)number);
}
#else
#define note_missing(v, number) ((void)(v), (void)(number))
#endif

static inline long dispatch(struct vcpu *v, uint64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                            uint64_t a4, uint64_t a5)
{
    if (unlikely(number >= HYPERCALL_COUNT))
        return -XEN_ENOSYS;
    const struct hypercall *h = &hypercall_table[number];
    if (unlikely(!h->fn)) {
        note_missing(v, number);
        return -XEN_ENOSYS;
    }
    if (unlikely(h->who == HC_CONTROL && !v->mm.d->privileged))
        return -XEN_EPERM;
    return h->fn(v, a1, a2, a3, a4, a5);
}

long hypercall_dispatch(struct vcpu *v, uint64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                        uint64_t a4, uint64_t a5)
{
    return dispatch(v, number, a1, a2, a3, a4, a5);
}

void hypercall_from_guest(struct regs *regs)
{
    struct vcpu *v = current_vcpu();

    v->hypercalls++;
    long result = dispatch(v, regs->rax, regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8);
    /* iret and a fatal error replaced the whole context: rax is then not ours to write. */
    if (regs->vector == ENTRY_SYSCALL)
        regs->rax = (uint64_t)result;
    guest_exit(v, regs);
}
