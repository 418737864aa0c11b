/* SPDX-License-Identifier: MIT */
/*
 * Holding vCPUs still, for those who need a domain that does not move: the audit, teardown, save.
 *
 * Two who pause each other would wait for ever, each for the other to leave the hypervisor. So only
 * one may be in the act of pausing; who waits for its turn holds nothing and counts as being at the
 * guest boundary, so it may itself be held. The turn ends when the paused ones stand still, not
 * when they go on.
 */
#include "core/domain.h"
#include "core/time.h"
#include "mm/env.h"
#include "sched_internal.h"

static bool pausing;

static void pause_turn_take(void)
{
    bool expected = false;
    while (!compare_exchange(&pausing, &expected, true)) {
        expected = false;
        env_wait_turn();
        sched_yield_parkable();
    }
}

static void pause_turn_give(void)
{
    store_release(&pausing, false);
}

void vcpu_pause_nosync(struct vcpu *v)
{
    fetch_add(&v->pause_count, 1);
    struct cpu *c = sched_lock_vcpu(v);
    if (v->running) {
        sched_kick(c->id);
    } else if (!sched_eligible(v) && !list_empty(&v->rq_entry)) {
        sched_dequeue(c, v);
        runstate_change(v, RUNSTATE_offline, time_now());
    }
    spin_unlock(&c->rq_lock);
}

static bool stands_still(struct vcpu *v)
{
    struct cpu *c = sched_lock_vcpu(v);
    bool still = !v->running && !sched_eligible(v);
    if (still)
        sched_dequeue(c, v);
    spin_unlock(&c->rq_lock);
    return still;
}

static void wait_still(struct vcpu *v)
{
    while (!stands_still(v))
        env_wait_turn();
}

void vcpu_pause(struct vcpu *v)
{
    pause_turn_take();
    vcpu_pause_nosync(v);
    wait_still(v);
    pause_turn_give();
}

void vcpu_unpause(struct vcpu *v)
{
    struct cpu *c = sched_lock_vcpu(v);
    CHECK_LT(0, load_relaxed(&v->pause_count));
    if (fetch_sub(&v->pause_count, 1) == 1 && v->state == VCPU_BLOCKED && v->wake_pending) {
        v->wake_pending = false;
        v->state = VCPU_RUNNABLE;
    }
    sched_settle(c, v);
}

void domain_pause(struct domain *d)
{
    struct vcpu *self = current_vcpu();
    pause_turn_take();
    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (d->vcpus[i] && d->vcpus[i] != self)
            vcpu_pause_nosync(d->vcpus[i]);
    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (d->vcpus[i] && d->vcpus[i] != self)
            wait_still(d->vcpus[i]);
    pause_turn_give();
}

void domain_unpause(struct domain *d)
{
    struct vcpu *self = current_vcpu();
    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (d->vcpus[i] && d->vcpus[i] != self)
            vcpu_unpause(d->vcpus[i]);
}
