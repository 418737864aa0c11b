/* SPDX-License-Identifier: MIT */
/*
 * Invariant 32: descriptor tables hold only harmless descriptors.
 *
 * run: smp=2 deadline=60
 */
#include <bare/test.h>

#define CODE64 0x00affb000000fffful /* ring 3, long mode */
#define DATA32 0x00cff3000000fffful /* ring 3 */
#define DPL3   (3ul << 45)

static long set_gdt(const uint64_t *pfns, unsigned int pages, unsigned int entries)
{
    uint64_t mfns[16];

    for (unsigned int i = 0; i < pages; i++)
        mfns[i] = mm_mfn(pfns[i]);
    return hypercall(__HYPERVISOR_set_gdt, HC_ADDR(mfns), entries, 0, 0, 0);
}

static long update(uint64_t maddr, uint64_t descriptor)
{
    return hypercall(__HYPERVISOR_update_descriptor, maddr, descriptor, 0, 0, 0);
}

static uint64_t page_with(unsigned int slot, uint64_t descriptor)
{
    uint64_t pfn = mm_alloc();

    ((uint64_t *)mm_va(pfn))[slot] = descriptor;
    mm_home(pfn, PTE_RO);
    return pfn;
}

static void load_ds(void *arg)
{
    __asm__ volatile("mov %0, %%ds" : : "r"(*(uint32_t *)arg));
}

static bool loadable(uint32_t selector)
{
    bool ok = !trap_run(load_ds, &selector, NULL);
    uint32_t null = 0;

    load_ds(&null);
    return ok;
}

struct evil {
    const char *name;
    uint64_t descriptor;
    bool ours; /* the peer lets it pass */
};

/* Type n of a present system descriptor at ring 3, with a base inside the hypervisor. */
#define SYSTEM(n)         (0x3000e00000000067ul | (uint64_t)(n) << 40)
#define GATE(n, selector) (0x8300e00000000000ul | (uint64_t)(n) << 40 | (uint64_t)(selector) << 16)

static const struct evil evils[] = {
    {"16-bit task", SYSTEM(1), false},
    {"local table", SYSTEM(2), false},
    {"16-bit task, busy", SYSTEM(3), false},
    {"16-bit call gate", SYSTEM(4), false},
    {"task gate", SYSTEM(5), false},
    {"16-bit interrupt gate", SYSTEM(6), false},
    {"16-bit trap gate", SYSTEM(7), false},
    {"reserved 8", SYSTEM(8), false},
    {"task", SYSTEM(9), false},
    {"reserved 10", SYSTEM(10), false},
    {"task, busy", SYSTEM(11), false},
    {"call gate to the hypervisor", GATE(12, 0xe008), false},
    {"call gate to its first entry", GATE(12, 0x8), true},
    {"reserved 13", SYSTEM(13), false},
    {"interrupt gate", SYSTEM(14), false},
    {"trap gate", SYSTEM(15), false},
    {"long and default both", CODE64 | 1ul << 54, true},
};

/* Installed in a list, at the first and the last slot; the old table stays. */
static void hostile_pages(void)
{
    uint64_t good = page_with(3, DATA32), two[2];

    test_eq("32a", "a good table", set_gdt(&good, 1, 8), 0);
    test_true("32a", "its segment loads", loadable(3 << 3 | 3));
    for (unsigned int i = 0; i < sizeof(evils) / sizeof(evils[0]); i++) {
        uint64_t bad = page_with(i & 1 ? 511 : 5, evils[i].descriptor);
        long ret = set_gdt(&bad, 1, 512);

        if (evils[i].ours)
            test_eq_ours("32a", evils[i].name, ret, -XEN_EINVAL);
        else
            test_eq("32a", evils[i].name, ret, -XEN_EINVAL);
        if (!ret)
            set_gdt(&good, 1, 8);
        two[0] = good;
        two[1] = bad;
        ret = set_gdt(two, 2, 1024);
        if (!evils[i].ours)
            test_eq("32a", "in the second page", ret, -XEN_EINVAL);
        if (!ret)
            set_gdt(&good, 1, 8);
        test_true("32a", "the old table is intact", loadable(3 << 3 | 3));
        test_eq("32a", "the page is data still", mm_home(bad, PTE_RW), 0);
        mm_free(bad);
    }
    test_eq("32a", "drop", set_gdt(&good, 0, 0), 0);
    test_true("32a", "then it does not load", !loadable(3 << 3 | 3));
    test_eq("32a", "data again", mm_home(good, PTE_RW), 0);
    mm_free(good);
}

/* Ring 0 to 2: refused, or forced to the guest's level. */
static void inner_rings(void)
{
    for (unsigned int dpl = 0; dpl < 3; dpl++) {
        static const uint64_t kinds[] = {CODE64, DATA32, 0x00cffb000000fffful};

        for (unsigned int k = 0; k < 3; k++) {
            uint64_t d = (kinds[k] & ~DPL3) | (uint64_t)dpl << 45;
            uint64_t page = page_with(4, d);
            long ret = set_gdt(&page, 1, 8);
            uint64_t now = ((uint64_t *)mm_va(page))[4];

            test_true("32b", "ring 0 to 2 refused or raised",
                      ret < 0 || (now & DPL3) == DPL3 || !(now & 1ul << 47));
            set_gdt(&page, 0, 0);
            mm_home(page, PTE_RW);
            mm_free(page);
        }
    }
}

/* Counts and the hypervisor's tail. */
static void sizes(void)
{
    uint64_t page = page_with(1, DATA32), pages[16];

    for (unsigned int i = 0; i < 16; i++)
        pages[i] = page;
    test_eq("32c", "into the reserved tail", set_gdt(pages, 15, 7169), -XEN_EINVAL);
    test_eq("32c", "8192", set_gdt(pages, 16, 8192), -XEN_EINVAL);
    test_eq("32c", "2^31", set_gdt(pages, 16, 1u << 31), -XEN_EINVAL);
    test_eq("32c", "2^32-1", set_gdt(pages, 16, ~0u), -XEN_EINVAL);
    test_eq("32c", "all that is allowed, one page 14 times", set_gdt(pages, 14, 7168), 0);
    test_true("32c", "the last page's segment", loadable((13 * 512 + 1) << 3 | 3));
    test_refused("32c", "writable while in use", mm_home(page, PTE_RW));
    test_audit("32c");
    test_eq("32c", "drop", set_gdt(pages, 0, 0), 0);
    test_eq("32c", "balanced", mm_home(page, PTE_RW), 0);
    mm_free(page);
}

/* One descriptor at a time. */
static void single(void)
{
    uint64_t page = page_with(1, DATA32), at, table = mm_table();
    struct test_frame f[TEST_FOREIGN_FRAMES];

    test_foreign_frames(f);
    test_eq("32d", "a table", set_gdt(&page, 1, 512), 0);
    at = mm_slot(page, 2);
    for (unsigned int off = 1; off < 8; off++)
        test_eq("32d", "misaligned", update(at + off, DATA32), -XEN_EINVAL);
    for (unsigned int i = 0; i < TEST_FOREIGN_FRAMES; i++)
        test_eq("32d", f[i].name, update(f[i].mfn << 12, DATA32), -XEN_EINVAL);
    test_pin(1, table);
    test_refused("32d", "into a page table", update(mm_slot(table, 0), DATA32));
    test_unpin(table);
    for (unsigned int i = 0; i < sizeof(evils) / sizeof(evils[0]); i++) {
        if (evils[i].ours)
            test_eq_ours("32d", evils[i].name, update(at, evils[i].descriptor), -XEN_EINVAL);
        else
            test_eq("32d", evils[i].name, update(at, evils[i].descriptor), -XEN_EINVAL);
    }
    update(at, 0);
    test_true("32d", "ring 0 refused or raised",
              update(at, DATA32 & ~DPL3) < 0 || (((uint64_t *)mm_va(page))[2] & DPL3) == DPL3);
    test_eq("32d", "a legal one", update(at, DATA32), 0);
    test_true("32d", "loads", loadable(2 << 3 | 3));
    test_eq("32d", "not present: anything", update(at, 0x0000090000000067), 0);
    test_true("32d", "and does not load", !loadable(2 << 3 | 3));
    test_eq("32d", "drop", set_gdt(&page, 0, 0), 0);
    mm_home(page, PTE_RW);
    mm_table_free(table);
}

/* [SMP] The same frame in two vCPUs' tables, changed while both run. */
static uint64_t shared;
static volatile int stop, errors;

static void other(void *arg)
{
    (void)arg;
    while (!stop) {
        errors += set_gdt(&shared, 1, 8) != 0;
        errors += !loadable(3 << 3 | 3);
        errors += set_gdt(&shared, 0, 0) != 0;
    }
}

static void shared_frame(void)
{
    int writable = 0;

    shared = page_with(3, DATA32);
    vcpu_run(1, other, NULL);
    for (unsigned int i = 0; test_race(i, 3000); i++) {
        errors += set_gdt(&shared, 1, 8) != 0;
        writable += mm_home(shared, PTE_RW) == 0;
        errors += update(mm_slot(shared, 4), DATA32) != 0;
        errors += set_gdt(&shared, 0, 0) != 0;
    }
    stop = 1;
    vcpu_join(1);
    test_eq("32e", "errors", errors, 0);
    test_eq("32e", "writable while installed", writable, 0);
    test_audit("32e");
    test_eq("32e", "balanced", mm_home(shared, PTE_RW), 0);
}

int main(void)
{
    test_begin("descriptors");
    hostile_pages();
    inner_rings();
    sizes();
    single();
    shared_frame();
    test_end();
}
