/* SPDX-License-Identifier: MIT */
/*
 * Invariant 28: memory types cannot make two truths.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>

#define WINDOW 0xffff890000000000ul

static const uint64_t types[] = {
    0,       PTE_PWT,           PTE_PCD,           PTE_PCD | PTE_PWT,
    PTE_PSE, PTE_PSE | PTE_PWT, PTE_PSE | PTE_PCD, PTE_PSE | PTE_PCD | PTE_PWT};

/* A table written through each kind of mapping: what is validated is what is in memory. */
static void table_behind_a_type(void)
{
    uint64_t at = mm_walk(mm_root(), WINDOW, 1, NULL);

    for (unsigned int i = 0; i < 8; i++) {
        uint64_t t = mm_alloc(), data = mm_alloc();
        long ret = mm_set(at, mm_entry(t, PTE_RW | types[i]));

        if (ret < 0) {
            test_true("28a", "the type is refused", true);
            mm_free(t);
            mm_free(data);
            continue;
        }
        mm_home(t, PTE_RO);
        ((volatile uint64_t *)WINDOW)[3] = mm_entry(data, PTE_RO);
        test_refused("28a", "writable by this type still", test_pin(1, t));
        test_eq("28a", "mapping gone", mm_set(at, 0), 0);
        test_eq("28a", "pin", test_pin(1, t), 0);
        test_true("28a", "the validated entry is there",
                  test_same_entry(((uint64_t *)mm_va(t))[3], mm_entry(data, PTE_RO)));
        test_refused("28a", "writable with a type while a table",
                     mm_set(at, mm_entry(t, PTE_RW | types[i])));
        mm_set(at, 0);
        test_audit("28a");
        test_eq("28a", "unpin", test_unpin(t), 0);
        mm_table_free(t);
        mm_free(data);
    }
}

/* The hypervisor's frames, by any type. */
static void types_of_others(void)
{
    struct test_frame f[TEST_FOREIGN_FRAMES];
    uint64_t at = mm_walk(mm_root(), WINDOW, 1, NULL);

    test_foreign_frames(f);
    for (unsigned int k = 0; k < TEST_FOREIGN_FRAMES; k++)
        for (unsigned int i = 0; i < 8; i++)
            test_refused("28b", f[k].name, mm_set(at, f[k].mfn << 12 | PTE_RW | types[i]));
}

/* Flush requests: done, or refused; never more. */
static void cache_flushes(void)
{
    struct mmuext_op op = {.cmd = MMUEXT_FLUSH_CACHE};
    long ret = hc_mmuext(&op, 1, NULL, DOMID_SELF);

    test_true("28c", "flush the cache",
              ret == 0 || ret == -XEN_EACCES || ret == -XEN_EPERM || ret == -XEN_ENOSYS ||
                  ret == -XEN_EOPNOTSUPP);
    op.cmd = MMUEXT_FLUSH_CACHE_GLOBAL;
    ret = hc_mmuext(&op, 1, NULL, DOMID_SELF);
    test_true("28c", "flush all caches", ret <= 0);
    test_note("global cache flush: %ld", ret);
}

int main(void)
{
    test_begin("memory-types");
    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    table_behind_a_type();
    types_of_others();
    cache_flushes();
    test_end();
}
