/* SPDX-License-Identifier: MIT */
/* Event channels, two-level form. */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include "core/domain.h"

#define EVENT_MAX_PORTS 4096 /* EVTCHN_2L_NR_CHANNELS */

int event_init_domain(struct domain *d);
void event_teardown_domain(struct domain *d); /* d is dying: closes every port; preemptible */
void event_free_domain(struct domain *d);     /* its memory, with the last reference */

long event_channel_op(struct vcpu *v, int cmd, uint64_t arg_va);

/* Mark port pending in d and wake who waits for it. event_lock not needed. */
void event_set_pending(struct domain *d, unsigned port);
/* A virtual interrupt for v (per-vCPU ones) or for the domain (global ones, v = vCPU 0). */
void event_send_virq(struct vcpu *v, unsigned virq);
/* A global virtual interrupt for whoever bound it (VIRQ_CONSOLE, VIRQ_CON_RING, VIRQ_DOM_EXC...): domain 0. */
void event_send_global_virq(unsigned virq);
/* A physical interrupt bound by d; false when nobody bound it. */
bool event_send_pirq(struct domain *d, unsigned pirq);
/* Is this virtual interrupt one for the whole domain (bound on vCPU 0)? */
bool event_virq_is_global(unsigned virq);

/* Set v's upcall pending flag and make it notice (wake or kick). */
void event_notify_vcpu(struct vcpu *v);

/* Are events deliverable to v now (pending and not masked)? */
static inline bool event_deliverable(const struct vcpu *v)
{
    return v->info->evtchn_upcall_pending && !v->info->evtchn_upcall_mask;
}

#endif
