/* SPDX-License-Identifier: MIT */
/*
 * Event channels: delivery.
 *
 * The two-level form: a pending bit and a mask bit a port in the shared page, a selector word and
 * a flag in each vCPU's info. All of that is the guest's to scribble on; it decides whether and
 * where the guest looks, never what the hypervisor does next. What a port is stands in struct
 * evtchn.
 *
 * Locks. A port changes under its domain's event_lock and its own lock; an end of an interdomain
 * channel changes under both domains' event_locks (by ascending id) and its own. Sending takes the
 * sender's port lock only: while it is held and the port is found bound, the other end cannot be
 * closed, since closing must write this end too. Order: event_lock, event_lock of a higher id,
 * interrupt descriptor (irq.c), port lock, run queue. Interrupt and timer handlers take port locks;
 * so no port lock is ever held over an interrupt window.
 *
 * Buckets of ports are only added, and live until the domain's memory goes; a reader finds them
 * before it finds the limit that makes them reachable.
 */
#include "core/irq.h"
#include "core/sched.h"
#include "core/uaccess.h"
#include "event_internal.h"
#include "pirq.h"
#include <xen/errno.h>

struct evtchn *evtchn_of(struct domain *d, uint64_t port)
{
    if (port == 0 || port >= load_acquire(&d->evtchn_limit))
        return NULL;
    return &d->evtchn_buckets[port / EVENT_BUCKET_PORTS][port % EVENT_BUCKET_PORTS];
}

void event_notify_vcpu(struct vcpu *v)
{
    /* Pending first, then the state: see sched.c. Who set it before has made the vCPU look. */
    if (exchange(&v->info->evtchn_upcall_pending, 1))
        return;
    if (load_relaxed(&v->state) == VCPU_BLOCKED) {
        if (!load_relaxed(&v->info->evtchn_upcall_mask))
            vcpu_wake(v);
    } else if (v != current_vcpu() && load_relaxed(&v->running)) {
        /* Masked or not: one that is just unmasking looks for pending events without a fence, as stock kernels and the
         * fast way back to user mode do, so each of us may see the other's old value. The interrupt makes it look again. */
        lapic_send_ipi(load_relaxed(&v->cpu), VECTOR_KICK);
    }
}

/* Wake those who poll for this port. Who takes the bit from the mask is the one to wake. */
static void wake_pollers(struct domain *d, unsigned port)
{
    for (unsigned w = 0; w * 64 < d->max_vcpus; w++) {
        uint64_t polling = load_relaxed(&d->poll_mask[w]);
        while (polling) {
            unsigned id = w * 64 + lowest_bit(polling);
            struct vcpu *v = d->vcpus[id];
            int wanted = load_relaxed(&v->poll_port);
            if ((wanted == -1 || wanted == (int)port) && bit_test_and_clear(d->poll_mask, id))
                vcpu_wake(v);
            polling &= polling - 1;
        }
    }
}

void event_raise(struct domain *d, const struct evtchn *chn)
{
    unsigned port = chn->port;
    if (bit_test_and_set(d->shared->evtchn_pending, port))
        return;
    /* Not before: who gives the port to another vCPU meanwhile unmasks it then, and finds it pending. */
    struct vcpu *v = d->vcpus[load_relaxed(&chn->vcpu)];
    if (!bit_test(d->shared->evtchn_mask, port) &&
        !bit_test_and_set(&v->info->evtchn_pending_sel, port / 64))
        event_notify_vcpu(v);
    wake_pollers(d, port);
}

void event_set_pending(struct domain *d, unsigned port)
{
    struct evtchn *chn = evtchn_of(d, port);
    if (!chn)
        return;
    spin_lock(&chn->lock);
    if (chn->state != EVT_FREE)
        event_raise(d, chn);
    spin_unlock(&chn->lock);
}

static bool virq_is_per_vcpu(unsigned virq)
{
    return virq == VIRQ_TIMER || virq == VIRQ_DEBUG || virq == VIRQ_XENOPROF || virq == VIRQ_XENPMU;
}

bool event_virq_is_global(unsigned virq)
{
    return !virq_is_per_vcpu(virq);
}

void event_send_virq(struct vcpu *v, unsigned virq)
{
    struct evtchn *chn = evtchn_of(v->domain, load_acquire(&v->virq_port[virq]));
    if (!chn)
        return;
    spin_lock(&chn->lock);
    /* The port may have been closed and given to something else since we read its number. */
    if (chn->state == EVT_VIRQ && chn->virq == virq &&
        (chn->vcpu == v->mm.id || event_virq_is_global(virq)))
        event_raise(v->domain, chn);
    spin_unlock(&chn->lock);
}

void event_send_global_virq(unsigned virq)
{
    if (domain0 && domain0->vcpus[0])
        event_send_virq(domain0->vcpus[0], virq);
}

bool event_send_pirq(struct domain *d, unsigned pirq)
{
    if (!d->pirqs || pirq >= MAX_PIRQS)
        return false;
    struct evtchn *chn = evtchn_of(d, load_acquire(&d->pirqs[pirq].port));
    if (!chn)
        return false;
    spin_lock(&chn->lock);
    bool bound = chn->state == EVT_PIRQ && chn->pirq == pirq;
    if (bound)
        event_raise(d, chn);
    spin_unlock(&chn->lock);
    return bound;
}

/* The hot path of IPIs and of split drivers. */
static int event_send(struct domain *d, uint64_t port)
{
    struct evtchn *chn = evtchn_of(d, port);
    if (!chn)
        return -XEN_EINVAL;
    int result = 0;
    spin_lock(&chn->lock);
    switch (chn->state) {
    case EVT_IPI:
        event_raise(d, chn);
        break;
    case EVT_INTERDOMAIN:
        /* The other end stays bound to us while we hold our lock; it may go to another vCPU. */
        event_raise(chn->remote, evtchn_of(chn->remote, chn->remote_port));
        break;
    case EVT_UNBOUND: /* nobody there yet; the one who binds finds the event pending */
        break;
    default:
        result = -XEN_EINVAL;
    }
    spin_unlock(&chn->lock);
    return result;
}

static int event_unmask(struct domain *d, uint64_t port)
{
    struct evtchn *chn = evtchn_of(d, port);
    if (!chn)
        return -XEN_EINVAL;
    spin_lock(&chn->lock);
    int result = chn->state == EVT_FREE ? -XEN_EINVAL : 0;
    if (!result && bit_test_and_clear(d->shared->evtchn_mask, chn->port) &&
        bit_test(d->shared->evtchn_pending, chn->port)) {
        struct vcpu *v = d->vcpus[chn->vcpu];
        if (!bit_test_and_set(&v->info->evtchn_pending_sel, chn->port / 64))
            event_notify_vcpu(v);
    }
    spin_unlock(&chn->lock);
    return result;
}

long event_op_send(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_send op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    return event_send(v->domain, op.port);
}

long event_op_unmask(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_unmask op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    return event_unmask(v->domain, op.port);
}
