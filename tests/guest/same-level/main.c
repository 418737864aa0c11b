/* SPDX-License-Identifier: MIT */
/*
 * Invariant 17: a table never refers to its own level, nor to a higher one.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>

static uint64_t filled(unsigned int slot, uint64_t entry)
{
    uint64_t t = mm_alloc();

    ((uint64_t *)mm_va(t))[slot] = entry;
    mm_home(t, PTE_RO);
    return t;
}

/* Itself, writable and read-only, preset and by update. */
static void itself(int level)
{
    uint64_t t = mm_table();
    long ret;

    test_eq("17a", "pin", test_pin(level, t), 0);
    ret = mm_set(mm_slot(t, 7), mm_entry(t, PTE_RW));
    test_refused("17a", "entry of itself, writable", ret);
    ret = mm_set(mm_slot(t, 7), mm_entry(t, PTE_RO));
    if (level == 1)
        test_eq("17a", "level 1: a read-only mapping of itself is data", ret, 0);
    else
        test_refused_ours("17a", "entry of itself, read-only", ret);
    mm_set(mm_slot(t, 7), 0);
    test_eq("17a", "unpin", test_unpin(t), 0);
    mm_home(t, PTE_RW);
    ((uint64_t *)mm_va(t))[9] = mm_entry(t, PTE_RW);
    mm_home(t, PTE_RO);
    test_refused("17a", "preset, writable", test_pin(level, t));
    mm_table_free(t);
}

/* Another table of the same level, of each higher one; and loops of two. */
static void others(int level)
{
    for (int other = level; other <= 4; other++) {
        uint64_t t = mm_table(), o = mm_table();
        long ret;

        test_eq("17b", "pin", test_pin(level, t), 0);
        test_eq("17b", "pin the other", test_pin(other, o), 0);
        ret = mm_set(mm_slot(t, 5), mm_entry(o, PTE_RW));
        test_refused("17b", "same or higher level, writable", ret);
        ret = level > 1 ? mm_set(mm_slot(t, 5), mm_entry(o, PTE_RO)) : -XEN_EINVAL;
        test_refused_ours("17b", "same or higher level, read-only", ret);
        mm_set(mm_slot(t, 5), 0);
        test_eq("17b", "unpin", test_unpin(t), 0);
        test_eq("17b", "unpin the other", test_unpin(o), 0);
        mm_table_free(t);
        mm_table_free(o);
    }
}

/* a -> b -> a, neither validated yet. */
static void loop_of_two(int level)
{
    uint64_t a = mm_alloc(), b = mm_alloc();

    ((uint64_t *)mm_va(a))[1] = mm_entry(b, PTE_RW);
    ((uint64_t *)mm_va(b))[1] = mm_entry(a, PTE_RW);
    mm_home(a, PTE_RO);
    mm_home(b, PTE_RO);
    test_refused("17c", "loop of two", test_pin(level, a));
    test_refused("17c", "from the other end", test_pin(level, b));
    if (level < 4)
        test_refused("17c", "loop, one level up", test_pin(level + 1, b));
    mm_table_free(a);
    mm_table_free(b);
}

/* A chain: each names the one before. The first that is a table refuses the second. */
static void chain(int level)
{
    uint64_t all[200];
    unsigned int n, accepted = 0;

    all[0] = filled(0, 0);
    test_eq("17d", "first of a chain", test_pin(level, all[0]), 0);
    for (n = 1; n < 200; n++) {
        all[n] = filled(n, mm_entry(all[0], PTE_RW));
        accepted += test_pin(level, all[n]) >= 0;
    }
    test_eq("17d", "tables naming a table of their level", accepted, 0);
    test_audit("17d");
    test_eq("17d", "unpin", test_unpin(all[0]), 0);
    while (n)
        mm_table_free(all[--n]);
}

/* The loop closes at the end of an otherwise valid tree: all of it is taken back. */
static void late_loop(void)
{
    uint64_t l1 = mm_table(), l2 = filled(0, mm_entry(l1, PTE_RW));
    uint64_t l3 = filled(0, mm_entry(l2, PTE_RW)), l4 = mm_alloc();

    ((uint64_t *)mm_va(l4))[0] = mm_entry(l3, PTE_RW);
    ((uint64_t *)mm_va(l4))[511] = mm_entry(l4, PTE_RW);
    mm_home(l4, PTE_RO);
    test_refused("17e", "valid tree with a loop in its last slot", test_pin(4, l4));
    test_audit("17e");
    /* Nothing below kept its role: each may be plain data again. */
    test_eq("17e", "level 1 writable again", mm_home(l1, PTE_RW), 0);
    test_eq("17e", "level 2 writable again", mm_home(l2, PTE_RW), 0);
    test_eq("17e", "level 3 writable again", mm_home(l3, PTE_RW), 0);
    test_eq("17e", "level 4 writable again", mm_home(l4, PTE_RW), 0);
}

/* The boot root: a slot of it naming itself or another root. */
static void live_root(void)
{
    uint64_t other = mm_new_root();

    test_refused("17f", "root in itself, writable",
                 mm_set(mm_slot(mm_root(), 300), mm_entry(mm_root(), PTE_RW)));
    test_refused_ours("17f", "root in itself, read-only",
                      mm_set(mm_slot(mm_root(), 300), mm_entry(mm_root(), PTE_RO)));
    mm_set(mm_slot(mm_root(), 300), 0);
    test_eq("17f", "another root", test_pin(4, other), 0);
    test_refused_ours("17f", "another root in it, read-only",
                      mm_set(mm_slot(mm_root(), 300), mm_entry(other, PTE_RO)));
    mm_set(mm_slot(mm_root(), 300), 0);
    test_eq("17f", "unpin", test_unpin(other), 0);
    mm_table_free(other);
}

int main(void)
{
    test_begin("same-level");
    for (int level = 1; level <= 4; level++) {
        itself(level);
        others(level);
        if (level > 1) {
            loop_of_two(level);
            chain(level);
        }
    }
    late_loop();
    live_root();
    test_end();
}
