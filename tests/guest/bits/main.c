/* SPDX-License-Identifier: MIT */
/*
 * Invariant 15: entry bits are a whitelist, and there are no large pages.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>

#define WINDOW 0xffff890000000000ul

static unsigned int physical_width(void)
{
    uint32_t a = 0x80000008, b, c = 0, d;

    /* CPUID may be trapped or not: what the guest sees is what it is told. */
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return a & 0xff;
}

/* One bit added to a legal entry at each level, by each route. */
static void each_bit(int level, uint64_t table, uint64_t legal)
{
    unsigned int width = physical_width();

    for (unsigned int bit = 7; bit < 63; bit++) {
        uint64_t value = legal | 1ul << bit;
        bool address = bit >= width && bit < 52;
        bool large = bit == 7 && level > 1;

        if (!address && !large)
            continue;
        if (!test_eq_ours("15a", address ? "address bit above the width" : "large page",
                          mm_set(mm_slot(table, 1), value), -XEN_EINVAL))
            test_note("level %d bit %u", level, bit);
    }
    if (level > 1) {
        test_eq_ours("15b", "global bit above level 1", mm_set(mm_slot(table, 1), legal | PTE_G),
                     -XEN_EINVAL);
        mm_set(mm_slot(table, 1), 0);
    }
    test_eq("15b", "the legal entry", mm_set(mm_slot(table, 1), legal), 0);
    test_eq("15b", "clear", mm_set(mm_slot(table, 1), 0), 0);
}

static void preset(int level, uint64_t legal, uint64_t bit, const char *what, bool ours)
{
    uint64_t t = mm_alloc();
    long ret;

    ((uint64_t *)mm_va(t))[511] = legal | bit;
    mm_home(t, PTE_RO);
    ret = test_pin(level, t);
    if (ours)
        test_refused_ours("15c", what, ret);
    else
        test_refused("15c", what, ret);
    if (ret >= 0)
        test_unpin(t);
    mm_table_free(t);
}

static void all_levels(void)
{
    uint64_t below = mm_alloc();

    for (int level = 1; level <= 4; level++) {
        uint64_t table = mm_table(), legal = mm_entry(below, level == 1 ? PTE_RO : PTE_RW);

        test_eq("15", "a table", test_pin(level, table), 0);
        each_bit(level, table, legal);
        test_eq("15", "gone", test_unpin(table), 0);
        mm_table_free(table);
        if (level > 1) {
            preset(level, legal, PTE_PSE, "large page preset", false);
            preset(level, legal, PTE_G, "global bit preset", true);
        }
        preset(level, legal, 1ul << 51, "high address bit preset", false);
        /* The table of this level becomes what the next level points to. */
        if (level == 1)
            mm_free(below);
        else
            mm_table_free(below);
        below = mm_table();
    }
    mm_table_free(below);
}

/* Global in level 1 is accepted and dropped. */
static void global_is_dropped(void)
{
    uint64_t pfn = mm_alloc(), at = mm_walk(mm_root(), WINDOW, 1, NULL), value;

    test_eq("15d", "global page", mm_set(at, mm_entry(pfn, PTE_RW | PTE_G)), 0);
    mm_walk(mm_root(), WINDOW, 1, &value);
    test_eq_ours("15d", "the bit is not there", (int64_t)(value & PTE_G), 0);
    test_eq("15d", "clear", mm_set(at, 0), 0);
    mm_free(pfn);
}

/* Marking large pages is not offered. */
static void no_marks(void)
{
    uint64_t pfn = mm_alloc();

    test_refused_ours("15e", "mark super", hc_mmuext_mfn(MMUEXT_MARK_SUPER, mm_mfn(pfn) & ~511ul));
    test_refused_ours("15e", "unmark super",
                      hc_mmuext_mfn(MMUEXT_UNMARK_SUPER, mm_mfn(pfn) & ~511ul));
    mm_free(pfn);
}

/* Not-present entries may hold anything and are kept as written. */
static void not_present(void)
{
    uint64_t at = mm_walk(mm_root(), WINDOW, 1, NULL), value;
    static const uint64_t values[] = {0x2, 0x80, 0x7ffffffffffff000, ~1ul, 0xdeadbeef000};

    for (unsigned int i = 0; i < 5; i++) {
        test_eq("15f", "not-present entry", mm_set(at, values[i]), 0);
        mm_walk(mm_root(), WINDOW, 1, &value);
        test_eq("15f", "kept as written", (int64_t)value, (int64_t)values[i]);
        test_eq("15f", "and faults", trap_read(WINDOW, NULL), TRAP_PF);
    }
    test_eq("15f", "clear", mm_set(at, 0), 0);
}

int main(void)
{
    test_begin("bits");
    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    all_levels();
    global_is_dropped();
    no_marks();
    not_present();
    test_end();
}
