/* SPDX-License-Identifier: MIT */
/* VCPUOP_*: a guest's operations on its own vCPUs. */
#include "base/string.h"
#include "core/event.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "core/time.h"
#include "core/vtimer.h"
#include "x86/entry.h"

static long op_initialise(struct vcpu *target, uint64_t arg)
{
    struct vcpu_guest_context *c = heap_alloc(sizeof(*c));
    if (!c)
        return -XEN_ENOMEM;
    long error = -XEN_EFAULT;
    if (!copy_from_guest(c, arg, sizeof(*c))) {
        /* One at a time, and once: the claim is undone when the context is refused. The vCPU that a
         * domain's builder started was never claimed. */
        if (exchange(&target->claimed, true) || load_acquire(&target->initialised))
            error = -XEN_EEXIST;
        else if ((error = vcpu_set_context(target, c)))
            store_release(&target->claimed, false);
    }
    heap_free(c);
    return error;
}

static long op_up(struct vcpu *target)
{
    if (!load_acquire(&target->initialised))
        return -XEN_EINVAL;
    sched_vcpu_up(target);
    return 0;
}

static long op_down(struct vcpu *v, struct vcpu *target)
{
    struct domain *d = v->domain;
    bool others = false;

    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (d->vcpus[i] != target && d->vcpus[i]->state != VCPU_DOWN)
            others = true;
    if (!others)
        domain_shutdown(d, SHUTDOWN_poweroff); /* the last one: nobody could bring it up again */
    else
        sched_vcpu_stop(target, VCPU_DOWN);
    return 0;
}

static long op_register_info(struct vcpu *v, struct vcpu *target, uint64_t arg)
{
    struct vcpu_register_vcpu_info r;

    if (copy_from_guest(&r, arg, sizeof(r)))
        return -XEN_EFAULT;
    if (r.offset > PAGE_SIZE - sizeof(struct vcpu_info) || r.offset % sizeof(uint64_t))
        return -XEN_EINVAL;
    if (target != v && target->state != VCPU_DOWN)
        return -XEN_EINVAL;
    if (mm_hold_writable(&v->domain->mm, mfn(r.mfn)))
        return -XEN_EINVAL;
    spin_lock(&v->domain->event_lock);
    if (target->info_mfn != ~0ull) {
        spin_unlock(&v->domain->event_lock);
        mm_release_writable(&v->domain->mm, mfn(r.mfn));
        return -XEN_EINVAL;
    }
    struct vcpu_info *to = (struct vcpu_info *)((char *)env_frame(mfn(r.mfn)) + r.offset);
    memcpy(to, target->info, sizeof(*to));
    target->info_mfn = r.mfn;
    store_release(&target->info, to);
    spin_unlock(&v->domain->event_lock);
    time_update_vcpu(target);
    /* A sender may have written the old place meanwhile: let the guest look at everything once. */
    to->evtchn_pending_sel = ~0ull;
    event_notify_vcpu(target);
    return 0;
}

static long op_runstate(struct vcpu *target, uint64_t arg)
{
    struct vcpu_runstate_info r;
    runstate_get(target, &r);
    return copy_to_guest(arg, &r, sizeof(r)) ? -XEN_EFAULT : 0;
}

/* Areas are registered by address. One in our slots is refused; any other is tried at each update, and
 * skipped when it cannot be written. */
static long read_area(uint64_t arg, uint64_t *va, size_t size)
{
    if (copy_from_guest(va, arg, sizeof(*va)))
        return -XEN_EFAULT;
    return guest_range_ok(*va, size) ? 0 : -XEN_EFAULT;
}

static long op_runstate_area(struct vcpu *target, uint64_t arg)
{
    uint64_t va;
    long error = read_area(arg, &va, sizeof(struct vcpu_runstate_info));
    return error ? error : runstate_register_area(target, va);
}

static long op_time_area(struct vcpu *target, uint64_t arg)
{
    uint64_t va;
    long error = read_area(arg, &va, sizeof(struct vcpu_time_info));
    return error ? error : time_register_area(target, va);
}

static long op_set_periodic(struct vcpu *target, uint64_t arg)
{
    struct vcpu_set_periodic_timer t;
    if (copy_from_guest(&t, arg, sizeof(t)))
        return -XEN_EFAULT;
    return vcpu_set_periodic(target, t.period_ns);
}

static long op_set_singleshot(struct vcpu *v, struct vcpu *target, uint64_t arg)
{
    struct vcpu_set_singleshot_timer t;
    if (target != v)
        return -XEN_EINVAL;
    if (copy_from_guest(&t, arg, sizeof(t)))
        return -XEN_EFAULT;
    return vcpu_set_singleshot(target, t.timeout_abs_ns, t.flags);
}

static long op_physid(struct vcpu *target, uint64_t arg)
{
    struct vcpu_get_physid id;
    if (!target->domain->mm.privileged)
        return -XEN_EINVAL;
    const struct cpu *c = cpus[target->mm.id % cpu_count];
    id.phys_id = ((uint64_t)c->acpi_id << 32) | c->apic_id;
    return copy_to_guest(arg, &id, sizeof(id)) ? -XEN_EFAULT : 0;
}

void vcpu_send_nmi(struct vcpu *v)
{
    v->nmi_pending = true;
    store_release(&v->exit_work, true);
    vcpu_wake(v);
    sched_kick(load_relaxed(&v->cpu));
}

long do_vcpu_op(struct vcpu *v, uint64_t cmd, uint64_t id, uint64_t arg, uint64_t a4, uint64_t a5)
{
    (void)a4, (void)a5;
    if ((uint32_t)id >= v->domain->max_vcpus)
        return -XEN_ENOENT;
    struct vcpu *target = v->domain->vcpus[(uint32_t)id];

    switch ((int)cmd) {
    case VCPUOP_initialise:
        return op_initialise(target, arg);
    case VCPUOP_up:
        return op_up(target);
    case VCPUOP_down:
        return op_down(v, target);
    case VCPUOP_is_up:
        return target->state != VCPU_DOWN;
    case VCPUOP_get_runstate_info:
        return op_runstate(target, arg);
    case VCPUOP_register_runstate_memory_area:
        return op_runstate_area(target, arg);
    case VCPUOP_set_periodic_timer:
        return op_set_periodic(target, arg);
    case VCPUOP_stop_periodic_timer:
        vcpu_stop_periodic(target);
        return 0;
    case VCPUOP_set_singleshot_timer:
        return op_set_singleshot(v, target, arg);
    case VCPUOP_stop_singleshot_timer:
        if (target != v)
            return -XEN_EINVAL;
        vcpu_stop_singleshot(target);
        return 0;
    case VCPUOP_register_vcpu_info:
        return op_register_info(v, target, arg);
    case VCPUOP_send_nmi:
        vcpu_send_nmi(target);
        return 0;
    case VCPUOP_get_physid:
        return op_physid(target, arg);
    case VCPUOP_register_vcpu_time_memory_area:
        return op_time_area(target, arg);
    default:
        return -XEN_ENOSYS;
    }
}
