/* SPDX-License-Identifier: MIT */
/* Event channels: making ports, asking about them, and the hypercall. event.c has the theory. */
#include "base/string.h"
#include "core/hypercall.h"
#include "core/irq.h"
#include "event_internal.h"
#include "pirq.h"

/* The domain of that id, or the caller's own, with a reference. */
static struct domain *domain_named(struct vcpu *v, unsigned domid)
{
    if (domid != DOMID_SELF && domid != v->domain->mm.id)
        return domain_get(domid);
    domain_hold(v->domain);
    return v->domain;
}

struct domain *event_target(struct vcpu *v, unsigned domid, int *error)
{
    if (!v->domain->mm.privileged && domid != DOMID_SELF && domid != v->domain->mm.id) {
        *error = -XEN_EPERM;
        return NULL;
    }
    struct domain *d = domain_named(v, domid);
    if (!d)
        *error = -XEN_ESRCH;
    return d;
}

void evtchn_set(struct evtchn *chn, enum evtchn_state state, unsigned vcpu)
{
    chn->vcpu = vcpu;
    chn->state = state;
}

/* A free port, with d->event_lock; NULL with *error when there is none. */
static struct evtchn *find_free(struct domain *d, int *error)
{
    if (d->mm.dying) {
        *error = -XEN_ESRCH;
        return NULL;
    }
    for (unsigned port = 1; port < d->evtchn_limit && port <= d->evtchn_max; port++) {
        struct evtchn *chn = evtchn_of(d, port);
        if (chn->state == EVT_FREE)
            return chn;
    }
    if (d->evtchn_limit > d->evtchn_max) {
        *error = -XEN_ENOSPC;
        return NULL;
    }
    struct evtchn *bucket = heap_alloc(EVENT_BUCKET_PORTS * sizeof(*bucket));
    if (!bucket) {
        *error = -XEN_ENOMEM;
        return NULL;
    }
    unsigned first = d->evtchn_limit;
    for (unsigned i = 0; i < EVENT_BUCKET_PORTS; i++)
        bucket[i].port = first + i;
    d->evtchn_buckets[first / EVENT_BUCKET_PORTS] = bucket;
    store_release(&d->evtchn_limit, first + EVENT_BUCKET_PORTS);
    return &bucket[first == 0]; /* port 0 is reserved */
}

static struct vcpu *vcpu_by_id(struct domain *d, uint64_t id)
{
    return id < d->max_vcpus ? d->vcpus[id] : NULL;
}

/* Tell the caller its new port; if that fails the port is closed again. With no lock held. */
static long bind_done(struct domain *d, uint64_t out_va, unsigned port)
{
    uint32_t out = port;
    if (!copy_to_guest(out_va, &out, sizeof(out)))
        return 0;
    (void)event_close_port(d, port);
    return -XEN_EFAULT;
}

static long op_alloc_unbound(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_alloc_unbound op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    int error = 0;
    struct domain *d = event_target(v, op.dom, &error);
    if (!d)
        return error;
    spin_lock(&d->event_lock);
    struct evtchn *chn = find_free(d, &error);
    if (chn) {
        spin_lock(&chn->lock);
        chn->unbound_for = op.remote_dom == DOMID_SELF ? v->domain->mm.id : op.remote_dom;
        evtchn_set(chn, EVT_UNBOUND, 0);
        spin_unlock(&chn->lock);
    }
    spin_unlock(&d->event_lock);
    if (chn)
        error = bind_done(d, arg_va + offsetof(struct evtchn_alloc_unbound, port), chn->port);
    domain_put(d);
    return error;
}

/* With both event locks. The new local port, or an error. */
static int connect(struct domain *ld, struct domain *rd, uint64_t rport)
{
    int error = 0;
    struct evtchn *lchn = find_free(ld, &error);
    if (!lchn)
        return error;
    struct evtchn *rchn = evtchn_of(rd, rport);
    if (rd->mm.dying || !rchn || rchn->state != EVT_UNBOUND || rchn->unbound_for != ld->mm.id)
        return -XEN_EINVAL;
    spin_lock(&lchn->lock);
    lchn->remote = rd;
    lchn->remote_port = rchn->port;
    evtchn_set(lchn, EVT_INTERDOMAIN, 0);
    spin_unlock(&lchn->lock);
    spin_lock(&rchn->lock);
    rchn->remote = ld;
    rchn->remote_port = lchn->port;
    evtchn_set(rchn, EVT_INTERDOMAIN, rchn->vcpu);
    spin_unlock(&rchn->lock);
    /* Events sent to the unbound port went nowhere: let the new end look. */
    event_raise(ld, lchn);
    return lchn->port;
}

static long op_bind_interdomain(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_bind_interdomain op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    struct domain *ld = v->domain, *rd = domain_named(v, op.remote_dom);
    if (!rd)
        return -XEN_ESRCH;
    lock_both(ld, rd);
    long port = connect(ld, rd, op.remote_port);
    unlock_both(ld, rd);
    domain_put(rd);
    if (port < 0)
        return port;
    return bind_done(ld, arg_va + offsetof(struct evtchn_bind_interdomain, local_port), port);
}

static long op_bind_virq(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_bind_virq op;
    struct domain *d = v->domain;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.virq >= NR_VIRQS)
        return -XEN_EINVAL;
    bool global = event_virq_is_global(op.virq);
    if (global && !d->mm.privileged)
        return -XEN_EPERM;
    if (global && op.vcpu)
        return -XEN_EINVAL;
    struct vcpu *target = vcpu_by_id(d, op.vcpu);
    if (!target)
        return -XEN_ENOENT;
    int error = -XEN_EEXIST;
    spin_lock(&d->event_lock);
    struct evtchn *chn = target->virq_port[op.virq] ? NULL : find_free(d, &error);
    if (chn) {
        spin_lock(&chn->lock);
        chn->virq = op.virq;
        evtchn_set(chn, EVT_VIRQ, op.vcpu);
        spin_unlock(&chn->lock);
        store_release(&target->virq_port[op.virq], chn->port);
    }
    spin_unlock(&d->event_lock);
    return chn ? bind_done(d, arg_va + offsetof(struct evtchn_bind_virq, port), chn->port) : error;
}

static long op_bind_ipi(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_bind_ipi op;
    struct domain *d = v->domain;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (!vcpu_by_id(d, op.vcpu))
        return -XEN_ENOENT;
    int error = 0;
    spin_lock(&d->event_lock);
    struct evtchn *chn = find_free(d, &error);
    if (chn) {
        spin_lock(&chn->lock);
        evtchn_set(chn, EVT_IPI, op.vcpu);
        spin_unlock(&chn->lock);
    }
    spin_unlock(&d->event_lock);
    return chn ? bind_done(d, arg_va + offsetof(struct evtchn_bind_ipi, port), chn->port) : error;
}

/* With d->event_lock. The port exists before the source is enabled; if enabling fails nothing is
 * left. The new port, or an error. */
static int bind_pirq(struct domain *d, unsigned pirq)
{
    int error = 0;
    if (d->pirqs[pirq].kind == PIRQ_TAKEN)
        return -XEN_EBUSY;
    if (d->pirqs[pirq].kind != PIRQ_GSI && d->pirqs[pirq].kind != PIRQ_MSI)
        return -XEN_EINVAL;
    if (d->pirqs[pirq].port)
        return -XEN_EEXIST;
    struct evtchn *chn = find_free(d, &error);
    if (!chn)
        return error;
    spin_lock(&chn->lock);
    chn->pirq = pirq;
    evtchn_set(chn, EVT_PIRQ, 0);
    spin_unlock(&chn->lock);
    store_release(&d->pirqs[pirq].port, chn->port);
    error = irq_startup(d, pirq);
    if (error) {
        store_release(&d->pirqs[pirq].port, 0);
        spin_lock(&chn->lock);
        evtchn_set(chn, EVT_FREE, 0);
        spin_unlock(&chn->lock);
        return error;
    }
    irq_set_cpu(d, pirq, d->vcpus[0]->cpu);
    pirq_update_eoi_bit(d, pirq);
    return chn->port;
}

static long op_bind_pirq(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_bind_pirq op;
    struct domain *d = v->domain;
    if (!d->mm.privileged)
        return -XEN_EPERM;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.pirq >= MAX_PIRQS)
        return -XEN_EINVAL;
    spin_lock(&d->event_lock);
    long port = bind_pirq(d, op.pirq);
    spin_unlock(&d->event_lock);
    if (port < 0)
        return port;
    return bind_done(d, arg_va + offsetof(struct evtchn_bind_pirq, port), port);
}

static long op_close(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_close op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    return event_close_port(v->domain, op.port);
}

static void describe(const struct evtchn *chn, struct evtchn_status *op)
{
    static const uint32_t status[] = {
        [EVT_FREE] = EVTCHNSTAT_closed,
        [EVT_UNBOUND] = EVTCHNSTAT_unbound,
        [EVT_INTERDOMAIN] = EVTCHNSTAT_interdomain,
        [EVT_PIRQ] = EVTCHNSTAT_pirq,
        [EVT_VIRQ] = EVTCHNSTAT_virq,
        [EVT_IPI] = EVTCHNSTAT_ipi,
    };
    op->status = status[chn->state];
    op->vcpu = chn->vcpu;
    memset(&op->u, 0, sizeof(op->u));
    switch (chn->state) {
    case EVT_UNBOUND:
        op->u.unbound.dom = chn->unbound_for;
        break;
    case EVT_INTERDOMAIN:
        op->u.interdomain.dom = chn->remote->mm.id;
        op->u.interdomain.port = chn->remote_port;
        break;
    case EVT_PIRQ:
        op->u.pirq = chn->pirq;
        break;
    case EVT_VIRQ:
        op->u.virq = chn->virq;
        break;
    default:
        break;
    }
}

static long op_status(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_status op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    int error = 0;
    struct domain *d = event_target(v, op.dom, &error);
    if (!d)
        return error;
    spin_lock(&d->event_lock);
    struct evtchn *chn = evtchn_of(d, op.port);
    if (chn)
        describe(chn, &op);
    else
        error = -XEN_EINVAL;
    spin_unlock(&d->event_lock);
    domain_put(d);
    if (!error && copy_to_guest(arg_va, &op, sizeof(op)))
        error = -XEN_EFAULT;
    return error;
}

/* With d->event_lock. IPIs and per-vCPU virtual interrupts belong to their vCPU. */
static int move_port(struct domain *d, struct evtchn *chn, unsigned vcpu)
{
    switch (chn->state) {
    case EVT_VIRQ:
        if (!event_virq_is_global(chn->virq))
            return -XEN_EINVAL;
        break;
    case EVT_UNBOUND:
    case EVT_INTERDOMAIN:
    case EVT_PIRQ:
        break;
    default:
        return -XEN_EINVAL;
    }
    spin_lock(&chn->lock);
    store_relaxed(&chn->vcpu, vcpu);
    spin_unlock(&chn->lock);
    if (chn->state == EVT_PIRQ)
        irq_set_cpu(d, chn->pirq, load_relaxed(&d->vcpus[vcpu]->cpu));
    return 0;
}

static long op_bind_vcpu(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_bind_vcpu op;
    struct domain *d = v->domain;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (!vcpu_by_id(d, op.vcpu))
        return -XEN_ENOENT;
    spin_lock(&d->event_lock);
    struct evtchn *chn = evtchn_of(d, op.port);
    int result = chn ? move_port(d, chn, op.vcpu) : -XEN_EINVAL;
    spin_unlock(&d->event_lock);
    return result;
}

static long op_reset(struct vcpu *v, uint64_t arg_va)
{
    struct evtchn_reset op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    int error = 0;
    struct domain *d = event_target(v, op.dom, &error);
    if (!d)
        return error;
    error = event_reset(d);
    domain_put(d);
    return error;
}

long event_channel_op(struct vcpu *v, int cmd, uint64_t arg_va)
{
    typedef long op_fn(struct vcpu * v, uint64_t arg_va);
    static op_fn *const ops[] = {
        [EVTCHNOP_bind_interdomain] = op_bind_interdomain,
        [EVTCHNOP_bind_virq] = op_bind_virq,
        [EVTCHNOP_bind_pirq] = op_bind_pirq,
        [EVTCHNOP_close] = op_close,
        [EVTCHNOP_send] = event_op_send,
        [EVTCHNOP_status] = op_status,
        [EVTCHNOP_alloc_unbound] = op_alloc_unbound,
        [EVTCHNOP_bind_ipi] = op_bind_ipi,
        [EVTCHNOP_bind_vcpu] = op_bind_vcpu,
        [EVTCHNOP_unmask] = event_op_unmask,
        [EVTCHNOP_reset] = op_reset,
    };
    /* The rest is the FIFO form, refused; guests go on with two levels. */
    if (cmd < 0 || (unsigned)cmd >= ARRAY_SIZE(ops))
        return -XEN_ENOSYS;
    return ops[cmd](v, arg_va);
}

long do_event_channel_op(struct vcpu *v, uint64_t cmd, uint64_t arg_va, uint64_t a3, uint64_t a4,
                         uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    return event_channel_op(v, (int)cmd, arg_va);
}
