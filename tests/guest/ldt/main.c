/* SPDX-License-Identifier: MIT */
/*
 * Invariant 33: the local table's limit is law.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>

#define DATA32      0x00cff3000000fffful
#define SELECTOR(n) ((n) << 3 | 7)

static long set_ldt(uint64_t address, unsigned int entries)
{
    struct mmuext_op op = {.cmd = MMUEXT_SET_LDT, .arg1.linear_addr = address};

    op.arg2.nr_ents = entries;
    return hc_mmuext(&op, 1, NULL, DOMID_SELF);
}

static void load_ds(void *arg)
{
    __asm__ volatile("mov %0, %%ds" : : "r"(*(uint32_t *)arg));
}

/* -1: loaded; else the vector of the fault. */
static int load(uint32_t selector)
{
    struct trap_fault f;
    int vector = trap_run(load_ds, &selector, &f) ? (int)f.vector : -1;
    uint32_t null = 0;
    static unsigned int said;

    if (vector >= 0 && said++ < 3)
        test_note("selector %x: vector %d error %lx address %lx", selector, vector, f.error,
                  f.address);

    load_ds(&null);
    return vector;
}

static void bad_addresses(uint64_t good)
{
    static const uint64_t bad[] = {0x0000800000000000, 0xffff7ffffffff000, 0xffff800000000000,
                                   0xffff830000000000, 0xffff87fffffff000};

    for (unsigned int i = 0; i < 5; i++)
        test_eq("33a", "address", set_ldt(bad[i], 8), -XEN_EINVAL);
    for (unsigned int off = 1; off < MM_PAGE; off = off * 2 + 1)
        test_eq("33a", "misaligned", set_ldt(good + off, 8), -XEN_EINVAL);
    test_eq("33a", "8193 entries", set_ldt(good, 8193), -XEN_EINVAL);
    test_eq("33a", "2^32-1 entries", set_ldt(good, ~0u), -XEN_EINVAL);
    /* 64 KiB that reach into the hypervisor. */
    set_ldt(0x00007ffffffff000, 8192);
    for (uint32_t n = 1; n < 8192; n += 500)
        if (load(SELECTOR(n)) < 0)
            test_eq("33a", "loaded from beyond the user half", (int64_t)n, -1);
    set_ldt(0, 0);
}

/* No table: memory near address 0 is not one. */
static void without_a_table(void)
{
    uint64_t pfn = mm_alloc();
    int loaded = 0;

    for (unsigned int i = 0; i < 512; i++)
        ((uint64_t *)mm_va(pfn))[i] = DATA32;
    mm_home(pfn, PTE_RO);
    test_eq("33b", "descriptors at address 0", mm_map(mm_root(), 0, mm_entry(pfn, PTE_RO)), 0);
    for (uint32_t n = 0; n < 8192; n += 13)
        loaded += load(SELECTOR(n)) == -1;
    test_eq("33b", "selectors of no table that loaded", loaded, 0);
    test_eq("33b", "table of no entries", set_ldt(0, 0), 0);
    for (uint32_t n = 0; n < 512; n++)
        loaded += load(SELECTOR(n)) == -1;
    test_eq("33b", "selectors of an empty table that loaded", loaded, 0);
    mm_set(mm_walk(mm_root(), 0, 1, NULL), 0);
    mm_home(pfn, PTE_RW);
    mm_free(pfn);
}

static void limit(uint64_t page)
{
    uint64_t *t = mm_va(page);

    for (unsigned int i = 0; i < 512; i++)
        t[i] = DATA32;
    mm_home(page, PTE_RO);
    test_eq("33c", "eight entries", set_ldt(HC_ADDR(t), 8), 0);
    for (uint32_t n = 0; n < 8; n++)
        if (load(SELECTOR(n)) != -1)
            test_eq("33c", "within the limit", load(SELECTOR(n)), -1);
    test_eq("33c", "the last", load(SELECTOR(7)), -1);
    test_true("33c", "one beyond", load(SELECTOR(8)) >= 0);
    test_true("33c", "far beyond", load(SELECTOR(8191)) >= 0);
    test_true("33c", "in the next page", load(SELECTOR(512)) >= 0);
    test_refused("33c", "writable while cached", mm_home(page, PTE_RW));
    test_refused("33c", "a table while cached", test_pin(1, page));
    test_audit("33c");
    test_eq("33c", "drop", set_ldt(0, 0), 0);
    test_true("33c", "nothing loads", load(SELECTOR(7)) >= 0);
    test_eq("33c", "writable at once", mm_home(page, PTE_RW), 0);
}

/* Pages that may not be promoted. */
static void bad_pages(uint64_t page)
{
    uint64_t *t = mm_va(page);

    t[3] = DATA32;
    test_eq("33d", "a writable page", set_ldt(HC_ADDR(t), 512), 0);
    test_true("33d", "is not promoted", load(SELECTOR(3)) >= 0);
    set_ldt(0, 0);
    t[5] = 0x0000e90000000067; /* a task at ring 3 */
    mm_home(page, PTE_RO);
    test_eq("33d", "a page with a task descriptor", set_ldt(HC_ADDR(t), 512), 0);
    test_true("33d", "is not promoted", load(SELECTOR(3)) >= 0);
    set_ldt(0, 0);
    test_eq("33d", "an unmapped place", set_ldt(0x300000000000, 512), 0);
    test_true("33d", "is not promoted", load(SELECTOR(3)) >= 0);
    set_ldt(0, 0);
    test_eq("33d", "the root", set_ldt(start_info->pt_base, 512), 0);
    test_true("33d", "is not promoted", load(SELECTOR(3)) >= 0);
    set_ldt(0, 0);
    mm_home(page, PTE_RW);
    t[5] = 0;
}

/* From user mode: within the limit it loads, beyond it faults. */
static void user_mode(uint64_t page)
{
    static const unsigned char code[] = {0x8e, 0xdf, 0x0f, 0x05}; /* mov %edi,%ds; syscall */
    struct user u;
    struct trap_frame start = {.rdi = SELECTOR(3)}, out;
    uint32_t null = 0;

    mm_home(page, PTE_RO);
    test_eq("33e", "table", set_ldt(HC_ADDR(mm_va(page)), 4), 0);
    user_make(&u, code, sizeof(code));
    start.rdi = SELECTOR(4);
    user_run(&u, &start, &out, NULL);
    test_true("33e", "beyond the limit", out.vector == TRAP_GP || out.vector == TRAP_NP);
    start.rdi = SELECTOR(8000);
    user_run(&u, &start, &out, NULL);
    test_true("33e", "far beyond", out.vector == TRAP_GP || out.vector == TRAP_NP);
    start.rdi = SELECTOR(3);
    user_run(&u, &start, &out, NULL);
    test_true("33e", "within it: loaded, or a fault",
              out.vector == TRAP_SYSCALL || out.vector == TRAP_GP || out.vector == TRAP_PF);
    test_note("user mode within the limit: vector %lu", (unsigned long)out.vector);
    load_ds(&null);
    set_ldt(0, 0);
    user_free(&u);
    test_eq("33e", "writable at once", mm_home(page, PTE_RW), 0);
}

int main(void)
{
    uint64_t page = mm_alloc();

    test_begin("ldt");
    bad_addresses(HC_ADDR(mm_va(page)));
    without_a_table();
    limit(page);
    memset(mm_va(page), 0, MM_PAGE);
    bad_pages(page);
    user_mode(page);
    test_end();
}
