/* SPDX-License-Identifier: MIT */
/* Domains: creation, the list, references, and their end. */
#include "core/domain.h"
#include "abi/pal.h"
#include "base/check.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "core/event.h"
#include "core/sched.h"
#include "core/time.h"
#include "dev/dev.h"
#include "base/boot_info.h"
#include "mm/grant.h"
#include "mm/mm.h"
#include "sched_internal.h"
#include "x86/crash.h"
#include <xen/errno.h>

struct domain *domain0;

#define HASH_SIZE 64

/* The list, by id, and the table of the same. The order of locks: nothing else is taken under
 * domains_lock. */
static struct list domains = LIST_INIT(domains);
static struct domain *domain_hash[HASH_SIZE];
static spinlock_t domains_lock = SPINLOCK_INIT;
static unsigned last_id; /* the last one that was given by domain_free_id */

/* ---- creation ---- */

static int init_shared_info(struct domain *d)
{
    d->shared_mfn = palloc_hv(0, 0);
    if (mfn_eq(d->shared_mfn, MFN_NONE))
        return -XEN_ENOMEM;
    d->shared = env_frame(d->shared_mfn);
    palloc_share(&d->mm, d->shared_mfn, false);
    return 0;
}

void domain_free(struct domain *d)
{
    for (unsigned i = 0; d->vcpus && i < d->max_vcpus; i++)
        if (d->vcpus[i])
            vcpu_destroy(d->vcpus[i]);
    heap_free(d->vcpus);
    event_free_domain(d);
    mm_grant_domain_free(&d->mm);
    if (d->shared)
        palloc_unshare(&d->mm, d->shared_mfn); /* freed with the last mapping of it */
    heap_free(d->map);
    heap_free(d);
}

static int make_vcpus(struct domain *d)
{
    d->vcpus = heap_alloc(d->max_vcpus * sizeof(d->vcpus[0]));
    if (!d->vcpus)
        return -XEN_ENOMEM;
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = vcpu_create(d, i);
        if (!v)
            return -XEN_ENOMEM;
        v->info->evtchn_upcall_mask = 1;
        if (d->control_pauses)
            v->pause_count = 1; /* nobody knows it yet */
        d->vcpus[i] = v;
    }
    return 0;
}

static struct domain *hash_find(unsigned id)
{
    struct domain *d = domain_hash[id % HASH_SIZE];
    while (d && d->mm.id != id)
        d = d->hash_next;
    return d;
}

/* Make it known; -EEXIST. */
static int publish(struct domain *d)
{
    int error = -XEN_EEXIST;
    spin_lock(&domains_lock);
    if (!hash_find(d->mm.id)) {
        struct list *at = domains.next;
        while (at != &domains && container_of(at, struct domain, entry)->mm.id < d->mm.id)
            at = at->next;
        list_insert_before(at, &d->entry);
        d->hash_next = domain_hash[d->mm.id % HASH_SIZE];
        domain_hash[d->mm.id % HASH_SIZE] = d;
        error = 0;
    }
    spin_unlock(&domains_lock);
    return error;
}

struct domain *domain_create(unsigned id, const struct domain_limits *limits, bool privileged,
                             int *error)
{
    *error = -XEN_EINVAL;
    if (id >= DOMID_FIRST_RESERVED || id == PAL_DOMID_REGION || !limits->max_vcpus ||
        limits->max_vcpus > MAX_VCPUS)
        return NULL;
    *error = -XEN_ENOMEM;
    struct domain *d = heap_alloc(sizeof(*d));
    if (!d)
        return NULL;
    mm_domain_init(&d->mm, id, limits->max_pages);
    d->mm.privileged = privileged;
    d->refs = 1;
    d->max_vcpus = limits->max_vcpus;
    d->evtchn_max = min(limits->max_evtchn_port, EVENT_MAX_PORTS - 1u);
    d->pirq_eoi_mfn = ~0ull;
    sched_init_domain(d);
    d->control_pauses = privileged ? 0 : 1;
    list_init(&d->entry);
    spin_init(&d->event_lock);
    if (!init_shared_info(d) && !event_init_domain(d) && !make_vcpus(d) &&
        !mm_grant_domain_init(&d->mm, limits->max_grant_frames, limits->max_maptrack_frames)) {
        time_publish_wallclock(d);
        *error = publish(d);
    }
    if (*error) {
        domain_free(d);
        return NULL;
    }
    return d;
}

unsigned domain_free_id(void)
{
    unsigned found = 0;
    spin_lock(&domains_lock);
    for (unsigned i = 0; i < DOMID_FIRST_RESERVED - 1 && !found; i++) {
        last_id = last_id + 1 < DOMID_FIRST_RESERVED ? last_id + 1 : 1;
        if (last_id != PAL_DOMID_REGION && !hash_find(last_id))
            found = last_id;
    }
    spin_unlock(&domains_lock);
    return found;
}

/* ---- the list ---- */

struct domain *domain_get(unsigned id)
{
    if (id == DOMID_SELF)
        id = current_vcpu()->mm.d->id;
    spin_lock(&domains_lock);
    struct domain *d = hash_find(id);
    if (d)
        fetch_add(&d->refs, 1);
    spin_unlock(&domains_lock);
    return d;
}

struct domain *domain_get_from(unsigned id)
{
    struct domain *found = NULL;
    spin_lock(&domains_lock);
    list_for_each(d, &domains, struct domain, entry)
    {
        if (d->mm.id >= id) {
            fetch_add(&d->refs, 1);
            found = d;
            break;
        }
    }
    spin_unlock(&domains_lock);
    return found;
}

void domain_put(struct domain *d)
{
    CHECK_LT(1, fetch_sub(&d->refs, 1));
}

struct domain *domain_next(struct domain *d)
{
    struct list *next = d ? d->entry.next : domains.next;
    return next == &domains ? NULL : container_of(next, struct domain, entry);
}

bool domain_unlist_unused(struct domain *d)
{
    spin_lock(&domains_lock);
    bool unused = load_acquire(&d->refs) == 1; /* the list's; new ones are taken under the lock */
    if (unused) {
        struct domain **at = &domain_hash[d->mm.id % HASH_SIZE];
        while (*at != d)
            at = &(*at)->hash_next;
        *at = d->hash_next;
        list_remove(&d->entry);
    }
    spin_unlock(&domains_lock);
    return unused;
}

/* ---- control ---- */

void control_lock(struct domain *d)
{
    while (exchange(&d->control_busy, true)) {
        env_wait_turn();
        sched_yield_parkable();
    }
}

void control_unlock(struct domain *d)
{
    store_release(&d->control_busy, false);
}

/* ---- the end ---- */

static __noreturn void end_of_domain0(unsigned reason)
{
    switch (reason) {
    case SHUTDOWN_poweroff:
        log_info("domain 0 asks to power off");
        machine_power_off();
    case SHUTDOWN_reboot:
        log_info("domain 0 asks to reboot");
        machine_reboot();
    default:
        if (boot_options.noreboot) {
            log_error("domain 0 is gone: the machine stops (noreboot)");
            machine_halt();
        }
        log_error("domain 0 is gone: the machine reboots");
        machine_reboot();
    }
}

#define CRASH_QUIET_NS                                                                             \
    1000000000ull /* at most one full report in this time: guests are started again and again */

/* May this crash be reported in full? */
static bool report_due(void)
{
    static uint64_t next;
    uint64_t now = time_now(), due = load_relaxed(&next);
    return now >= due && compare_exchange(&next, &due, now + CRASH_QUIET_NS);
}

static void show_crash(struct domain *d, const char *why)
{
    struct vcpu *v = current_vcpu();

    if (d != domain0 && !report_due()) {
        log_guest(d->mm.id, "crashed: %s", why);
        return;
    }
    log_error("domain %u crashed: %s", d->mm.id, why);
    if (v && v->domain == d) {
        log_error("vCPU %u, guest %s mode", v->mm.id, v->in_kernel ? "kernel" : "user");
        crash_print_registers(vcpu_regs(v));
    }
}

void domain_shutdown(struct domain *d, unsigned reason)
{
    if (reason == SHUTDOWN_crash && !exchange(&d->crashed, true))
        show_crash(d, "its kernel says so");
    if (d == domain0)
        end_of_domain0(reason);
    if (exchange(&d->shut_down, true))
        return; /* by another vCPU; this one is being paused */
    struct vcpu *v = current_vcpu();
    d->suspender = v && v->domain == d ? v : NULL;
    store_release(&d->shutdown_code, reason);
    for (unsigned i = 0; i < d->max_vcpus; i++)
        vcpu_pause_nosync(d->vcpus[i]);
    event_send_global_virq(VIRQ_DOM_EXC);
}

int domain_resume(struct domain *d)
{
    if (!load_acquire(&d->shut_down) || d->mm.dying)
        return -XEN_EINVAL;
    d->crashed = false;
    d->shutdown_code = 0;
    store_release(&d->shut_down, false);
    for (unsigned i = 0; i < d->max_vcpus; i++)
        vcpu_unpause(d->vcpus[i]);
    return 0;
}

void domain_crash(struct domain *d, const char *fmt, ...)
{
    char why[160];
    va_list ap;

    va_start(ap, fmt);
    vformat(why, sizeof(why), fmt, ap);
    va_end(ap);
    if (exchange(&d->crashed, true))
        return;
    show_crash(d, why);
    domain_shutdown(d, SHUTDOWN_crash);
}
