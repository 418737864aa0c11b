/* SPDX-License-Identifier: MIT */
/*
 * The balloon's policy on thousands of fleets and loads: what it promises must hold for all of them.
 * The fleets come from a seed that is printed when one fails (and may be given: PAL_SEED).
 */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "balloon/policy.h"
#include "fleet.h"

#define MIB    1024ull
#define FLEETS 3000

static uint64_t seed, number;

static uint64_t any(uint64_t below)
{
    number = number * 6364136223846793005ull + 1442695040888963407ull;
    return below ? (number >> 17) % below : 0;
}

static void make_guest(struct fleet *f, uint64_t *room, enum guest_manner manner)
{
    struct guest *g = &f->guest[f->guests];
    uint64_t max = (96 + any(4000)) * MIB;
    uint64_t min = 64 * MIB + any(max / 4);
    uint64_t current = min + any(max - min + 1);

    if (current > *room)
        return;
    *g = (struct guest){
        .limits = {.min_kib = min, .max_kib = max, .shares = 1 + (unsigned)any(1000)},
        .current_kib = current,
        .target_kib = current,
        .load_kib = any(max),
        .cache_kib = any(2) * any(max),
        .rate_kib = (16 + any(400)) * MIB,
        .manner = manner,
        .agent = any(4) != 0 || manner == GUEST_LIES,
    };
    *room -= current;
    f->guests++;
}

/* A fleet that fits the machine; strange guests among them when asked for. */
static void make_fleet(struct fleet *f, bool strange)
{
    uint64_t total = (512 + any(32768)) * MIB, room = total;
    unsigned guests = 1 + (unsigned)any(16);

    memset(f, 0, sizeof(*f));
    f->machine.slack_kib = any(64) * MIB;
    room -= f->machine.slack_kib;
    for (unsigned i = 0; i < guests; i++)
        make_guest(f, &room,
                   strange && any(3) == 0 ? 1 + (enum guest_manner)any(3) : GUEST_FOLLOWS);
    f->machine.free_kib = room + f->machine.slack_kib;
}

/* What must hold after every decision, whatever the guests do. */
static void check_promises(const struct fleet *f, uint64_t total)
{
    uint64_t asked = 0, had = 0;

    for (size_t i = 0; i < f->guests; i++) {
        const struct balloon_domain *d = &f->guest[i].seen;
        uint64_t target = d->target_kib, was = d->sample.current_kib;

        asked += target > was ? target : was;
        had += was;
        assert_true(target <= d->limits.max_kib || target <= was);
        assert_true(target >= d->floor_kib || target >= was);
        assert_true(target >= d->limits.min_kib || target >= was);
        assert_true(d->ideal_kib >= d->floor_kib);
        assert_true(d->reason < BALLOON_REASONS);
    }
    uint64_t kept = f->machine.slack_kib + f->machine.reserved_kib;
    assert_true(asked <= total - kept || asked == had);
    assert_true(fleet_total(f) == total);
}

static void each_fleet(bool strange, void (*work)(struct fleet *f, uint64_t total))
{
    for (unsigned i = 0; i < FLEETS; i++) {
        struct fleet f;

        number = seed + i;
        make_fleet(&f, strange);
        work(&f, fleet_total(&f));
    }
}

/* ---- any fleet, loads that change at random ---- */

static void moving(struct fleet *f, uint64_t total)
{
    for (unsigned step = 0; step < 60; step++) {
        if (any(8) == 0 && f->guests)
            f->guest[any(f->guests)].load_kib = any(4096 * MIB);
        if (any(20) == 0)
            f->machine.reserved_kib = any(2) * any(total / 4);
        fleet_step(f, 100 + (unsigned)any(5000));
        check_promises(f, total);
    }
}

static void test_promises(void **state)
{
    (void)state;
    each_fleet(true, moving);
}

/* ---- loads that stay: it settles, and does not swing ---- */

static void settling(struct fleet *f, uint64_t total)
{
    uint64_t before[FLEET_MAX];

    for (unsigned step = 0; step < 1000; step++)
        fleet_step(f, 2000);
    for (size_t i = 0; i < f->guests; i++) {
        f->guest[i].turns = 0;
        before[i] = f->guest[i].current_kib;
    }
    for (unsigned step = 0; step < 200; step++)
        fleet_step(f, 2000);
    check_promises(f, total);
    for (size_t i = 0; i < f->guests; i++) {
        struct guest *g = &f->guest[i];
        uint64_t moved =
            g->current_kib > before[i] ? g->current_kib - before[i] : before[i] - g->current_kib;

        assert_true(g->turns <= 6);
        assert_true(moved <= before[i] / 8 + 16 * MIB);
    }
}

static void test_settles(void **state)
{
    (void)state;
    each_fleet(false, settling);
}

/* ---- nobody starves ---- */

/* What a guest may count on: its part by shares of what is above the floors, or its need if that is less. */
static void nobody_starves(struct fleet *f, uint64_t total)
{
    for (unsigned step = 0; step < 400; step++)
        fleet_step(f, 2000);
    uint64_t floors = 0, shares = 0;

    if (f->outcome.missing_kib)
        return; /* more floors than memory: nobody can have more than he has */
    for (size_t i = 0; i < f->guests; i++) {
        floors += f->guest[i].seen.floor_kib;
        shares += f->guest[i].limits.shares;
    }
    uint64_t above = total - floors - f->machine.slack_kib;
    for (size_t i = 0; i < f->guests; i++) {
        const struct guest *g = &f->guest[i];
        uint64_t due = g->seen.floor_kib + above / shares * g->limits.shares;

        due = due < g->seen.need_kib ? due : g->seen.need_kib;
        assert_true(g->seen.ideal_kib + MIB >= due);
        assert_true(g->current_kib + due / 16 + 32 * MIB >= due);
    }
}

static void test_no_starvation(void **state)
{
    (void)state;
    each_fleet(false, nobody_starves);
}

/* ---- shares ---- */

/* Guests that all want much more than there is, of caches that may be taken: by shares within 5 %. */
static void test_shares(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 500; round++) {
        struct fleet f = {.machine = {.free_kib = 4096 * MIB}};
        uint64_t above = 0, shares = 0;

        number = seed + round;
        for (f.guests = 0; f.guests < 2 + round % 7; f.guests++)
            f.guest[f.guests] = (struct guest){
                .limits = {64 * MIB, 8192 * MIB, 100 + (unsigned)any(900)},
                .current_kib = (64 + any(400)) * MIB,
                .cache_kib = 65536 * MIB,
                .rate_kib = 200 * MIB,
                .agent = true,
            };
        for (unsigned step = 0; step < 600; step++)
            fleet_step(&f, 2000);
        for (size_t i = 0; i < f.guests; i++) {
            above += f.guest[i].current_kib - f.guest[i].seen.floor_kib;
            shares += f.guest[i].limits.shares;
        }
        for (size_t i = 0; i < f.guests; i++) {
            double due = (double)above * f.guest[i].limits.shares / (double)shares;
            double got = (double)(f.guest[i].current_kib - f.guest[i].seen.floor_kib);

            if (got < due * 0.95 || got > due * 1.05)
                fail_msg("round %u, guest %zu of %zu: %.0f MiB instead of %.0f", round, i, f.guests,
                         got / MIB, due / MIB);
        }
    }
}

/* ---- one at a time ---- */

static struct balloon_domain domain(uint64_t current_mib, uint64_t used_mib)
{
    return (struct balloon_domain){
        .limits = {.min_kib = 64 * MIB, .max_kib = 4096 * MIB, .shares = 100},
        .sample = {.current_kib = current_mib * MIB,
                   .target_kib = current_mib * MIB,
                   .has_agent = true,
                   .used_kib = used_mib * MIB},
    };
}

static void test_pressure_is_answered_at_once(void **state)
{
    struct balloon_machine m = {.free_kib = 1024 * MIB};
    struct balloon_domain d = domain(512, 500);

    (void)state;
    d.sample.pressure = 3000;
    balloon_decide(&m, &d, 1, 2000);
    assert_int_equal(d.reason, BALLOON_GROW_PRESSURE);
    assert_true(d.target_kib >= 640 * MIB);
}

static void test_idle_is_taken_slowly(void **state)
{
    struct balloon_machine m = {.free_kib = 1024 * MIB};
    struct balloon_domain d = domain(2048, 128);

    (void)state;
    balloon_decide(&m, &d, 1, 2000);
    assert_int_equal(d.reason, BALLOON_SHRINK_IDLE);
    assert_true(d.target_kib < 2048 * MIB && d.target_kib > 1700 * MIB);
}

static void test_reservation_takes_faster(void **state)
{
    struct balloon_machine m = {.free_kib = 100 * MIB};
    struct balloon_domain slow = domain(2048, 128), fast = slow;

    (void)state;
    balloon_decide(&m, &slow, 1, 2000);
    m.reserved_kib = 1024 * MIB;
    balloon_decide(&m, &fast, 1, 2000);
    assert_int_equal(fast.reason, BALLOON_SHRINK_RESERVED);
    assert_true(fast.target_kib < slow.target_kib);
}

static void test_more_reserved_than_there_is(void **state)
{
    struct balloon_machine m = {.free_kib = 100 * MIB, .reserved_kib = 8192 * MIB};
    struct balloon_domain d = domain(1024, 512);
    struct balloon_outcome out = balloon_decide(&m, &d, 1, 2000);

    (void)state;
    assert_true(out.missing_kib > 0);
    assert_true(d.target_kib >= d.floor_kib && d.floor_kib >= 512 * MIB);
}

static void test_silent_is_left_alone(void **state)
{
    struct fleet f = {.machine = {.free_kib = 0}, .guests = 2};

    (void)state;
    f.guest[0] = (struct guest){.limits = {64 * MIB, 4096 * MIB, 1},
                                .current_kib = 2048 * MIB,
                                .manner = GUEST_IGNORES,
                                .agent = true,
                                .rate_kib = 100 * MIB};
    f.guest[1] = f.guest[0];
    f.guest[1].manner = GUEST_FOLLOWS;
    f.guest[1].load_kib = 1500 * MIB;
    unsigned silent = 0;
    for (unsigned step = 0; step < 100; step++) {
        fleet_step(&f, 1000);
        silent += f.guest[0].seen.reason == BALLOON_SILENT;
    }
    assert_true(silent > 40 && silent < 100);
    assert_int_equal(f.guest[0].current_kib, 2048 * MIB);
}

/* Whatever it says it gets no more than its shares give it, and the other what he needs. */
static void test_liar(void **state)
{
    struct fleet f = {.machine = {.free_kib = 1024 * MIB}, .guests = 2};

    (void)state;
    for (size_t i = 0; i < 2; i++)
        f.guest[i] = (struct guest){.limits = {64 * MIB, 4096 * MIB, 100},
                                    .current_kib = 512 * MIB,
                                    .rate_kib = 100 * MIB,
                                    .load_kib = 300 * MIB,
                                    .agent = true};
    f.guest[0].manner = GUEST_LIES;
    for (unsigned step = 0; step < 200; step++)
        fleet_step(&f, 1000);
    f.guest[1].load_kib = 600 * MIB;
    for (unsigned step = 0; step < 200; step++)
        fleet_step(&f, 1000);
    assert_int_equal(guest_lacks(&f.guest[1]), 0);
}

/* Killed and started again it knows nothing, and moves nothing that it would not have moved. */
static void test_forgets_without_harm(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 500; round++) {
        struct fleet f;

        number = seed + round;
        make_fleet(&f, true);
        uint64_t total = fleet_total(&f);

        for (unsigned step = 0; step < 40; step++) {
            if (any(5) == 0)
                for (size_t i = 0; i < f.guests; i++)
                    memset(&f.guest[i].memory, 0, sizeof(f.guest[i].memory));
            fleet_step(&f, 2000);
            check_promises(&f, total);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promises),
        cmocka_unit_test(test_settles),
        cmocka_unit_test(test_no_starvation),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_pressure_is_answered_at_once),
        cmocka_unit_test(test_idle_is_taken_slowly),
        cmocka_unit_test(test_reservation_takes_faster),
        cmocka_unit_test(test_more_reserved_than_there_is),
        cmocka_unit_test(test_silent_is_left_alone),
        cmocka_unit_test(test_liar),
        cmocka_unit_test(test_forgets_without_harm),
    };

    seed = getenv("PAL_SEED") ? strtoull(getenv("PAL_SEED"), NULL, 0) : 20;
    print_message("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
