/* SPDX-License-Identifier: MIT */
/* A domain: what its vCPUs share. */
#ifndef CORE_DOMAIN_H
#define CORE_DOMAIN_H

#include "core/vcpu.h"
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/sched.h>

struct evtchn;

#define VM_ASSIST_KNOWN                                                                            \
    (BIT(VMASST_TYPE_4gb_segments) | BIT(VMASST_TYPE_writable_pagetables) |                        \
     BIT(VMASST_TYPE_pae_extended_cr3) | BIT(VMASST_TYPE_runstate_update_flag) |                   \
     BIT(VMASST_TYPE_m2p_strict))

#define DOMAIN_WEIGHT        256 /* the usual share */
#define DOMAIN_FEATURE_WORDS 16

/* Only forwards. */
enum domain_life {
    DOMAIN_ALIVE,
    DOMAIN_DYING,  /* destroydomain was asked for: mm.dying, being torn down */
    DOMAIN_ZOMBIE, /* nothing runs and nothing is held, but others still map its frames */
};

/* One entry of a memory map as the BIOS call E820 would give it. */
struct memory_map_entry {
    uint64_t start, size;
    uint32_t type;
} __packed;
#define DOMAIN_MAP_MAX 128

struct domain {
    struct mm_domain mm; /* id, privileged, dying, pages */
    uint32_t refs;       /* domain_get/put; the list holds one, until domain_reap() frees it */
    struct list entry;   /* of all domains, by id (domain list lock) */
    struct domain *hash_next;
    enum domain_life life;

    /* control operations: under control_lock() */
    bool control_busy;
    unsigned
        control_pauses; /* pausedomain less unpausedomain: all its vCPUs are paused while > 0 */
    struct xen_domctl_createdomain config;
    uint32_t tsc_mode, tsc_incarnation;
    struct memory_map_entry *map; /* what it is told of its memory; NULL: nothing */
    unsigned map_entries;

    unsigned max_vcpus;
    struct vcpu **vcpus; /* max_vcpus entries; an entry is set once, before it is visible */

    struct shared_info *shared; /* direct map */
    mfn_t shared_mfn;

    /* event.c: under event_lock */
    spinlock_t event_lock;
    struct evtchn **evtchn_buckets;
    unsigned evtchn_limit; /* ports below this exist in buckets */
    unsigned evtchn_max;   /* the highest port it may have */
    struct pirq *pirqs;    /* MAX_PIRQS entries (pirq.c), privileged domains only */
    uint64_t poll_mask[MAX_VCPUS / 64];

    uint64_t vm_assist; /* VMASST_TYPE_* bits, of VM_ASSIST_KNOWN */
    uint32_t
        hidden_features[DOMAIN_FEATURE_WORDS]; /* taken away from its CPUID policy (x86/policy.h) */
    uint16_t weight, cap;                      /* its share of the processors: sched_set_share */
    struct cap {
        spinlock_t lock;     /* inside of a run-queue lock */
        int64_t budget;      /* ns that it may still run in this period */
        uint64_t period_end; /* ns */
        bool exhausted;      /* its vCPUs stop at the guest boundary until the timer fires */
        struct timer timer;
        uint64_t exhausted_since, exhausted_ns; /* for its account */
    } throttle;
    bool shut_down; /* SCHEDOP_shutdown done; shutdown_code tells why */
    unsigned shutdown_code;
    struct vcpu *suspender; /* its own vCPU that did it; NULL: somebody else */
    bool crashed;

    int64_t time_offset_seconds; /* settime adjustments */
    uint64_t pirq_eoi_mfn;       /* PHYSDEVOP_pirq_eoi_gmfn frame held, ~0 none */
    uint64_t *pirq_needs_eoi;    /* that page's bits, direct map */
    uint8_t handle[16];
};

extern struct domain *domain0;

struct domain_limits {
    unsigned max_vcpus;
    uint64_t max_pages;
    unsigned max_evtchn_port;
    unsigned max_grant_frames, max_maptrack_frames; /* ~0: as many as there can be */
};

/* Create an empty domain with this id and its vCPUs, all VCPU_DOWN; control_pauses of an unprivileged one is 1.
 * NULL with *error: -EINVAL; -EEXIST: the id is in use; -ENOMEM. */
struct domain *domain_create(unsigned id, const struct domain_limits *limits, bool privileged,
                             int *error);
/* An id that was not used for as long as possible; 0: there is none. */
unsigned domain_free_id(void);
struct domain *domain_get(unsigned id); /* id or DOMID_SELF of the current vCPU; NULL: none */
/* The domain of the lowest id that is not below `id`, with a reference; NULL: none. */
struct domain *domain_get_from(unsigned id);
/* Never frees: the last reference is the list's, which domain_reap() gives up. */
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
/* Let a domain that shut down (and is not dying) go on. 0, -EINVAL. */
int domain_resume(struct domain *d);

/* One control operation at a time on a domain. Waits; who waits counts as being at the guest boundary, so hold nothing
 * but references of domains. */
void control_lock(struct domain *d);
void control_unlock(struct domain *d);

/* domain_end.c */
/* Destroy: stop its vCPUs, take back all that it has. 0 also when frames that others map keep it as a zombie,
 * which domain_reap() frees later. With control_lock; preemptible. */
void domain_kill(struct domain *d);
/* Free the zombies that nobody needs any more. Short; with no lock held. */
void domain_reap(void);
/* No domain is freed between these (the audit). */
void domain_reap_hold(void);
void domain_reap_release(void);

struct vcpu *vcpu_create(struct domain *d, unsigned id);
/* Free a vCPU that no CPU and no queue knows any more, its roots dropped. */
void vcpu_destroy(struct vcpu *v);
/* The idle vCPU of a CPU, with its stack; becomes the CPU's current one. NULL: no memory. */
struct vcpu *vcpu_create_idle(struct cpu *c);
/* Load a whole context (VCPUOP_initialise, domain building); validated as a whole or refused as a whole. */
int vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *ctx);
/* The inverse. v is initialised and held still. */
void vcpu_get_context(const struct vcpu *v, struct vcpu_guest_context *ctx);
/* VCPUOP_send_nmi. */
void vcpu_send_nmi(struct vcpu *v);

/* All domains by id, without references: for who knows that none comes or goes (the audit). */
struct domain *domain_next(struct domain *d);

/* domain.c, for domain_end.c. With no lock held. */
bool domain_unlist_unused(struct domain *d); /* false: somebody has a reference */
void domain_free(struct domain *d);          /* unlisted, nothing held of its frames */

#endif
