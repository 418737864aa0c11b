/* SPDX-License-Identifier: MIT */
/* Shares of the processors on the fake machine: weights, caps, affinity, and all of them changed while vCPUs run, block,
 * are paused and stopped. */
#include "machine.h"
#include "seeds.h"
#include <stdlib.h>

#define SEEDS   25
#define LONG_NS 600000000ull

static struct domain *first, *second;

static uint64_t ran(const struct domain *d)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu_runstate_info r;
        runstate_get(d->vcpus[i], &r);
        total += r.time[RUNSTATE_running];
    }
    return total;
}

static void between(const char *what, uint64_t least, uint64_t value, uint64_t most)
{
    if (value < least || value > most)
        machine_fail("%s: %lu is not in %lu..%lu", what, value, least, most);
}

static void spin_guest(struct vcpu *v)
{
    (void)v;
    if (time_now() > LONG_NS)
        machine_stop();
}

/* ---- weights ---- */

static void play_weights(uint64_t seed)
{
    unsigned weight = 256u * (unsigned)(1 + seed % 4);
    machine_start(1, seed);
    first = machine_domain(1, 1, false, spin_guest);
    second = machine_domain(2, 1, false, spin_guest);
    CHECK_EQ(sched_set_share(second, weight, 0), 0);
    machine_run(20000000);
    uint64_t part = LONG_NS * 256 / (256 + weight);
    between("the lighter", part * 85 / 100, ran(first), part * 115 / 100);
    between("both", LONG_NS * 98 / 100, ran(first) + ran(second), LONG_NS * 102 / 100);
}

static void test_weights(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_weights);
}

static void play_bad_shares(uint64_t seed)
{
    machine_start(1, seed);
    first = machine_domain(1, 2, false, spin_guest);
    CHECK_EQ(sched_set_share(first, 65536, 0), -XEN_EINVAL);
    CHECK_EQ(sched_set_share(first, 256, 201), -XEN_EINVAL);
    CHECK_EQ(sched_set_share(first, 65535, 200), 0);
    CHECK_EQ(sched_set_share(first, 0, 0), 0);
    CHECK_EQ(first->weight, 65535);
}

static void test_bad_shares(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_bad_shares);
}

/* ---- caps ---- */

static void play_cap(uint64_t seed)
{
    unsigned cap = 10 + 20 * (unsigned)(seed % 4), cpus_used = 1 + seed % 3;
    machine_start(cpus_used, seed);
    first = machine_domain(1, 2, false, spin_guest);
    second = machine_domain(2, 1, false, spin_guest);
    CHECK_EQ(sched_set_share(first, 256, cap), 0);
    machine_run(40000000);
    uint64_t part = LONG_NS / 100 * cap, share = cpus_used == 1 ? LONG_NS / 3 * 2 : LONG_NS;
    part = min(part, share);
    between("the capped", part * 80 / 100, ran(first), part * 110 / 100 + 3000000);
    if (cpus_used > 2)
        between("the other", LONG_NS * 97 / 100, ran(second), LONG_NS * 102 / 100);
}

static void test_caps(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_cap);
}

/* ---- a light one beside two who compute ---- */

/* It goes from one CPU to the other after each turn: that must not make it heavier. */
static void play_light_on_two(uint64_t seed)
{
    unsigned weight = 1 + 7 * (unsigned)(seed % 3);
    machine_start(2, seed);
    first = machine_domain(1, 2, false, spin_guest);
    second = machine_domain(2, 1, false, spin_guest);
    CHECK_EQ(sched_set_share(second, weight, 0), 0);
    machine_run(20000000);
    between("the light one", 0, ran(second), 2 * LONG_NS * weight / (512 + weight) + 25000000);
}

static void test_light_on_two(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_light_on_two);
}

/* ---- three on two ---- */

static void play_three_on_two(uint64_t seed)
{
    machine_start(2, seed);
    first = machine_domain(1, 3, false, spin_guest);
    machine_run(20000000);
    for (unsigned i = 0; i < 3; i++) {
        struct vcpu_runstate_info r;
        runstate_get(first->vcpus[i], &r);
        between("one of three", LONG_NS * 2 / 3 * 80 / 100, r.time[RUNSTATE_running],
                LONG_NS * 2 / 3 * 120 / 100);
    }
}

static void test_three_on_two(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_three_on_two);
}

/* ---- many on two ---- */

#define MANY 16

/* Each gets as much as every other, but for three turns (it does not grow with time). */
static void play_many_on_two(uint64_t seed)
{
    uint64_t least = UINT64_MAX, most = 0;
    machine_start(2, seed);
    first = machine_domain(1, MANY, false, spin_guest);
    machine_run(20000000);
    for (unsigned i = 0; i < MANY; i++) {
        struct vcpu_runstate_info r;
        runstate_get(first->vcpus[i], &r);
        least = min(least, r.time[RUNSTATE_running]);
        most = max(most, r.time[RUNSTATE_running]);
    }
    between("the least of many", most - 32000000, least, most);
    between("all of them", 2 * LONG_NS * 97 / 100, ran(first), 2 * LONG_NS * 102 / 100);
}

static void test_many_on_two(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_many_on_two);
}

/* ---- who sleeps is served soon ---- */

static uint64_t wakes, late;

static void sleeper_guest(struct vcpu *v)
{
    static evtchn_port_t port;
    struct evtchn_bind_ipi bind = {.vcpu = 0};
    if (!port && (do_event_channel_op(v, EVTCHNOP_bind_ipi, (uint64_t)&bind, 0, 0, 0) ||
                  !(port = bind.port)))
        machine_fail("bind_ipi failed");
    struct sched_poll op = {.nr_ports = 1, .timeout = time_now() + 3000000};
    op.ports.p = &port;
    uint64_t due = op.timeout;
    if (do_sched_op(v, SCHEDOP_poll, (uint64_t)&op, 0, 0, 0))
        machine_fail("poll failed");
    wakes++;
    late = max(late, time_now() - due);
    if (time_now() > LONG_NS)
        machine_stop();
}

static void play_sleeper(uint64_t seed)
{
    machine_start(1 + seed % 2, seed);
    first = machine_domain(1, 4, false, spin_guest);
    second = machine_domain(2, 1, false, sleeper_guest);
    machine_run(20000000);
    if (wakes < 100)
        machine_fail("it woke %lu times", wakes);
    between("late at most", 0, late, SCHED_RATELIMIT_NS + 1000000);
}

static void test_sleeper(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_sleeper);
}

/* ---- nor does one who yields all the time keep it waiting ---- */

static void yield_guest(struct vcpu *v)
{
    do_sched_op(v, SCHEDOP_yield, 0, 0, 0, 0);
}

static void play_sleeper_and_yielder(uint64_t seed)
{
    machine_start(1, seed);
    first = machine_domain(1, 4, false, spin_guest);
    second = machine_domain(2, 1, false, sleeper_guest);
    struct domain *third = machine_domain(3, 1, false, yield_guest);
    machine_run(20000000);
    if (wakes < 100)
        machine_fail("it woke %lu times", wakes);
    between("late at most", 0, late, SCHED_RATELIMIT_NS + 1000000);
    between("turns of who yields", 10, guest_turns(third->vcpus[0]), UINT64_MAX);
}

static void test_sleeper_and_yielder(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_sleeper_and_yielder);
}

/* ---- those who yield: beside a light one, and for one ---- */

static uint64_t yielded_at, longest_yield;

/* How long it has waited at the most, till now. */
static uint64_t longest_wait(void)
{
    return max(longest_yield, time_now() - yielded_at);
}

static void has_its_turn(void)
{
    longest_yield = longest_wait();
    yielded_at = time_now();
}

static void patient_guest(struct vcpu *v)
{
    has_its_turn();
    yield_guest(v);
}

/* Nobody waits with it for the light one's next turn. */
static void play_yielder_beside_light(uint64_t seed)
{
    machine_start(1, seed);
    first = machine_domain(1, 2, false, spin_guest);
    second = machine_domain(2, 1, false, spin_guest);
    machine_domain(3, 1, false, patient_guest);
    CHECK_EQ(sched_set_share(second, 1, 0), 0);
    machine_run(20000000);
    between("the light one", 0, ran(second), 25000000);
    for (unsigned i = 0; i < 2; i++) {
        struct vcpu_runstate_info r;
        runstate_get(first->vcpus[i], &r);
        between("one of two", LONG_NS * 45 / 100, r.time[RUNSTATE_running], LONG_NS * 55 / 100);
    }
    between("longest wait of who yields", 0, longest_wait(), 60000000);
}

static void play_yielders_for_light(uint64_t seed)
{
    machine_start(1, seed);
    first = machine_domain(1, 1, false, spin_guest);
    second = machine_domain(2, 2, false, yield_guest);
    CHECK_EQ(sched_set_share(first, 1, 0), 0);
    CHECK_EQ(sched_set_share(second, 65535, 0), 0);
    machine_run(20000000);
    between("the light one", LONG_NS * 90 / 100, ran(first), LONG_NS * 102 / 100);
}

/* It computes, and yields now and then. */
static void hesitant_guest(struct vcpu *v)
{
    static unsigned rounds;

    has_its_turn();
    if (++rounds % 3000 == 0)
        yield_guest(v);
}

/* A light one that yields comes to its turn, though another gives the CPU at once to who does not yield. */
static void play_light_yielder(uint64_t seed)
{
    machine_start(1, seed);
    first = machine_domain(1, 1, false, spin_guest);
    second = machine_domain(2, 1, false, hesitant_guest);
    machine_domain(3, 1, false, yield_guest);
    CHECK_EQ(sched_set_share(second, 16, 0), 0);
    machine_run(20000000);
    uint64_t part = LONG_NS * 16 / (256 + 16);
    between("the light one", part * 85 / 100, ran(second), part * 115 / 100);
    between("its longest wait", 0, longest_wait(), LONG_NS / 5);
}

static void test_yielders_and_light(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_yielder_beside_light);
    play_seeds(SEEDS, play_yielders_for_light);
    play_seeds(SEEDS, play_light_yielder);
}

/* ---- who comes late has saved nothing up, though nobody looked at the clock meanwhile ---- */

#define LATE_NS (LONG_NS / 2)

static void sleep_until(struct vcpu *v, uint64_t when)
{
    static evtchn_port_t none;
    struct sched_poll op = {.timeout = when};
    op.ports.p = &none;
    if (do_sched_op(v, SCHEDOP_poll, (uint64_t)&op, 0, 0, 0))
        machine_fail("poll failed");
}

static void late_guest(struct vcpu *v)
{
    if (time_now() < LATE_NS)
        sleep_until(v, LATE_NS);
    spin_guest(v);
}

static void play_late(uint64_t seed)
{
    machine_start(1, seed);
    first = machine_domain(1, 1, false, spin_guest);
    second = machine_domain(2, 1, false, late_guest);
    machine_run(20000000);
    uint64_t part = (LONG_NS - LATE_NS) / 2;
    between("who came late", part * 85 / 100, ran(second), part * 115 / 100);
}

static void test_late(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_late);
}

/* ---- those who begin where nobody ran before ---- */

#define SETTLED_NS (LONG_NS / 30)

/* Sleeps most of the time at first, then never. */
static void waking_guest(struct vcpu *v)
{
    if (time_now() < SETTLED_NS)
        sleep_until(v, time_now() + 100000 + machine_random(2000000));
    spin_guest(v);
}

/* All begin on one CPU, a little behind its clock; the clock of the other stands at nothing when they come there. */
static void play_beginning(uint64_t seed)
{
    machine_start(2, seed);
    machine_crowded = true;
    first = machine_domain(1, 4, false, waking_guest);
    machine_run(20000000);
    for (unsigned i = 0; i < 4; i++) {
        struct vcpu_runstate_info r;
        runstate_get(first->vcpus[i], &r);
        between("one of four", (LONG_NS - SETTLED_NS) / 2 * 80 / 100, r.time[RUNSTATE_running],
                LONG_NS / 2 * 120 / 100);
    }
}

static void test_beginning(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_beginning);
}

/* ---- who runs while the machine stands still does not pay for it ---- */

#define STILL_NS (100 * LONG_NS)

static void unlucky_guest(struct vcpu *v)
{
    static bool stood_still;

    (void)v;
    has_its_turn();
    if (!stood_still && time_now() > LONG_NS / 2) {
        stood_still = true;
        machine_stand_still(STILL_NS);
        has_its_turn();
        longest_yield = 0;
    }
    if (time_now() > STILL_NS + LONG_NS)
        machine_stop();
}

static void endless_guest(struct vcpu *v)
{
    (void)v;
}

static void play_standstill(uint64_t seed)
{
    machine_start(1 + seed % 2, seed);
    first = machine_domain(1, 4, false, endless_guest);
    second = machine_domain(2, 1, false, unlucky_guest);
    machine_run(40000000);
    between("its longest wait after it", 0, longest_wait(), LONG_NS / 5);
}

static void test_standstill(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_standstill);
}

/* ---- everything changes ---- */

static void where_guest(struct vcpu *v)
{
    if (!(v->affinity[0] >> v->cpu & 1))
        wakes++; /* not yet where it belongs: for one boundary at most, see below */
    if (machine_random(4) == 0)
        do_sched_op(v, SCHEDOP_yield, 0, 0, 0, 0);
}

static void changer_guest(struct vcpu *v)
{
    static unsigned rounds;
    uint64_t hard[MAX_CPUS / 64] = {1ull << machine_random(cpu_count)}, soft[MAX_CPUS / 64] = {3};
    struct vcpu *one = first->vcpus[machine_random(first->max_vcpus)];

    switch (machine_random(4)) {
    case 0:
        sched_set_affinity(one, hard, soft);
        vcpu_pause(one);
        vcpu_unpause(one);
        for (unsigned k = 0; k < 5; k++)
            env_preempt_point();
        if (one->running && one->cpu != lowest_bit(hard[0]))
            machine_fail("v%u runs on %u, allowed on %lx", one->mm.id, one->cpu, hard[0]);
        break;
    case 1:
        CHECK_EQ(sched_set_share(first, 1 + machine_random(1000), machine_random(3) * 40), 0);
        break;
    case 2:
        domain_pause(first);
        CHECK_EQ(sched_set_share(first, 0, machine_random(2) * 10), 0);
        domain_unpause(first);
        break;
    default:
        vcpu_yield();
    }
    (void)v;
    if (++rounds > 300)
        machine_stop();
}

static void play_changes(uint64_t seed)
{
    machine_start(1 + seed % 4, seed * 31);
    first = machine_domain(1, 4, false, where_guest);
    second = machine_domain(0, 1, true, changer_guest);
    machine_run(40000000);
}

static void test_changes(void **state)
{
    (void)state;
    play_seeds(SEEDS, play_changes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_shares),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_three_on_two),
        cmocka_unit_test(test_light_on_two),
        cmocka_unit_test(test_sleeper_and_yielder),
        cmocka_unit_test(test_yielders_and_light),
        cmocka_unit_test(test_many_on_two),
        cmocka_unit_test(test_sleeper),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_beginning),
        cmocka_unit_test(test_standstill),
        cmocka_unit_test(test_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
