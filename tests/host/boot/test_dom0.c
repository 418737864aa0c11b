/* SPDX-License-Identifier: MIT */
/* How much memory domain 0 gets, and where things lie in it. */
#include "test.h"

#include "base/log.h"
#include "dom0_layout.h"
#include "dom0_mem.h"

void log_at(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

/* ---- dom0_mem ---- */

static void test_understood(void **state)
{
    struct dom0_mem m;

    (void)state;
    assert_true(dom0_mem_parse("", &m) && !m.has_size && !m.has_min && !m.has_max);
    assert_true(dom0_mem_parse("1G", &m) && m.has_size && m.size == GiB(1));
    assert_true(dom0_mem_parse("512M,max:2G", &m) && m.size == MiB(512) && m.max == GiB(2));
    assert_true(dom0_mem_parse("max:2G,1024M,min:256M", &m) && m.size == GiB(1));
    assert_int_equal(m.min, MiB(256));
    assert_int_equal(m.max, GiB(2));
    assert_true(dom0_mem_parse("262144", &m) && m.size == MiB(256)); /* KiB by default */
    assert_true(dom0_mem_parse("max:512m", &m) && !m.has_size && m.max == MiB(512));
}

static void test_not_understood(void **state)
{
    static const char *const bad[] = {"abc",
                                      "1X",
                                      "-1G",
                                      ",",
                                      "1G,",
                                      ",1G",
                                      "1G,2G",
                                      "max:",
                                      "max:1G,max:2G",
                                      "min:2G,max:1G",
                                      "mid:1G",
                                      " 1G",
                                      "1 G",
                                      "99999999999999999999G",
                                      "0x",
                                      "1000000000000000000000000000000000000000000000000"};
    struct dom0_mem m;

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (dom0_mem_parse(bad[i], &m))
            fail_msg("\"%s\" was taken", bad[i]);
}

static enum dom0_mem_verdict decide(const char *text, uint64_t available_mib, uint64_t *mib,
                                    uint64_t *max_mib)
{
    uint64_t pages, max_pages, limit;
    struct dom0_mem m;
    enum dom0_mem_verdict v;

    assert_true(dom0_mem_parse(text, &m));
    v = dom0_mem_decide(&m, available_mib << 8, &pages, &max_pages, &limit);
    *mib = pages >> 8;
    *max_mib = max_pages >> 8;
    return v;
}

static void test_amounts(void **state)
{
    uint64_t mib, max;

    (void)state;
    assert_int_equal(decide("1G", 2000, &mib, &max), DOM0_MEM_GOOD);
    assert_true(mib == 1024 && max == 1024);
    assert_int_equal(decide("1G,max:4G", 2000, &mib, &max), DOM0_MEM_GOOD);
    assert_true(mib == 1024 && max == 4096);
    assert_int_equal(decide("", 1600, &mib, &max), DOM0_MEM_GOOD);
    assert_true(mib == 1500 && max == 1500);
    assert_int_equal(decide("", 16000, &mib, &max), DOM0_MEM_GOOD);
    assert_int_equal(mib, 16000 - 128);
    assert_int_equal(decide("max:512M", 16000, &mib, &max), DOM0_MEM_GOOD);
    assert_true(mib == 512 && max == 512);
    assert_int_equal(decide("256M,min:1G", 2000, &mib, &max), DOM0_MEM_GOOD);
    assert_int_equal(mib, 1024);
    assert_int_equal(decide("2000M", 2000, &mib, &max), DOM0_MEM_TOO_MUCH);
    assert_int_equal(decide("1048576G", 2000, &mib, &max), DOM0_MEM_TOO_MUCH);
    assert_int_equal(decide("1M", 2000, &mib, &max), DOM0_MEM_TOO_SMALL);
    assert_int_equal(decide("0", 2000, &mib, &max), DOM0_MEM_TOO_SMALL);
    assert_int_equal(decide("max:1M", 2000, &mib, &max), DOM0_MEM_TOO_SMALL);
    assert_int_equal(decide("", 10, &mib, &max), DOM0_MEM_TOO_SMALL);
}

/* ---- layout ---- */

static struct elf_image kernel(bool modern)
{
    return (struct elf_image){.paddr_start = MiB(16),
                              .paddr_end = MiB(74) + 123,
                              .virt_base = 0xffffffff80000000,
                              .has_init_p2m = modern,
                              .init_p2m = modern ? 1ull << 39 : 0,
                              .mod_start_pfn = modern};
}

struct part {
    uint64_t start, pages;
};

/* What the interface promises, whatever the sizes. */
static void check_layout(const struct dom0_layout *l, const struct elf_image *k)
{
    const struct part parts[] = {
        {0, DIV_ROUND_UP(k->paddr_end, PAGE_SIZE)},
        {l->initrd, l->initrd_pages},
        {l->p2m, l->p2m_pages},
        {l->p2m_tables, dom0_layout_p2m_table_pages(l)},
        {l->start_info, 1},
        {l->tables, 3 + l->l1_tables},
        {l->stack, 1},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        assert_true(parts[i].start + parts[i].pages <= l->placed_pages);
        for (unsigned j = 0; j < i; j++)
            assert_true(!parts[i].pages || !parts[j].pages ||
                        parts[i].start >= parts[j].start + parts[j].pages ||
                        parts[j].start >= parts[i].start + parts[i].pages);
    }
    assert_int_equal(l->region_pages % (MiB(4) >> PAGE_SHIFT), 0);
    assert_true(l->region_pages - (l->stack + 1) >= KiB(512) >> PAGE_SHIFT);
    assert_int_equal(l->l1_tables * 512, l->region_pages);
    assert_int_equal(l->stack, l->tables + 3 + l->l1_tables);
    assert_true(l->p2m_pages * 512 >= l->nr_pages);
    assert_true(l->placed_pages <= l->nr_pages);
    assert_int_equal(l->p2m >= l->region_pages, k->has_init_p2m);
    assert_int_equal(l->p2m_tables != 0, k->has_init_p2m);
    if (l->initrd_pages)
        assert_int_equal(l->initrd >= l->region_pages, k->mod_start_pfn);
    if (k->has_init_p2m) {
        assert_true(l->p2m_l1 * 512 >= l->p2m_pages && l->p2m_l2 * 512 >= l->p2m_l1);
        assert_int_equal(l->p2m_tables, l->p2m + l->p2m_pages);
    }
}

static void test_layouts(void **state)
{
    static const uint64_t memories[] = {MiB(256), MiB(513), GiB(1), GiB(16), GiB(300)};
    static const uint64_t disks[] = {0, 1, MiB(8), MiB(64) + 4097};

    (void)state;
    for (unsigned modern = 0; modern < 2; modern++)
        for (unsigned i = 0; i < ARRAY_SIZE(memories); i++)
            for (unsigned j = 0; j < ARRAY_SIZE(disks); j++) {
                struct elf_image k = kernel(modern);
                struct dom0_layout l;

                assert_true(dom0_layout_make(&l, &k, memories[i] >> PAGE_SHIFT, disks[j], 0));
                check_layout(&l, &k);
            }
}

/* Too little is refused with what would be needed; a little more than that (its own list grows with
 * it) will do. */
static void test_least_memory(void **state)
{
    struct elf_image k = kernel(true);
    struct dom0_layout l;
    uint64_t need;

    (void)state;
    assert_false(dom0_layout_make(&l, &k, MiB(64) >> PAGE_SHIFT, MiB(8), 0));
    need = l.placed_pages;
    assert_true(need > MiB(74 + 8) >> PAGE_SHIFT && need < MiB(74 + 8 + 8) >> PAGE_SHIFT);
    assert_false(dom0_layout_make(&l, &k, need - 1, MiB(8), 0));
    assert_true(dom0_layout_make(&l, &k, need + DIV_ROUND_UP(need, 256), MiB(8), 0));
    assert_false(dom0_layout_make(&l, &k, GiB(1) >> PAGE_SHIFT, GiB(1), 0));
    k.mod_start_pfn = false; /* mapped: at most 1 GiB with all the rest */
    assert_false(dom0_layout_make(&l, &k, GiB(8) >> PAGE_SHIFT, GiB(1), 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_understood),   cmocka_unit_test(test_not_understood),
        cmocka_unit_test(test_amounts),      cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_least_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
