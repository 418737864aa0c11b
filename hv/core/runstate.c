/* SPDX-License-Identifier: MIT */
/*
 * Runstate: how long a vCPU was running, runnable, blocked and offline. Kept under its run-queue
 * lock; the guest's registered copy is written by the vCPU itself, in its own address space, when
 * it goes back to the guest after having been away. A page that is not there is skipped.
 */
#include "base/string.h"
#include "core/domain.h"
#include "core/time.h"
#include "core/uaccess.h"
#include "sched_internal.h"
#include "x86/guest.h"
#include <xen/errno.h>

void runstate_change(struct vcpu *v, int state, uint64_t now)
{
    struct vcpu_runstate_info *r = &v->runstate;
    if (r->state == state)
        return;
    uint64_t since = r->state_entry_time;
    if (now > since) { /* clocks of two CPUs may differ by a few ns */
        r->time[r->state] += now - since;
        r->state_entry_time = now;
    }
    r->state = state;
}

void runstate_get(struct vcpu *v, struct vcpu_runstate_info *out)
{
    struct cpu *c = sched_lock_vcpu(v);
    memcpy(out, &v->runstate, sizeof(*out));
    spin_unlock(&c->rq_lock);
    uint64_t now = time_now();
    if (now > out->state_entry_time)
        out->time[out->state] += now - out->state_entry_time;
}

/* The readers' protocol where they asked for it: the mark is set before the content changes and
 * cleared after. */
static void write_area(struct vcpu *v, const struct vcpu_runstate_info *r)
{
    uint64_t entry_va = v->runstate_va + offsetof(struct vcpu_runstate_info, state_entry_time);
    struct vcpu_runstate_info copy = *r;
    bool marked = v->domain->vm_assist & BIT(VMASST_TYPE_runstate_update_flag);
    if (marked) {
        copy.state_entry_time |= XEN_RUNSTATE_UPDATE;
        if (copy_to_guest(entry_va, &copy.state_entry_time, sizeof(copy.state_entry_time)))
            return;
    }
    if (copy_to_guest(v->runstate_va, &copy, sizeof(copy)) || !marked)
        return;
    copy.state_entry_time &= ~XEN_RUNSTATE_UPDATE;
    if (copy_to_guest(entry_va, &copy.state_entry_time, sizeof(copy.state_entry_time)))
        return;
}

void runstate_update_area(struct vcpu *v)
{
    if (!v->runstate_va)
        return;
    /* Its own runstate does not change while it runs: no lock. The area is a kernel address, which
     * user tables do not map. */
    struct vcpu_runstate_info now;
    memcpy(&now, &v->runstate, sizeof(now));
    bool user = !v->in_kernel;
    if (user)
        guest_enter_kernel(v);
    write_area(v, &now);
    if (user)
        guest_enter_user(v);
}

int runstate_register_area(struct vcpu *v, uint64_t va)
{
    if (va && !guest_range_ok(va, sizeof(struct vcpu_runstate_info)))
        return -XEN_EFAULT;
    WRITE_ONCE(v->runstate_va, va);
    if (v == current_vcpu())
        runstate_update_area(v);
    return 0;
}
