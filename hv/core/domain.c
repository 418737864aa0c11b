/* SPDX-License-Identifier: MIT */
/* Domains: creation, the list, references, and their end. */
#include "core/domain.h"
#include "base/check.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "core/event.h"
#include "core/sched.h"
#include "core/time.h"
#include "dev/dev.h"
#include "base/boot_info.h"
#include "mm/mm.h"
#include "x86/crash.h"
#include <xen/errno.h>

struct domain *domain0;

static struct list domains = LIST_INIT(domains);
static spinlock_t domains_lock = SPINLOCK_INIT;

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

static void free_domain(struct domain *d)
{
    if (d->shared) {
        palloc_unshare(&d->mm, d->shared_mfn);
        palloc_free_hv(d->shared_mfn, 0);
    }
    heap_free(d->vcpus);
    event_free_domain(d);
    heap_free(d);
}

struct domain *domain_create(unsigned id, unsigned max_vcpus, uint64_t max_pages, bool privileged)
{
    if (id >= DOMID_FIRST_RESERVED || !max_vcpus || max_vcpus > MAX_VCPUS)
        return NULL;
    struct domain *d = heap_alloc(sizeof(*d));
    if (!d)
        return NULL;
    mm_domain_init(&d->mm, id, max_pages);
    d->mm.privileged = privileged;
    d->refs = 1;
    d->max_vcpus = max_vcpus;
    d->mm.vcpus = max_vcpus;
    d->pirq_eoi_mfn = ~0ull;
    list_init(&d->entry);
    spin_init(&d->event_lock);
    d->vcpus = heap_alloc(max_vcpus * sizeof(d->vcpus[0]));
    if (!d->vcpus || init_shared_info(d) || event_init_domain(d)) {
        free_domain(d);
        return NULL;
    }
    for (unsigned i = 0; i < max_vcpus; i++) {
        struct vcpu *v = vcpu_create(d, i);
        if (!v) {
            for (unsigned k = 0; k < i; k++)
                vcpu_destroy(d->vcpus[k]);
            event_teardown_domain(d);
            free_domain(d);
            return NULL;
        }
        d->vcpus[i] = v;
    }
    time_publish_wallclock(d);
    spin_lock(&domains_lock);
    list_push_back(&domains, &d->entry);
    spin_unlock(&domains_lock);
    return d;
}

/* ---- the list ---- */

struct domain *domain_get(unsigned id)
{
    if (id == DOMID_SELF)
        id = current_vcpu()->mm.d->id;
    struct domain *found = NULL;
    spin_lock(&domains_lock);
    list_for_each(d, &domains, struct domain, entry)
    {
        if (d->mm.id == id) {
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
    CHECK_LT(0, load_relaxed(&d->refs));
    if (fetch_sub(&d->refs, 1) == 1)
        free_domain(d);
}

/* Only for the audit and lists, which run while no domain comes or goes. */
struct domain *domain_next(struct domain *d)
{
    struct list *next = d ? d->entry.next : domains.next;
    return next == &domains ? NULL : container_of(next, struct domain, entry);
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

static void show_crash(struct domain *d, const char *why)
{
    struct vcpu *v = current_vcpu();

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
    d->shutdown_code = reason;
    store_release(&d->shut_down, true);
    for (unsigned i = 0; i < d->max_vcpus; i++)
        vcpu_pause_nosync(d->vcpus[i]);
    event_send_global_virq(VIRQ_DOM_EXC);
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
