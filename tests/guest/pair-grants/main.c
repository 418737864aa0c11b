/* SPDX-License-Identifier: MIT */
/*
 * x
 *
 * run: smp=2 guests=self deadline=120
 */
#include <bare/pair.h>

static int64_t hello(uint64_t arg)
{
    test_true("1a", "hello", arg == 3);
    return 0;
}

static void story(void)
{
    pair_begin(1);
    pair_new_attacker(2);
    pair_attack("1a", hello, 3);
    pair_end_attacker("1a");
    for (int i = 0; i < 5; i++) {
        pair_new_attacker(2);
        pair_end_attacker("1b");
    }
}

int main(void)
{
    return pair_main("pair-grants", story);
}
