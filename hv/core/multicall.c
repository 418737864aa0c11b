/* SPDX-License-Identifier: MIT */
/* Multicall: a plain loop of top-level calls. */
#include "base/log.h"
#include "core/hypercall.h"
#include "mm/env.h"
#include "x86/guest.h"

#define ENTRIES_PER_TURN 64

/*
 * Each entry is copied once, run, and only its result word written back. An entry that leaves the guest kernel's
 * present context (iret) ends the list. -EFAULT when an entry cannot be read or its result not written: the
 * results of earlier ones stay.
 */
long do_multicall(struct vcpu *v, uint64_t list, uint64_t count, uint64_t a3, uint64_t a4,
                  uint64_t a5)
{
    struct multicall_entry e;
    struct regs *regs = vcpu_regs(v);
    (void)a3, (void)a4, (void)a5;

    if (!guest_range_ok(list, count > UINT32_MAX ? UINT64_MAX : count * sizeof(e)))
        return -XEN_EFAULT;
    for (uint64_t i = 0; i < (uint32_t)count; i++, list += sizeof(e)) {
        if (i && i % ENTRIES_PER_TURN == 0 && unlikely(!env_rest_point()))
            return -XEN_EINVAL;
        if (unlikely(load_relaxed(&v->domain->mm.dying)))
            return -XEN_EINVAL; /* who ends the domain waits for this vCPU */
        if (copy_from_guest(&e, list, sizeof(e)))
            return -XEN_EFAULT;
        long result = -XEN_EINVAL;
        if (e.op != __HYPERVISOR_multicall)
            result =
                hypercall_dispatch(v, e.op, e.args[0], e.args[1], e.args[2], e.args[3], e.args[4]);
        v->hypercalls++;
        if (regs->vector != ENTRY_SYSCALL)
            return 0;
        if (copy_to_guest(list + offsetof(struct multicall_entry, result), &result, sizeof(result)))
            return -XEN_EFAULT;
    }
    return 0;
}
