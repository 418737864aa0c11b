/* SPDX-License-Identifier: MIT */
/* A domain: what its vCPUs share. */
#ifndef CORE_DOMAIN_H
#define CORE_DOMAIN_H

#include "core/vcpu.h"
#include <xen/event_channel.h>
#include <xen/sched.h>

struct evtchn;

struct domain {
    struct mm_domain mm; /* id, privileged, dying, pages */
    uint32_t refs;       /* domain_get/put; 0: freed */
    struct list entry;   /* of all domains, by id (domain list lock) */

    unsigned max_vcpus;
    struct vcpu **vcpus; /* max_vcpus entries; an entry is set once, before it is visible */

    struct shared_info *shared; /* direct map */
    mfn_t shared_mfn;

    /* event.c: under event_lock */
    spinlock_t event_lock;
    struct evtchn **evtchn_buckets;
    unsigned evtchn_limit; /* ports below this exist in buckets */
    struct pirq *pirqs;    /* MAX_PIRQS entries (pirq.c), privileged domains only */
    uint64_t poll_mask[MAX_VCPUS / 64];

    uint64_t vm_assist; /* VMASST_TYPE_* bits */
    bool shut_down;     /* SCHEDOP_shutdown done; shutdown_code tells why */
    unsigned shutdown_code;
    bool crashed;

    int64_t time_offset_seconds; /* settime adjustments */
    uint64_t pirq_eoi_mfn;       /* PHYSDEVOP_pirq_eoi_gmfn frame held, ~0 none */
    uint64_t *pirq_needs_eoi;    /* that page's bits, direct map */
    uint8_t handle[16];
};

extern struct domain *domain0;

/* Create an empty domain with id and room for vCPUs (vCPU 0..max_vcpus-1 allocated DOWN). NULL: no memory or
 * id in use. Reference count 1 held by the list. */
struct domain *domain_create(unsigned id, unsigned max_vcpus, uint64_t max_pages, bool privileged);
struct domain *domain_get(unsigned id); /* id or DOMID_SELF of the current vCPU; NULL: none */
void domain_put(struct domain *d);
/* One more reference, by who knows that d stays for the moment. */
static inline void domain_hold(struct domain *d)
{
    fetch_add(&d->refs, 1);
}
/* End a domain for what a guest did; logs the reason and the registers once. The calling vCPU (if it is the
 * domain's) never returns to its guest. Domain 0: the machine reboots (or stops with noreboot). */
void domain_crash(struct domain *d, const char *fmt, ...) __printf(2, 3);
/* SCHEDOP_shutdown by the domain itself. For domain 0: acts on the machine. */
void domain_shutdown(struct domain *d, unsigned reason);

struct vcpu *vcpu_create(struct domain *d, unsigned id);
/* Free a vCPU that no CPU and no queue knows any more, its roots dropped. */
void vcpu_destroy(struct vcpu *v);
/* The idle vCPU of a CPU, with its stack; becomes the CPU's current one. NULL: no memory. */
struct vcpu *vcpu_create_idle(struct cpu *c);
/* Load a whole context (VCPUOP_initialise, domain building); validated as a whole or refused as a whole. */
int vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *ctx);

/* Iterate all domains / a domain's vCPUs, for the audit and lists. */
struct domain *domain_next(struct domain *d);

#endif
