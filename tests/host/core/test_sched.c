/* SPDX-License-Identifier: MIT */
/*
 * The scheduler and event delivery under every interleaving that some hundred seeds find: tokens go
 * round among vCPUs that block while they have none, beside others that pause, stop and start them.
 */
#include "machine.h"
#include "seeds.h"
#include <stdlib.h>
#include <sys/mman.h>

#define SEEDS 40
#define RING  5

static struct domain *ring_domain;
static uint32_t ring_port[RING];
static uint64_t passed, wanted;
static uint64_t held[RING];
static uint64_t pauses[2]; /* by each of domain 0's vCPUs, when it plays the pauser */

static bool pausers_done(void)
{
    return !domain0 || domain0->max_vcpus < 2 || (pauses[0] >= 8 && pauses[1] >= 8);
}

static void block(struct vcpu *v)
{
    do_sched_op(v, SCHEDOP_block, 0, 0, 0, 0);
}

static void send(struct vcpu *v, uint32_t port)
{
    struct evtchn_send op = {.port = port};
    if (do_event_channel_op(v, EVTCHNOP_send, (uint64_t)&op, 0, 0, 0))
        machine_fail("send on port %u failed", port);
}

static void bind_own_ipi(struct vcpu *v)
{
    struct evtchn_bind_ipi op = {.vcpu = v->mm.id};
    if (do_event_channel_op(v, EVTCHNOP_bind_ipi, (uint64_t)&op, 0, 0, 0))
        machine_fail("bind_ipi failed");
    ring_port[v->mm.id] = op.port;
}

/* An event tells "look at your token": a flag that the predecessor sets before it sends. */
static void ring_guest(struct vcpu *v)
{
    unsigned me = v->mm.id, next = (me + 1) % RING;
    if (!ring_port[me]) {
        bind_own_ipi(v);
        if (me == 0)
            held[0] = 2; /* two tokens */
    }
    if (!ring_port[next]) {
        do_sched_op(v, SCHEDOP_yield, 0, 0, 0, 0);
        return;
    }
    v->info->evtchn_upcall_mask = 1;
    if (held[me]) {
        held[me]--;
        held[next]++;
        if (++passed >= wanted && pausers_done())
            machine_stop();
        send(v, ring_port[next]);
    } else {
        block(v); /* opens the mask */
    }
    v->info->evtchn_upcall_mask = 0;
}

static void ring_start(unsigned cpu_number, uint64_t seed, uint64_t count)
{
    machine_start(cpu_number, seed);
    wanted = count;
    ring_domain = machine_domain(1, RING, false, ring_guest);
}

static void play_ring(uint64_t seed)
{
    ring_start(1 + seed % 4, seed, 400);
    machine_run(3000000);
}

static void test_no_lost_wakeup(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_ring);
}

/* ---- pausing ---- */

static void check_still(struct vcpu *self)
{
    uint64_t turns[RING], hops = passed;
    for (unsigned i = 0; i < RING; i++)
        turns[i] = guest_turns(ring_domain->vcpus[i]);
    for (unsigned k = 0; k < 20; k++)
        env_preempt_point();
    for (unsigned i = 0; i < RING; i++) {
        struct vcpu *v = ring_domain->vcpus[i];
        if (v == self)
            continue;
        if (guest_turns(v) != turns[i] || v->running ||
            (v->in_hypercall && v->state != VCPU_BLOCKED))
            machine_fail("v%u moves while it is paused", i);
    }
    if (hops != passed)
        machine_fail("a token moved while the domain was paused");
}

static void pauser_guest(struct vcpu *v)
{
    unsigned what = machine_random(4);
    if (what == 0) {
        domain_pause(ring_domain);
        check_still(v);
        domain_unpause(ring_domain);
        pauses[v->mm.id]++;
    } else if (what == 1) {
        domain_pause(v->domain); /* the other pauser, which may be about to do the same to us */
        domain_unpause(v->domain);
    } else if (what == 2) {
        struct vcpu *one = ring_domain->vcpus[machine_random(RING)];
        vcpu_pause(one);
        if (one->running)
            machine_fail("runs while paused");
        vcpu_unpause(one);
    } else {
        do_sched_op(v, SCHEDOP_yield, 0, 0, 0, 0);
    }
}

static void play_pause(uint64_t seed)
{
    ring_start(1 + seed % 4, seed * 77, 200);
    machine_domain(0, 2, true, pauser_guest);
    machine_run(20000000);
}

static void test_pause_holds_still(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_pause);
}

/* ---- a guest that is never at the boundary when it is switched out ---- */

static void yielding_guest(struct vcpu *v)
{
    for (unsigned k = 0; k < 3; k++)
        do_sched_op(v, SCHEDOP_yield, 0, 0, 0, 0);
}

static void pause_yielding_guest(struct vcpu *v)
{
    struct vcpu *one = ring_domain->vcpus[0];
    vcpu_pause(one);
    uint64_t turns = guest_turns(one);
    for (unsigned k = 0; k < 30; k++)
        env_preempt_point();
    CHECK_EQ(turns, guest_turns(one));
    vcpu_unpause(one);
    if (++pauses[v->mm.id] == 20)
        machine_stop();
}

static void play_pause_yielding(uint64_t seed)
{
    machine_start(2, seed);
    ring_domain = machine_domain(1, 1, false, yielding_guest);
    machine_domain(0, 1, true, pause_yielding_guest);
    machine_run(1000000);
}

static void test_pause_stops_at_boundary(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_pause_yielding);
}

/* ---- a guest whose list never ends ---- */

static uint64_t requests;

static void listing_guest(struct vcpu *v)
{
    (void)v;
    while (env_rest_point()) {
        uint64_t before = ++requests;
        env_preempt_point();
        CHECK_EQ(before, requests); /* held between two requests, not in the middle of one */
    }
}

static void end_listing_guest(struct vcpu *one)
{
    one->domain->mm.dying = true;
    sched_vcpu_stop(one, VCPU_DEAD);
    vcpu_pause(one);
    if (one->in_hypercall)
        machine_fail("a dying vCPU is left inside the hypervisor");
    if (!requests)
        machine_fail("the list did not go on");
    machine_stop();
}

static void pause_listing_guest(struct vcpu *v)
{
    struct vcpu *one = ring_domain->vcpus[0];
    bool down = machine_random(2);
    vcpu_pause(one);
    uint64_t was = requests;
    if (down)
        sched_vcpu_stop(one, VCPU_DOWN);
    for (unsigned k = 0; k < 30; k++)
        env_preempt_point();
    CHECK_EQ(was, requests);
    if (down)
        sched_vcpu_up(one);
    vcpu_unpause(one);
    if (++pauses[v->mm.id] == 20)
        end_listing_guest(one);
}

static void play_pause_listing(uint64_t seed)
{
    machine_start(1 + seed % 2, seed);
    ring_domain = machine_domain(1, 1, false, listing_guest);
    machine_domain(0, 1, true, pause_listing_guest);
    machine_run(1000000);
}

static void test_pause_stops_lists(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_pause_listing);
}

/* ---- down and up ---- */

static void stopper_guest(struct vcpu *v)
{
    (void)v;
    struct vcpu *one = ring_domain->vcpus[machine_random(RING)];
    sched_vcpu_stop(one, VCPU_DOWN);
    for (unsigned k = machine_random(10); k; k--)
        env_preempt_point();
    sched_vcpu_up(one);
    vcpu_yield();
}

static void play_down_and_up(uint64_t seed)
{
    ring_start(1 + seed % 3, seed * 1013, 150);
    machine_domain(0, 1, true, stopper_guest);
    machine_run(20000000);
}

static void test_down_and_up(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_down_and_up);
}

/* ---- polls ---- */

static uint64_t *polls_woken, *polls_timed_out; /* shared with the children */

/* Two vCPUs play ping-pong by polling masked ports. */
static void poll_guest(struct vcpu *v)
{
    unsigned me = v->mm.id;
    if (!ring_port[me]) {
        bind_own_ipi(v);
        bit_test_and_set(v->domain->shared->evtchn_mask, ring_port[me]);
        if (me == 0)
            held[0] = 1;
    }
    if (!ring_port[!me])
        return;
    if (held[me] && machine_random(8))
        return; /* think */
    if (held[me]) {
        held[me] = 0;
        held[!me] = 1;
        if (++passed == wanted)
            machine_stop();
        send(v, ring_port[!me]);
        return;
    }
    evtchn_port_t port = ring_port[me];
    struct sched_poll op = {.nr_ports = 1, .timeout = 0};
    bool timed = machine_random(2);
    if (timed)
        op.timeout = time_now() + machine_random(30000);
    op.ports.p = &port;
    if (do_sched_op(v, SCHEDOP_poll, (uint64_t)&op, 0, 0, 0))
        machine_fail("poll failed");
    if (bit_test_and_clear(v->domain->shared->evtchn_pending, port))
        ++*polls_woken;
    else if (timed)
        ++*polls_timed_out;
    /* else: the sender of an event already seen found us polling anew; a wake-up too many is
     * allowed */
}

static void play_poll(uint64_t seed)
{
    machine_start(1 + seed % 3, seed);
    wanted = 200;
    machine_domain(1, 2, false, poll_guest);
    machine_run(5000000);
}

static void test_poll(void **state)
{
    (void)state;
    polls_woken = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(polls_woken != MAP_FAILED);
    polls_timed_out = polls_woken + 1;
    play_seeds(SEEDS, play_poll);
    assert_true(*polls_woken > SEEDS);
    assert_true(*polls_timed_out > SEEDS);
}

/* ---- sharing one CPU ---- */

static void spin_guest(struct vcpu *v)
{
    (void)v;
    if (time_now() > 400000000)
        machine_stop();
}

static void play_round_robin(uint64_t seed)
{
    unsigned cpu_number = 1 + seed % 3;
    machine_start(cpu_number, seed);
    struct domain *d = machine_domain(1, 6, false, spin_guest);
    machine_run(20000000);
    uint64_t ran[6], total = 0;
    for (unsigned i = 0; i < 6; i++) {
        struct vcpu_runstate_info r;
        runstate_get(d->vcpus[i], &r);
        ran[i] = r.time[RUNSTATE_running];
        total += ran[i];
        CHECK_EQ(r.time[RUNSTATE_blocked], 0);
    }
    CHECK_LE(390000000ull * cpu_number, total);
    CHECK_LE(total, 410000000ull * cpu_number);
    for (unsigned i = 0; i < 6; i++) {
        CHECK_LE(total / 6 * 7 / 10, ran[i]);
        CHECK_LE(ran[i], total / 6 * 13 / 10);
    }
}

static void test_round_robin_is_fair(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_round_robin);
}

/* Nobody is idle while another waits, wherever they began. */
static void play_crowd(uint64_t seed)
{
    machine_start(3, seed);
    machine_crowded = true;
    struct domain *d = machine_domain(1, 3, false, spin_guest);
    machine_run(20000000);
    for (unsigned i = 0; i < 3; i++) {
        struct vcpu_runstate_info r;
        runstate_get(d->vcpus[i], &r);
        CHECK_LE(398000000, r.time[RUNSTATE_running]);
    }
}

static void test_idle_cpus_take_work(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_crowd);
}

/* ---- woken while its CPU goes idle ---- */

static uint64_t asked_at, answers, latest_answer;

/* The first waits to be asked; the second asks, and computes until the answer is there. */
static void answer_guest(struct vcpu *v)
{
    if (v->mm.id == 0) {
        if (!ring_port[0])
            bind_own_ipi(v);
        v->info->evtchn_upcall_mask = 1;
        if (asked_at) {
            latest_answer = max(latest_answer, time_now() - asked_at);
            asked_at = 0;
            answers++;
        } else {
            block(v); /* opens the mask */
        }
        v->info->evtchn_upcall_mask = 0;
    } else if (ring_port[0] && !asked_at) {
        for (unsigned k = machine_random(60); k; k--)
            env_preempt_point();
        asked_at = time_now();
        send(v, ring_port[0]);
        if (answers > 300)
            machine_stop();
    }
}

static void play_wake_at_once(uint64_t seed)
{
    machine_start(2 + seed % 2, seed);
    machine_domain(1, 2, false, answer_guest);
    machine_run(20000000);
    CHECK_LE(latest_answer, 1000000);
}

static void test_wake_at_once(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_wake_at_once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_lost_wakeup),
        cmocka_unit_test(test_pause_holds_still),
        cmocka_unit_test(test_pause_stops_at_boundary),
        cmocka_unit_test(test_pause_stops_lists),
        cmocka_unit_test(test_down_and_up),
        cmocka_unit_test(test_poll),
        cmocka_unit_test(test_round_robin_is_fair),
        cmocka_unit_test(test_idle_cpus_take_work),
        cmocka_unit_test(test_wake_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
