/* SPDX-License-Identifier: MIT */
/*
 * The end of a domain.
 *
 * domain_kill() makes it die in the caller's time, preempted in place: no new reference starts, its
 * vCPUs are stopped for good at the guest boundary, where they hold nothing, then everything is
 * taken back in the order of dependence: timers (they send events), event channels, grants, what
 * each vCPU holds, frames. Each step may be done again without harm, so nothing needs to be
 * remembered but how far the life has come.
 *
 * Frames that others still map stay charged to it. It is then a zombie: listed as dying, found by
 * those who drop such mappings, and freed by domain_reap() when its last frame has gone. Reaping is
 * tried after each control operation, and by a timer as long as there are zombies, so that it needs
 * no cooperation of the code that drops references and no lock order with it.
 */
#include "core/domain.h"
#include "core/event.h"
#include "core/sched.h"
#include "core/time.h"
#include "core/vtimer.h"
#include "mm/mm.h"

#define REAP_PERIOD_NS 50000000ull
#define SETTLE_NS      500000000ull
#define REFS_OF_KILL   2 /* the list's and the caller's */

static unsigned zombies;   /* domains that are DOMAIN_ZOMBIE */
static unsigned reap_held; /* by the audit */
static bool reaping;       /* one at a time */

/* ---- freeing ---- */

static struct domain *next_zombie(unsigned id)
{
    struct domain *d;
    while ((d = domain_get_from(id))) {
        if (load_acquire(&d->life) == DOMAIN_ZOMBIE)
            return d;
        id = d->mm.id + 1u;
        domain_put(d);
    }
    return NULL;
}

/* No frame is left and nobody has it in hand. */
static bool try_free(struct domain *d)
{
    if (load_acquire(&d->mm.tot_pages) || !domain_unlist_unused(d))
        return false;
    domain_free(d);
    fetch_sub(&zombies, 1);
    event_send_global_virq(VIRQ_DOM_EXC);
    return true;
}

void domain_reap(void)
{
    if (!load_relaxed(&zombies) || exchange(&reaping, true))
        return;
    struct domain *d;
    for (unsigned id = 0; !load_acquire(&reap_held) && (d = next_zombie(id)); id++) {
        id = d->mm.id;
        domain_put(d); /* it stays: only here is it freed, and only once at a time */
        (void)try_free(d);
    }
    store_release(&reaping, false);
}

void domain_reap_hold(void)
{
    fetch_add(&reap_held, 1);
    while (load_acquire(&reaping)) /* one under way ends soon: it waits for nobody */
        spin_wait();
}

void domain_reap_release(void)
{
    fetch_sub(&reap_held, 1);
}

static struct timer reap_timer;

static void reap_timer_fired(void *arg)
{
    (void)arg;
    domain_reap();
    if (load_relaxed(&zombies))
        (void)timer_set(&reap_timer, time_now() + REAP_PERIOD_NS); /* room: it was just taken out */
}

static void expect_reaping(void)
{
    static bool ready;
    if (!exchange(&ready, true))
        timer_init(&reap_timer, reap_timer_fired, NULL);
    if (fetch_add(&zombies, 1) == 0)
        (void)timer_set(&reap_timer,
                        time_now() + REAP_PERIOD_NS); /* no room: the next operation reaps */
}

/* ---- dying ---- */

static void stop_vcpus(struct domain *d)
{
    for (unsigned i = 0; i < d->max_vcpus; i++)
        sched_vcpu_stop(d->vcpus[i], VCPU_DEAD);
    domain_pause(d); /* waits; never undone */
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        vtimer_teardown_vcpu(d->vcpus[i]);
        env_preempt_point();
    }
    sched_teardown_domain(d);
}

/* The page that a guest registered for its vcpu_info goes back; senders of late events find the
 * first place. */
static void release_info(struct vcpu *v)
{
    struct domain *d = v->domain;
    uint64_t held;

    spin_lock(&d->event_lock);
    held = v->info_mfn;
    v->info_mfn = ~0ull;
    store_release(&v->info, v->own_info ? v->own_info : &d->shared->vcpu_info[v->mm.id]);
    spin_unlock(&d->event_lock);
    if (held != ~0ull)
        mm_release_writable(&d->mm, mfn(held));
}

static void release_vcpus(struct domain *d)
{
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpus[i];

        mm_vcpu_teardown(&v->mm);
        v->kernel_cr3 = v->user_cr3 = 0;
        release_info(v);
        env_preempt_point();
    }
}

static void start_dying(struct domain *d)
{
    spin_lock(&d->mm.lock);
    d->mm.dying = true;
    spin_unlock(&d->mm.lock);
    /* Whoever opens a port looks at `dying` under this lock: after it, none does who has not seen
     * it. */
    spin_lock(&d->event_lock);
    spin_unlock(&d->event_lock);
    d->life = DOMAIN_DYING;
}

/* Operations on its behalf that are under way (they hold references) may hold some of its frames: once more when they are
 * done, so who they are is asked before. They are short; who holds a reference for other reasons is not waited for. */
static void release_frames(struct domain *d)
{
    uint64_t until = time_now() + SETTLE_NS;

    for (;;) {
        bool alone = load_acquire(&d->refs) <= REFS_OF_KILL;
        if (!mm_domain_teardown(&d->mm) || alone || time_now() >= until)
            return;
        env_wait_turn();
    }
}

void domain_kill(struct domain *d)
{
    if (d->life == DOMAIN_ALIVE) {
        start_dying(d);
        stop_vcpus(d);
        event_teardown_domain(d);
        release_vcpus(d);
    }
    release_frames(d);
    if (d->life == DOMAIN_DYING) {
        store_release(&d->life, DOMAIN_ZOMBIE);
        expect_reaping();
        event_send_global_virq(VIRQ_DOM_EXC);
    }
}
