/* SPDX-License-Identifier: MIT */
/*
 * Invariant 30: the hypervisor's own view of the tables is fresh.
 *
 * run: smp=2 deadline=90
 */
#include <bare/test.h>

#define WINDOW 0xffff890000000000ul

static uint64_t a, b;  /* two level 1 tables for the same addresses */
static uint64_t upper; /* the level 2 entry that names one of them */

static uint64_t slot(uint64_t table, unsigned int i)
{
    return ((uint64_t *)mm_va(table))[i] & ~(PTE_A | PTE_D | PTE_G);
}

static struct multicall_entry update(uint64_t va, uint64_t entry)
{
    return (struct multicall_entry){.op = __HYPERVISOR_update_va_mapping, .args = {va, entry, 0}};
}

static struct multicall_entry repoint(struct mmu_update *req, uint64_t table)
{
    *req = (struct mmu_update){upper, mm_entry(table, PTE_RW)};
    return (struct multicall_entry){.op = __HYPERVISOR_mmu_update,
                                    .args = {HC_ADDR(req), 1, 0, DOMID_SELF}};
}

/* Update, repoint, update: the second goes to the new table. No flush is asked for. */
static void in_one_multicall(void)
{
    uint64_t one = mm_alloc(), two = mm_alloc();
    struct mmu_update req[2];
    struct multicall_entry m[5] = {update(WINDOW, mm_entry(one, PTE_RO)), repoint(&req[0], b),
                                   update(WINDOW, mm_entry(two, PTE_RO)), repoint(&req[1], a),
                                   update(WINDOW + MM_PAGE, mm_entry(two, PTE_RO))};

    test_eq("30a", "five calls", hc_multicall(m, 5), 0);
    for (unsigned int i = 0; i < 5; i++)
        test_eq("30a", "result", (int64_t)m[i].result, 0);
    test_eq("30a", "first table", (int64_t)slot(a, 0), (int64_t)(mm_entry(one, PTE_RO) & ~PTE_A));
    test_eq("30a", "second table", (int64_t)slot(b, 0), (int64_t)(mm_entry(two, PTE_RO) & ~PTE_A));
    test_eq("30a", "first table again", (int64_t)slot(a, 1),
            (int64_t)(mm_entry(two, PTE_RO) & ~PTE_A));
    test_eq("30a", "not the second", (int64_t)slot(b, 1), 0);
    mm_set(mm_slot(a, 0), 0);
    mm_set(mm_slot(a, 1), 0);
    mm_set(mm_slot(b, 0), 0);
    mm_free(one);
    mm_free(two);
}

/* A whole branch repointed, then a trapped write through the new path. */
static void trapped_write_on_a_new_path(void)
{
    uint64_t data = mm_alloc();
    uint64_t window2 = WINDOW + (1ul << 30), value, l1;
    struct mmu_update req;

    test_eq("30b", "a table mapped at a window", mm_map(mm_root(), window2, mm_entry(a, PTE_RO)),
            0);
    test_eq("30b", "a stored entry", trap_write(window2 + 8 * 40, mm_entry(data, PTE_RO)), -1);
    mm_walk(mm_root(), window2, 2, &value);
    l1 = mm_slot(mm_pfn((value & PTE_ADDR) / MM_PAGE), mm_index(window2, 1));
    req = (struct mmu_update){l1, mm_entry(b, PTE_RO)};
    test_eq("30b", "the other table there", hc_mmu_update(&req, 1, NULL, DOMID_SELF), 0);
    hc_update_va(window2, mm_entry(b, PTE_RO), UVMF_INVLPG);
    test_eq("30b", "another stored entry", trap_write(window2 + 8 * 41, mm_entry(data, PTE_RO)),
            -1);
    test_true("30b", "each went to its table",
              slot(a, 40) && !slot(b, 40) && slot(b, 41) && !slot(a, 41));
    mm_set(mm_slot(a, 40), 0);
    mm_set(mm_slot(b, 41), 0);
    mm_set(l1, 0);
    mm_free(data);
}

/* A root switch in the middle. */
static void across_roots(void)
{
    uint64_t root = mm_new_root(), one = mm_alloc(), value, l3;
    struct mmuext_op to = {.cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = mm_mfn(root)};
    struct mmuext_op back = {.cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = mm_mfn(mm_root())};
    struct multicall_entry m[3] = {
        {.op = __HYPERVISOR_mmuext_op, .args = {HC_ADDR(&to), 1, 0, DOMID_SELF}},
        update(WINDOW, mm_entry(one, PTE_RO)),
        {.op = __HYPERVISOR_mmuext_op, .args = {HC_ADDR(&back), 1, 0, DOMID_SELF}}};
    const uint64_t far = 0x100000000000; /* its branch exists only in the new root */

    test_eq("30c", "pin", test_pin(4, root), 0);
    mm_map(root, far, mm_entry(one, PTE_RO));
    m[1] = update(far, mm_entry(one, PTE_RO | PTE_SOFT));
    test_eq("30c", "switch, update, switch back", hc_multicall(m, 3), 0);
    test_eq("30c", "the update", (int64_t)m[1].result, 0);
    mm_walk(root, far, 1, &value);
    test_true("30c", "is in the new root's tree", value & PTE_SOFT);
    test_eq("30c", "nothing there in the old one", hc_update_va(far, 0, 0), -XEN_EINVAL);
    mm_walk(root, far, 4, &l3);
    mm_set(mm_slot(root, mm_index(far, 4)), 0);
    test_eq("30c", "unpin", test_unpin(root), 0);
    mm_table_free(root);
}

/* [SMP] Another vCPU repoints the upper entry all the time. */
static volatile int stop;

static void repointer(void *arg)
{
    (void)arg;
    for (unsigned int i = 0; !stop; i++)
        mm_set(upper, mm_entry(i & 1 ? a : b, PTE_RW));
}

static void repointed_meanwhile(void)
{
    int lost = 0;

    vcpu_run(1, repointer, NULL);
    for (unsigned int i = 0; test_race(i, 20000); i++) {
        uint64_t marker = (i + 1ul) << 12; /* not present */

        if (hc_update_va(WINDOW, marker, 0))
            lost++;
        if (slot(a, 0) != marker && slot(b, 0) != marker)
            lost++;
    }
    stop = 1;
    vcpu_join(1);
    test_eq("30d", "lost or failed updates", lost, 0);
    mm_set(mm_slot(a, 0), 0);
    mm_set(mm_slot(b, 0), 0);
}

int main(void)
{
    uint64_t value;

    test_begin("freshness");
    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    upper = mm_walk(mm_root(), WINDOW, 2, &value);
    a = mm_pfn((value & PTE_ADDR) / MM_PAGE);
    b = mm_table();
    test_eq("30", "second table", test_pin(1, b), 0);
    test_eq("30", "first table", test_pin(1, a), 0);
    in_one_multicall();
    trapped_write_on_a_new_path();
    across_roots();
    repointed_meanwhile();
    test_end();
}
