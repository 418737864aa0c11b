/* SPDX-License-Identifier: MIT */
/*
 * Shares of domains: weight and cap.
 *
 * A cap is a budget of running time for all vCPUs of a domain together, so many percent of one CPU in each period.
 * It is drawn on as they are charged; what several of them overdraw is owed from the next period's. When it is spent they
 * stop at the guest boundary, as if paused (sched_eligible); a timer at the period's end lets them go on. The timer is
 * set before they are stopped: where that fails they are not.
 */
#include "core/time.h"
#include "sched_internal.h"
#include <xen/errno.h>

#define PERIOD_NS  10000000ull
#define SAVED_UP   3 /* periods */
#define WEIGHT_MAX 65535

static int64_t quota(const struct domain *d)
{
    return (int64_t)(PERIOD_NS / 100 * d->cap);
}

/* With the cap's lock: give what the periods that have passed brought. A few are saved up, so that a timer that came
 * late takes nothing away. */
static void refill(struct domain *d, uint64_t now)
{
    struct cap *cap = &d->throttle;

    if (now < cap->period_end)
        return;
    uint64_t periods = (now - cap->period_end) / PERIOD_NS + 1;
    cap->period_end += periods * PERIOD_NS;
    if (periods > 1000)
        periods = 1000;
    cap->budget = min(cap->budget + (int64_t)periods * quota(d), SAVED_UP * quota(d));
}

/* With the cap's lock. */
static void end_exhaustion(struct cap *cap, uint64_t now)
{
    cap->exhausted_ns += now - cap->exhausted_since;
    store_release(&cap->exhausted, false);
}

static void kick_running(struct domain *d)
{
    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (load_relaxed(&d->vcpus[i]->running))
            sched_kick(load_relaxed(&d->vcpus[i]->cpu));
}

void sched_cap_charge(struct domain *d, uint64_t ran, uint64_t now)
{
    struct cap *cap = &d->throttle;
    bool ended = false;

    if (!load_relaxed(&d->cap))
        return;
    spin_lock(&cap->lock);
    refill(d, now);
    cap->budget -= (int64_t)ran;
    if (d->cap && cap->budget <= 0 && !cap->exhausted && !timer_set(&cap->timer, cap->period_end)) {
        cap->exhausted_since = now;
        store_release(&cap->exhausted, true);
        ended = true;
    }
    spin_unlock(&cap->lock);
    if (ended)
        kick_running(d);
}

uint64_t sched_cap_end(struct domain *d, uint64_t now)
{
    int64_t left = load_relaxed(&d->throttle.budget);

    if (!load_relaxed(&d->cap))
        return 0;
    return now + (uint64_t)max(left, (int64_t)1);
}

/* Let them go on: those that were parked are queued again. */
static void resettle(struct domain *d)
{
    for (unsigned i = 0; i < d->max_vcpus; i++)
        sched_settle(sched_lock_vcpu(d->vcpus[i]), d->vcpus[i]);
}

static void period_ended(void *arg)
{
    struct domain *d = arg;
    struct cap *cap = &d->throttle;
    uint64_t now = time_now();
    bool again;

    spin_lock(&cap->lock);
    refill(d, now);
    again = !cap->exhausted;
    /* In debt: another period. There is room for the timer, it was just taken out. */
    if (cap->exhausted && (cap->budget > 0 || !d->cap || timer_set(&cap->timer, cap->period_end))) {
        end_exhaustion(cap, now);
        again = true;
    }
    spin_unlock(&cap->lock);
    if (again)
        resettle(d);
}

void sched_init_domain(struct domain *d)
{
    d->weight = DOMAIN_WEIGHT;
    spin_init(&d->throttle.lock);
    timer_init(&d->throttle.timer, period_ended, d);
}

void sched_teardown_domain(struct domain *d)
{
    timer_stop(&d->throttle.timer);
}

int sched_set_share(struct domain *d, unsigned weight, unsigned cap)
{
    struct cap *t = &d->throttle;
    uint64_t now = time_now();

    if (weight > WEIGHT_MAX || cap > d->max_vcpus * 100)
        return -XEN_EINVAL;
    if (weight)
        store_relaxed(&d->weight, (uint16_t)weight);
    spin_lock(&t->lock);
    store_relaxed(&d->cap, (uint16_t)cap);
    t->budget = quota(d);
    t->period_end = now + PERIOD_NS;
    if (t->exhausted)
        end_exhaustion(t, now);
    spin_unlock(&t->lock);
    resettle(d);
    kick_running(d); /* their slices end by the new rule */
    return 0;
}
