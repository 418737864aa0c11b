/* SPDX-License-Identifier: MIT */
/* The timer heap against a plain list, from several CPUs; and a vCPU's own timers at every edge. */
#include "machine.h"
#include "seeds.h"
#include <stdlib.h>

/* ---- the heap: any vCPU sets and stops any timer, on whatever CPU it was ---- */

#define TIMERS 40 /* of each vCPU */
#define VCPUS  3

struct tracked {
    struct timer timer;
    uint64_t expected; /* 0: not set */
    bool busy;         /* somebody sets or stops it */
};
static struct tracked tracked[VCPUS][TIMERS];
static uint64_t total_fired;

static void fired(void *arg)
{
    struct tracked *t = arg;
    if (!t->expected)
        machine_fail("a stopped timer fired");
    if (time_now() < t->expected)
        machine_fail("fired %lu ns early", t->expected - time_now());
    if (time_now() > t->expected + 500000)
        machine_fail("fired %lu ns late", time_now() - t->expected);
    for (unsigned k = 0; k < 5; k++)
        spin_wait();
    if (!t->expected)
        machine_fail("stopped while its callback ran");
    t->expected = 0;
    if (++total_fired == 1500)
        machine_stop();
}

static void timer_guest(struct vcpu *v)
{
    struct tracked *t = &tracked[(v->mm.id + machine_random(2)) % VCPUS][machine_random(TIMERS)];
    if (t->busy)
        return;
    t->busy = true;
    if (!t->timer.fn)
        timer_init(&t->timer, fired, t);
    if (machine_random(3) == 0) {
        timer_stop(&t->timer);
        t->expected = 0;
    } else {
        timer_stop(&t->timer);
        t->expected = time_now() + machine_random(2000000);
        if (timer_set(&t->timer, t->expected))
            machine_fail("timer_set failed");
    }
    t->busy = false;
    if (machine_random(4) == 0)
        vcpu_yield();
}

static void play_heap(uint64_t seed)
{
    machine_start(1 + seed % 3, seed);
    machine_domain(1, VCPUS, false, timer_guest);
    machine_run(20000000);
}

static void test_heap(void **state)
{
    (void)state;
    play_seeds(40, play_heap);
}

/* ---- a vCPU's own timers ---- */

static uint32_t timer_port;

static bool take_event(struct vcpu *v)
{
    return bit_test_and_clear(v->domain->shared->evtchn_pending, timer_port);
}

static void run_until(struct vcpu *v, uint64_t when)
{
    while (time_now() < when)
        guest_instruction(v);
}

static void check_singleshot(struct vcpu *v)
{
    static const uint64_t far[] = {1ull << 50, 1ull << 62, 1ull << 63, ~0ull, ~0ull - 1};
    CHECK_EQ(vcpu_set_singleshot(v, 1, VCPU_SSHOTTMR_future), -XEN_ETIME);
    CHECK_EQ(vcpu_set_singleshot(v, 0, VCPU_SSHOTTMR_future), -XEN_ETIME);
    CHECK_EQ(vcpu_set_singleshot(v, 1, 2), -XEN_EINVAL);
    CHECK(!take_event(v));
    for (uint64_t past = 0; past <= 2; past++) {
        CHECK_EQ(vcpu_set_singleshot(v, past, 0), 0);
        run_until(v, time_now() + 100000);
        CHECK(take_event(v));
        run_until(v, time_now() + 100000);
        CHECK(!take_event(v)); /* once */
    }
    for (unsigned i = 0; i < ARRAY_SIZE(far); i++) {
        CHECK_EQ(vcpu_set_singleshot(v, far[i], VCPU_SSHOTTMR_future), 0);
        run_until(v, time_now() + 300000);
        CHECK(!take_event(v));
    }
    uint64_t soon = time_now() + 500000;
    CHECK_EQ(do_set_timer_op(v, soon, 0, 0, 0, 0), 0);
    run_until(v, soon - 100000);
    CHECK(!take_event(v));
    run_until(v, soon + 100000);
    CHECK(take_event(v));
    CHECK_EQ(vcpu_set_singleshot(v, time_now() + 100000, 0), 0);
    CHECK_EQ(do_set_timer_op(v, 0, 0, 0, 0, 0), 0); /* stops it */
    run_until(v, time_now() + 300000);
    CHECK(!take_event(v));
}

static void check_periodic(struct vcpu *v)
{
    static const uint64_t bad[] = {0, 1, 999999, 1ull << 62, 1ull << 63, ~0ull};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        CHECK_EQ(vcpu_set_periodic(v, bad[i]), -XEN_EINVAL);
    uint64_t start = time_now(), seen = 0;
    CHECK_EQ(vcpu_set_periodic(v, 1000000), 0);
    while (time_now() < start + 20500000) {
        guest_instruction(v);
        seen += take_event(v);
    }
    CHECK_EQ(seen, 20);
    /* Long without an interrupt: one event for all beats that were missed, and the rhythm stays. */
    uint64_t beats_before = v->periodic.deadline;
    while (time_now() < start + 120500000)
        spin_wait();
    guest_instruction(v);
    CHECK(take_event(v));
    guest_instruction(v);
    CHECK(!take_event(v));
    CHECK_LE(time_now(), v->periodic.deadline);
    CHECK_EQ((v->periodic.deadline - beats_before) % 1000000, 0);
    CHECK_EQ(vcpu_set_periodic(v, (1ull << 62) - 1), 0);
    run_until(v, time_now() + 2500000);
    CHECK(!take_event(v));
    vcpu_stop_periodic(v);
}

static void own_timers_guest(struct vcpu *v)
{
    struct evtchn_bind_virq op = {.virq = VIRQ_TIMER, .vcpu = 0};
    CHECK_EQ(do_event_channel_op(v, EVTCHNOP_bind_virq, (uint64_t)&op, 0, 0, 0), 0);
    timer_port = op.port;
    bit_test_and_set(v->domain->shared->evtchn_mask, timer_port);
    check_singleshot(v);
    check_periodic(v);
    vtimer_teardown_vcpu(v);
    CHECK_EQ(cpus[0]->timer_count, 0);
    machine_stop();
}

static void play_own_timers(uint64_t seed)
{
    machine_start(1, seed);
    machine_domain(1, 1, false, own_timers_guest);
    machine_run(20000000);
}

static void test_own_timers(void **state)
{
    (void)state;
    play_seeds(10, play_own_timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap),
        cmocka_unit_test(test_own_timers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
