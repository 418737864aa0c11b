/* SPDX-License-Identifier: MIT */
/* HYPERVISOR_sched_op: a vCPU gives up its CPU, waits, or ends its domain. */
#include "core/event.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "event_internal.h"

#define POLL_MAX_PORTS 128

static long op_yield(struct vcpu *v, uint64_t arg_va)
{
    (void)v, (void)arg_va;
    vcpu_yield();
    return 0;
}

static long op_block(struct vcpu *v, uint64_t arg_va)
{
    (void)arg_va;
    store_relaxed(&v->info->evtchn_upcall_mask, 0);
    vcpu_block();
    return 0;
}

static long op_shutdown(struct vcpu *v, uint64_t arg_va)
{
    struct sched_shutdown op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.reason > SHUTDOWN_MAX)
        return -XEN_EINVAL;
    domain_shutdown(v->domain, op.reason);
    return 0;
}

/* Does one of the ports have an event? 1, 0, or -EINVAL when one is not open. */
static int any_pending(struct domain *d, const evtchn_port_t *ports, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct evtchn *chn = evtchn_of(d, ports[i]);
        if (!chn || load_relaxed(&chn->state) == EVT_FREE)
            return -XEN_EINVAL;
        if (bit_test(d->shared->evtchn_pending, chn->port))
            return 1;
    }
    return 0;
}

/* Wait for an event on one of these ports, masked or not, for any deliverable event, or for the
 * time. */
static long poll_ports(struct vcpu *v, const evtchn_port_t *ports, unsigned count, uint64_t timeout)
{
    struct domain *d = v->domain;
    /* First say what is waited for, then look: a sender marks first and then looks for pollers. */
    store_relaxed(&v->poll_port, count == 1 ? (int)ports[0] : -1);
    bit_test_and_set(d->poll_mask, v->mm.id);
    long result = any_pending(d, ports, count);
    if (result == 0 && timeout)
        result = timer_set(&v->poll, timeout);
    if (result == 0)
        vcpu_block();
    if (timeout)
        timer_stop(&v->poll);
    bit_test_and_clear(d->poll_mask, v->mm.id);
    store_relaxed(&v->poll_port, 0);
    return result < 0 ? result : 0;
}

static long op_poll(struct vcpu *v, uint64_t arg_va)
{
    struct sched_poll op;
    evtchn_port_t ports[POLL_MAX_PORTS];
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.nr_ports > POLL_MAX_PORTS)
        return -XEN_EINVAL;
    if (copy_from_guest(ports, (uint64_t)op.ports.p, op.nr_ports * sizeof(ports[0])))
        return -XEN_EFAULT;
    return poll_ports(v, ports, op.nr_ports, op.timeout);
}

static long op_remote_shutdown(struct vcpu *v, uint64_t arg_va)
{
    struct sched_remote_shutdown op;
    if (!v->domain->mm.privileged)
        return -XEN_EPERM;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.reason > SHUTDOWN_MAX)
        return -XEN_EINVAL;
    struct domain *d = domain_get(op.domain_id);
    if (!d)
        return -XEN_ESRCH;
    int result = d == v->domain ? -XEN_EINVAL : 0;
    if (!result)
        domain_shutdown(d, op.reason);
    domain_put(d);
    return result;
}

/* What a later shutdown of this domain will be taken for; the guest still runs. */
static long op_shutdown_code(struct vcpu *v, uint64_t arg_va)
{
    struct sched_shutdown op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.reason > SHUTDOWN_MAX)
        return -XEN_EINVAL;
    store_relaxed(&v->domain->shutdown_code, op.reason);
    return 0;
}

long do_sched_op(struct vcpu *v, uint64_t cmd, uint64_t arg_va, uint64_t a3, uint64_t a4,
                 uint64_t a5)
{
    typedef long op_fn(struct vcpu * v, uint64_t arg_va);
    static op_fn *const ops[] = {
        [SCHEDOP_yield] = op_yield,
        [SCHEDOP_block] = op_block,
        [SCHEDOP_shutdown] = op_shutdown,
        [SCHEDOP_poll] = op_poll,
        [SCHEDOP_remote_shutdown] = op_remote_shutdown,
        [SCHEDOP_shutdown_code] = op_shutdown_code,
    };
    (void)a3, (void)a4, (void)a5;
    uint32_t n = (uint32_t)cmd;
    /* No watchdogs and no pinning: guests do without. */
    if (n >= ARRAY_SIZE(ops))
        return -XEN_ENOSYS;
    return ops[n](v, arg_va);
}
