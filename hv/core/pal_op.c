/* SPDX-License-Identifier: MIT */
/* Our own hypercall (abi/pal.h): audit, counters, a look at a frame. */
#include "abi/pal.h"
#include "base/string.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "mm/bufcache.h"
#include "mm/mm.h"
#include "mm/region.h"
#include "x86/ram.h"

static struct mm_domain *audit_next_domain(struct mm_domain *m)
{
    struct domain *d = domain_next(m ? container_of(m, struct domain, mm) : NULL);
    return d ? &d->mm : NULL;
}

static struct mm_vcpu *audit_next_vcpu(struct mm_domain *m, struct mm_vcpu *previous)
{
    struct domain *d = container_of(m, struct domain, mm);
    unsigned i = previous ? previous->id + 1 : 0;
    return i < d->max_vcpus ? &d->vcpus[i]->mm : NULL;
}

/* What the hypervisor itself holds of guests' frames. */
static void audit_own_holds(void)
{
    for (struct domain *d = domain_next(NULL); d; d = domain_next(d)) {
        for (unsigned i = 0; i < d->max_vcpus; i++)
            if (d->vcpus[i]->info_mfn != ~0ull)
                mm_audit_count(mfn(d->vcpus[i]->info_mfn), true);
        if (d->pirq_eoi_mfn != ~0ull)
            mm_audit_count(mfn(d->pirq_eoi_mfn), true);
    }
}

/* Domains come and go only by operations of domain 0 and by reaping: domain 0 is paused first,
 * reaping is held. */
static void pause_all(void)
{
    domain_reap_hold();
    for (struct domain *d = domain_next(NULL); d; d = domain_next(d))
        domain_pause(d);
}

static void unpause_all(void)
{
    for (struct domain *d = domain_next(NULL); d; d = domain_next(d))
        domain_unpause(d);
    domain_reap_release();
}

static long op_audit(uint64_t arg)
{
    struct mm_audit_result r;
    struct pal_audit out;

    domain_reap();
    pause_all();
    mm_audit_extra = audit_own_holds;
    mm_audit(audit_next_domain, audit_next_vcpu, &r);
    unpause_all();
    out = (struct pal_audit){r.frames, r.disagreements, r.first_bad_mfn};
    if (copy_to_guest(arg, &out, sizeof(out)))
        return -XEN_EFAULT;
    return (long)r.disagreements;
}

static long op_stats(uint64_t arg)
{
    struct pal_stats s = {0};
    struct mm_region_stats regions;
    struct domain *d;

    domain_reap();
    domain_reap_hold(); /* no domain is counted as gone whose memory is not free yet */
    for (unsigned id = 0; (d = domain_get_from(id)); id++) {
        id = d->mm.id;
        s.domains++;
        for (unsigned i = 0; i < d->max_vcpus; i++)
            s.hypercalls += d->vcpus[i]->hypercalls;
        domain_put(d);
    }
    for (unsigned i = 0; i < cpu_count; i++) {
        s.context_switches += cpus[i]->context_switches;
        s.longest_off_ns = max(s.longest_off_ns, cpus[i]->longest_off_ns);
    }
    s.total_frames = palloc_total_frames();
    s.free_frames = palloc_free_frames();
    s.heap_frames = palloc_heap_frames();
    s.heap_bytes = heap_bytes();
    mm_region_stats(&regions);
    s.regions = regions.regions;
    s.region_frames = regions.frames;
    s.ram_frames = ram_total() >> PAGE_SHIFT;
    s.table_frames = ram_taken() >> PAGE_SHIFT;
    s.cached_frames = bufcache_pages();
    domain_reap_release();
    return copy_to_guest(arg, &s, sizeof(s)) ? -XEN_EFAULT : 0;
}

static uint32_t frame_flags(uint64_t word)
{
    return (word & ROLE_VALIDATED ? PAL_FRAME_validated : 0) |
           (word & ROLE_PINNED ? PAL_FRAME_pinned : 0) | (word & ROLE_BUSY ? PAL_FRAME_busy : 0);
}

static long op_frame(uint64_t arg)
{
    struct pal_frame p;

    if (copy_from_guest(&p, arg, sizeof(p)))
        return -XEN_EFAULT;
    if (!frame_is_ram(mfn(p.mfn)))
        return -XEN_EINVAL;
    const struct frame *f = frame_of(mfn(p.mfn));
    uint64_t word = load_relaxed(&f->role);
    p.owner = f->owner;
    p.role = role_of(word);
    p.role_count = (uint32_t)role_count(word);
    p.refs = load_relaxed(&f->refs);
    p.flags = frame_flags(word);
    p.pad = 0;
    return copy_to_guest(arg, &p, sizeof(p)) ? -XEN_EFAULT : 0;
}

static void account(struct domain *d, struct pal_domain *a)
{
    a->vcpus = d->max_vcpus;
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        const struct vcpu *v = d->vcpus[i];
        struct vcpu_runstate_info r;

        runstate_get(d->vcpus[i], &r);
        a->running_ns += r.time[RUNSTATE_running];
        a->waiting_ns += r.time[RUNSTATE_runnable];
        a->blocked_ns += r.time[RUNSTATE_blocked];
        a->hypercalls += load_relaxed(&v->hypercalls);
        a->upcalls += load_relaxed(&v->upcalls);
        a->switches += load_relaxed(&v->switches);
    }
    a->capped_ns = load_relaxed(&d->throttle.exhausted_ns);
    a->frames = load_relaxed(&d->mm.tot_pages);
    a->max_frames = load_relaxed(&d->mm.max_pages);
    a->shared_pages = load_relaxed(&d->mm.xen_pages);
}

static long op_domain(uint64_t arg)
{
    struct pal_domain a;

    if (copy_from_guest(&a, arg, sizeof(a)))
        return -XEN_EFAULT;
    a = (struct pal_domain){.domain = a.domain};
    struct domain *d = a.domain < DOMID_FIRST_RESERVED ? domain_get(a.domain) : NULL;
    if (!d)
        return -XEN_ESRCH;
    account(d, &a);
    domain_put(d);
    return copy_to_guest(arg, &a, sizeof(a)) ? -XEN_EFAULT : 0;
}

/* ---- the frames of a domain ---- */

#define FRAMES_SOME   32   /* entries written at a time */
#define FRAMES_STRIDE 4096 /* frames looked at between preemption points */

/* The next frame from m on that the domain has and did not give back, with what it is. */
static bool owned_at(const struct domain *d, uint64_t m, struct pal_owned *o)
{
    const struct frame *f = frame_of(mfn(m));
    uint64_t word;

    if (load_relaxed(&f->owner) != d->mm.id || !frame_is_ram(mfn(m)) ||
        !(load_relaxed(&f->refs) & REF_OWNED))
        return false;
    word = load_relaxed(&f->role);
    *o = (struct pal_owned){m, load_relaxed(&m2p_table[m]),
                            role_count(word) ? (uint32_t)role_of(word) : PAL_ROLE_none,
                            frame_flags(word)};
    return true;
}

/* Some entries from *next on, which moves. */
static unsigned owned_some(const struct domain *d, uint64_t *next, struct pal_owned *some,
                           unsigned room)
{
    unsigned n = 0;

    for (; *next < frame_count && n < room; ++*next) {
        if (owned_at(d, *next, &some[n]))
            n++;
        if (*next % FRAMES_STRIDE == 0)
            env_preempt_point();
    }
    return n;
}

static long list_frames(const struct domain *d, struct pal_frames *p)
{
    struct pal_owned some[FRAMES_SOME];
    uint32_t done = 0;

    while (done < p->room && p->next < frame_count) {
        unsigned n = owned_some(d, &p->next, some, min(p->room - done, (uint32_t)FRAMES_SOME));

        if (copy_to_guest(p->list + done * sizeof(*some), some, n * sizeof(*some)))
            return -XEN_EFAULT;
        done += n;
        env_preempt_point();
    }
    if (p->next >= frame_count)
        p->next = ~0ull;
    return done;
}

static long op_frames(uint64_t arg)
{
    struct pal_frames p;

    if (copy_from_guest(&p, arg, sizeof(p)))
        return -XEN_EFAULT;
    struct domain *d = p.domain < DOMID_FIRST_RESERVED ? domain_get(p.domain) : NULL;
    if (!d)
        return -XEN_ESRCH;
    long result = list_frames(d, &p);
    domain_put(d);
    return result >= 0 && copy_to_guest(arg, &p, sizeof(p)) ? -XEN_EFAULT : result;
}

/* ---- what stands in frames ---- */

#define READ_SOME 32 /* frame numbers read at a time */

static int read_frame(struct domain *d, uint64_t number, uint64_t to)
{
    struct frame *f = frame_get(&d->mm, mfn(number));

    if (!f)
        return -XEN_EPERM;
    int rc = copy_to_guest(to, env_frame(frame_mfn(f)), PAGE_SIZE) ? -XEN_EFAULT : 0;
    frame_put(f);
    return rc;
}

static int read_frames(struct domain *d, const struct pal_read *p)
{
    uint64_t some[READ_SOME];

    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t at = i % READ_SOME;

        if (!at && copy_from_guest(some, p->list + i * sizeof(*some),
                                   min(p->count - i, (uint32_t)READ_SOME) * sizeof(*some)))
            return -XEN_EFAULT;
        int rc = read_frame(d, some[at], p->to + ((uint64_t)i << PAGE_SHIFT));
        if (rc)
            return rc;
        env_preempt_point();
    }
    return 0;
}

static long op_read(uint64_t arg)
{
    struct pal_read p;

    if (copy_from_guest(&p, arg, sizeof(p)))
        return -XEN_EFAULT;
    if (p.count > PAL_READ_MAX)
        return -XEN_EINVAL;
    struct domain *d = p.domain < DOMID_FIRST_RESERVED ? domain_get(p.domain) : NULL;
    if (!d)
        return -XEN_ESRCH;
    long result = read_frames(d, &p);
    domain_put(d);
    return result;
}

/* ---- going on ---- */

/* With d's control lock. */
static long resume(struct domain *d)
{
    struct vcpu *v = d->suspender;

    if (!load_acquire(&d->shut_down) || d->shutdown_code != SHUTDOWN_suspend || d->mm.dying)
        return -XEN_EINVAL;
    if (v) {
        vcpu_pause(v); /* it may still be on its way out of the call */
        vcpu_regs(v)->rax = 1;
        vcpu_unpause(v);
    }
    return domain_resume(d);
}

static long op_resume(struct vcpu *v, uint64_t arg)
{
    struct pal_resume p;

    if (copy_from_guest(&p, arg, sizeof(p)))
        return -XEN_EFAULT;
    struct domain *d = p.domain < DOMID_FIRST_RESERVED ? domain_get(p.domain) : NULL;
    if (!d)
        return -XEN_ESRCH;
    long result = -XEN_EINVAL;
    if (d != v->domain) {
        control_lock(d);
        result = resume(d);
        control_unlock(d);
    }
    domain_put(d);
    return result;
}

long do_pal_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    if (cmd >= PALOP_region_create && cmd < PALOP_region_quota) /* guests, too */
        return mm_region_op(&v->mm, (unsigned)cmd, arg);
    if (!v->mm.d->privileged)
        return -XEN_EPERM;
    switch (cmd) {
    case PALOP_audit:
        return op_audit(arg);
    case PALOP_stats:
        return op_stats(arg);
    case PALOP_frame:
        return op_frame(arg);
    case PALOP_domain:
        return op_domain(arg);
    case PALOP_frames:
        return op_frames(arg);
    case PALOP_resume:
        return op_resume(v, arg);
    case PALOP_read:
        return op_read(arg);
    case PALOP_region_quota:
        return mm_region_op(&v->mm, (unsigned)cmd, arg);
    case PALOP_cache_object ... PALOP_cache_pages:
        return mm_cache_op(&v->mm, (unsigned)cmd, arg);
    default:
        return -XEN_ENOSYS;
    }
}
