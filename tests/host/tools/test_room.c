/* SPDX-License-Identifier: MIT */
/* Who gives how much: never below a floor, never too little in all, and nobody when it would not be enough. */
#include "test.h"

#include "libpal/room.h"

#define MIB 1024ull

static uint64_t number = 7;

static uint64_t any(uint64_t below)
{
    number = number * 6364136223846793005ull + 1442695040888963407ull;
    return (number >> 17) % below;
}

static void test_in_proportion(void **state)
{
    struct pal_giver g[3] = {{.current_kib = 300 * MIB, .floor_kib = 100 * MIB},
                             {.current_kib = 500 * MIB, .floor_kib = 100 * MIB},
                             {.current_kib = 100 * MIB, .floor_kib = 200 * MIB}};

    (void)state;
    assert_int_equal(pal_room_divide(g, 3, 300 * MIB), 0);
    assert_int_equal(g[0].give_kib, 100 * MIB);
    assert_int_equal(g[1].give_kib, 200 * MIB);
    assert_int_equal(g[2].give_kib, 0);
}

static void test_too_little(void **state)
{
    struct pal_giver g[2] = {{.current_kib = 300 * MIB, .floor_kib = 250 * MIB},
                             {.current_kib = 90 * MIB, .floor_kib = 80 * MIB}};

    (void)state;
    assert_int_equal(pal_room_divide(g, 2, 100 * MIB), 40 * MIB);
    assert_int_equal(g[0].give_kib + g[1].give_kib, 0);
    assert_int_equal(pal_room_divide(g, 0, 1), MIB);
    assert_int_equal(pal_room_divide(g, 2, 0), 0);
}

static void test_any(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct pal_giver g[8];
        unsigned count = (unsigned)any(9);
        uint64_t missing = any(4096 * MIB), given = 0, lacking;

        for (unsigned i = 0; i < count; i++)
            g[i] = (struct pal_giver){.current_kib = any(2048 * MIB), .floor_kib = any(1024 * MIB)};
        lacking = pal_room_divide(g, count, missing);
        for (unsigned i = 0; i < count; i++) {
            given += g[i].give_kib;
            assert_true(!g[i].give_kib || g[i].current_kib - g[i].give_kib >= g[i].floor_kib);
        }
        assert_true(lacking ? given == 0 : given >= missing && given < missing + MIB);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_proportion),
        cmocka_unit_test(test_too_little),
        cmocka_unit_test(test_any),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
