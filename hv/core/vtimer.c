/* SPDX-License-Identifier: MIT */
/* A vCPU's own timers. No deadline is special: all arithmetic is unsigned and cannot wrap. */
#include "core/domain.h"
#include "core/event.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "core/time.h"
#include "core/vtimer.h"

#define PERIOD_MIN_NS 1000000ull
#define PERIOD_MAX_NS (BIT(62) - 1)

static void singleshot_fired(void *arg)
{
    event_send_virq(arg, VIRQ_TIMER);
}

static void periodic_fired(void *arg)
{
    struct vcpu *v = arg;
    uint64_t period = load_relaxed(&v->periodic_ns), now = time_now(), due = v->periodic.deadline;
    if (!period)
        return; /* stopped meanwhile */
    event_send_virq(v, VIRQ_TIMER);
    uint64_t late = now > due ? now - due : 0;
    /* The next beat of the same rhythm that lies ahead; no storm of the missed ones. Room in the
     * heap: we were just taken from it. */
    (void)timer_set(&v->periodic, now + (period - late % period));
}

static void poll_timed_out(void *arg)
{
    struct vcpu *v = arg;
    if (bit_test_and_clear(v->domain->poll_mask, v->mm.id))
        vcpu_wake(v);
}

void vtimer_init_vcpu(struct vcpu *v)
{
    timer_init(&v->singleshot, singleshot_fired, v);
    timer_init(&v->periodic, periodic_fired, v);
    timer_init(&v->poll, poll_timed_out, v);
}

void vtimer_teardown_vcpu(struct vcpu *v)
{
    vcpu_stop_periodic(v);
    timer_stop(&v->singleshot);
    timer_stop(&v->poll);
}

int vcpu_set_singleshot(struct vcpu *v, uint64_t abs_ns, uint32_t flags)
{
    if (flags & ~(uint32_t)VCPU_SSHOTTMR_future)
        return -XEN_EINVAL;
    if ((flags & VCPU_SSHOTTMR_future) && abs_ns <= time_now())
        return -XEN_ETIME;
    return timer_set(&v->singleshot, abs_ns);
}

void vcpu_stop_singleshot(struct vcpu *v)
{
    timer_stop(&v->singleshot);
}

int vcpu_set_periodic(struct vcpu *v, uint64_t period_ns)
{
    if (period_ns < PERIOD_MIN_NS || period_ns > PERIOD_MAX_NS)
        return -XEN_EINVAL;
    vcpu_stop_periodic(v);
    store_relaxed(&v->periodic_ns, period_ns);
    return timer_set(&v->periodic, time_now() + period_ns);
}

void vcpu_stop_periodic(struct vcpu *v)
{
    store_relaxed(&v->periodic_ns, 0);
    timer_stop(&v->periodic);
    /* Had its callback been under way it may have set the timer once more before the stop returned.
     */
    timer_stop(&v->periodic);
}

/* HYPERVISOR_set_timer_op: the older form of the one-shot timer. 0 stops it. */
long do_set_timer_op(struct vcpu *v, uint64_t abs_ns, uint64_t a2, uint64_t a3, uint64_t a4,
                     uint64_t a5)
{
    (void)a2, (void)a3, (void)a4, (void)a5;
    if (abs_ns)
        return timer_set(&v->singleshot, abs_ns);
    timer_stop(&v->singleshot);
    return 0;
}
