/* SPDX-License-Identifier: MIT */
/* Event channels: closing ports, one or all; a domain's beginning and end. event.c has the theory.
 */
#include "core/irq.h"
#include "event_internal.h"
#include "mm/env.h"
#include "pirq.h"
#include <xen/errno.h>

/* With d->event_lock (and the other end's domain's, if any). */
static void free_port(struct domain *d, struct evtchn *chn)
{
    spin_lock(&chn->lock);
    chn->remote = NULL;
    chn->remote_port = 0;
    evtchn_set(chn, EVT_FREE, 0);
    /* A pending bit left behind would be taken for the next user's. Senders hold the lock that we
     * hold. */
    bit_test_and_clear(d->shared->evtchn_pending, chn->port);
    spin_unlock(&chn->lock);
}

static void close_virq(struct domain *d, struct evtchn *chn)
{
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpus[i];
        if (v && v->virq_port[chn->virq] == chn->port)
            store_release(&v->virq_port[chn->virq], 0);
    }
}

/* The other end becomes unbound, open to the same domain again. With both event locks. */
static void disconnect(struct domain *d, struct evtchn *chn)
{
    struct evtchn *other = evtchn_of(chn->remote, chn->remote_port);
    CHECK(other && other->state == EVT_INTERDOMAIN && other->remote == d &&
          other->remote_port == chn->port);
    spin_lock(&other->lock);
    other->remote = NULL;
    other->unbound_for = d->mm.id;
    evtchn_set(other, EVT_UNBOUND, other->vcpu);
    spin_unlock(&other->lock);
}

/* With d->event_lock; not for interdomain ports. */
static void close_local(struct domain *d, struct evtchn *chn)
{
    if (chn->state == EVT_VIRQ)
        close_virq(d, chn);
    if (chn->state == EVT_PIRQ) {
        irq_shutdown(d, chn->pirq);
        store_release(&d->pirqs[chn->pirq].port, 0);
    }
    free_port(d, chn);
}

/* The domain at the other end, with a reference; NULL when the port is not interdomain. */
static struct domain *other_end(struct domain *d, struct evtchn *chn)
{
    struct domain *rd = NULL;
    spin_lock(&d->event_lock);
    if (chn->state == EVT_INTERDOMAIN) {
        /* It cannot go while our end names it, so the reference is there to be had. */
        rd = chn->remote;
        domain_hold(rd);
    }
    spin_unlock(&d->event_lock);
    return rd;
}

int event_close_port(struct domain *d, uint64_t port)
{
    struct evtchn *chn = evtchn_of(d, port);
    if (!chn)
        return -XEN_EINVAL;
    /* The other end's lock may come before ours, so both are taken anew and the port is looked at
     * again. It can be rebound between the looks only by its own domain's doing; then it is simply
     * tried again. */
    for (;;) {
        struct domain *rd = other_end(d, chn);
        struct domain *second = rd ? rd : d;
        bool done = false;
        int result = 0;
        lock_both(d, second);
        if (chn->state == EVT_FREE) {
            result = -XEN_EINVAL;
            done = true;
        } else if (chn->state != EVT_INTERDOMAIN) {
            close_local(d, chn);
            done = true;
        } else if (chn->remote == rd) {
            disconnect(d, chn);
            free_port(d, chn);
            done = true;
        }
        unlock_both(d, second);
        if (rd)
            domain_put(rd);
        if (done)
            return result;
        env_preempt_point();
    }
}

static void close_all(struct domain *d)
{
    /* Whoever opens a port looks at `dying` under the lock: after this, none does who has not seen
     * it. */
    spin_lock(&d->event_lock);
    spin_unlock(&d->event_lock);
    for (unsigned port = 1; port < load_acquire(&d->evtchn_limit); port++) {
        (void)event_close_port(d, port); /* -EINVAL: was free */
        env_preempt_point();
    }
}

int event_reset(struct domain *d)
{
    close_all(d);
    /* Other vCPUs may have opened ports behind our back: success means that none is left. */
    int result = 0;
    spin_lock(&d->event_lock);
    for (unsigned port = 1; port < d->evtchn_limit; port++)
        if (evtchn_of(d, port)->state != EVT_FREE)
            result = -XEN_EAGAIN;
    spin_unlock(&d->event_lock);
    return result;
}

int event_init_domain(struct domain *d)
{
    spin_init(&d->event_lock);
    d->evtchn_limit = 0;
    d->evtchn_buckets = heap_alloc(EVENT_BUCKETS * sizeof(*d->evtchn_buckets));
    if (!d->evtchn_buckets)
        return -XEN_ENOMEM;
    if (d->mm.privileged && pirq_init_domain(d)) {
        heap_free(d->evtchn_buckets);
        d->evtchn_buckets = NULL;
        return -XEN_ENOMEM;
    }
    return 0;
}

void event_teardown_domain(struct domain *d)
{
    close_all(d);
    if (d->pirqs)
        pirq_teardown_domain(d);
}

void event_free_domain(struct domain *d)
{
    for (unsigned i = 0; i < d->evtchn_limit / EVENT_BUCKET_PORTS; i++)
        heap_free(d->evtchn_buckets[i]);
    heap_free(d->evtchn_buckets);
    heap_free(d->pirqs);
}
