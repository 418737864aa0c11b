/* SPDX-License-Identifier: MIT */
/* What the files of the event channels share: event.c (delivery), event_bind.c (operations),
 * event_close.c. */
#ifndef CORE_EVENT_INTERNAL_H
#define CORE_EVENT_INTERNAL_H

#include "core/event.h"

#define EVENT_BUCKET_PORTS 64
#define EVENT_BUCKETS      (EVENT_MAX_PORTS / EVENT_BUCKET_PORTS)

enum evtchn_state { EVT_FREE, EVT_UNBOUND, EVT_INTERDOMAIN, EVT_PIRQ, EVT_VIRQ, EVT_IPI };

/* A port. All is written under the domain's event_lock and `lock` together, so either suffices for
 * reading; vcpu may be read under neither (it always names an existing vCPU). */
struct evtchn {
    spinlock_t lock;
    uint8_t state;
    uint16_t vcpu; /* who is notified */
    uint16_t port; /* its own number */
    union {
        uint16_t unbound_for; /* domain id */
        uint16_t pirq;
        uint16_t virq;
        uint16_t remote_port;
    };
    struct domain *remote; /* EVT_INTERDOMAIN; its end is closed together with this one */
};

/* The channel of a port that exists, or NULL. Any context: buckets live as long as the domain. */
struct evtchn *evtchn_of(struct domain *d, uint64_t port);

/* Make a port of d pending. Any context. */
void event_raise(struct domain *d, const struct evtchn *chn);

/* The domain that an operation names: DOMID_SELF, the caller's own id, or any if the caller is
 * privileged. NULL with *error = -EPERM (before it is known whether it exists) or -ESRCH.
 * domain_put() it. */
struct domain *event_target(struct vcpu *v, unsigned domid, int *error);

/* Change a port's state; with d->event_lock. */
void evtchn_set(struct evtchn *chn, enum evtchn_state state, unsigned vcpu);

long event_op_send(struct vcpu *v, uint64_t arg_va);
long event_op_unmask(struct vcpu *v, uint64_t arg_va);
int event_close_port(struct domain *d, uint64_t port);
int event_reset(struct domain *d);

static inline void lock_both(struct domain *a, struct domain *b)
{
    struct domain *first = a->mm.id < b->mm.id ? a : b;
    spin_lock(&first->event_lock);
    if (a != b)
        spin_lock(first == a ? &b->event_lock : &a->event_lock);
}
static inline void unlock_both(struct domain *a, struct domain *b)
{
    if (a != b)
        spin_unlock(&b->event_lock);
    spin_unlock(&a->event_lock);
}

#endif
