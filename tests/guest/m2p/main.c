/* SPDX-License-Identifier: MIT */
/*
 * Invariant 26: the machine-to-physical table is hearsay.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>

static long set_m2p(uint64_t mfn, uint64_t pfn)
{
    struct mmu_update req = {mfn << 12 | MMU_MACHPHYS_UPDATE, pfn};

    return hc_mmu_update(&req, 1, NULL, DOMID_SELF);
}

static const uint64_t special[] = {~0ul,       ~0ul - 1, 1ul << 63, 0x5555555555555555,
                                   0xdeadbeef, 0,        1ul << 32, 0x8000000000000000 - 1};

/* Frames in every role carry lies; everything goes on as before. */
static void lies(const char *role, uint64_t pfn)
{
    uint64_t mfn = mm_mfn(pfn), t = mm_table();

    for (unsigned int i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        if (set_m2p(mfn, special[i]) || mm_pfn(mfn) != special[i])
            test_eq("26a", role, (int64_t)mm_pfn(mfn), (int64_t)special[i]);
        test_eq("26a", "pinning goes on", test_pin(1, t), 0);
        mm_set(mm_slot(t, 0), mm_entry(pfn, PTE_RO));
        test_audit("26a");
        test_eq("26a", "unpinning goes on", test_unpin(t), 0);
    }
    test_eq("26a", role, set_m2p(mfn, pfn), 0);
    test_eq("26a", "the truth again", (int64_t)mm_pfn(mfn), (int64_t)pfn);
    mm_table_free(t);
}

static void not_ours(void)
{
    struct test_frame f[TEST_FOREIGN_FRAMES];

    test_foreign_frames(f);
    for (unsigned int i = 0; i < TEST_FOREIGN_FRAMES; i++)
        test_refused("26b", f[i].name, set_m2p(f[i].mfn, 1));
}

/* A frame with a lying entry is given back: no use is made of the lie. */
static void given_back_with_a_lie(void)
{
    uint64_t pfn = mm_alloc(), mfn = mm_mfn(pfn);
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    xen_pfn_t list = mfn;

    set_xen_guest_handle(r.extent_start, &list);
    mm_home(pfn, 0);
    test_eq("26c", "lie", set_m2p(mfn, ~0ul - 7), 0);
    test_eq("26c", "given back", hc_memory(XENMEM_decrease_reservation, &r), 1);
    test_refused("26c", "no longer ours to lie about", set_m2p(mfn, 1));
    list = pfn;
    test_eq("26c", "a new one in its place", hc_memory(XENMEM_populate_physmap, &r), 1);
    mm_set_p2m(pfn, list);
    test_eq("26c", "its entry is the number we gave", (int64_t)mm_pfn(list), (int64_t)pfn);
    test_eq("26c", "mapped at home", mm_home(pfn, PTE_RW), 0);
    test_true("26c", "zero at first sight", string_all(mm_va(pfn), 0, MM_PAGE));
    mm_free(pfn);
}

/* Never writable, by any way we can name it. */
static void read_only(void)
{
    uint64_t va = MACH2PHYS_VIRT_START + 8 * mm_mfn(5), value, at;

    test_eq("26d", "a store", trap_write(va, 5), TRAP_PF);
    at = mm_walk(mm_root(), 0xffff890000000000, 1, NULL);
    (void)at;
    test_refused("26d", "update_va in it", hc_update_va(va, 0, UVMF_INVLPG));
    test_eq("26d", "readable", trap_read(va, &value), -1);
    test_eq("26d", "and true", (int64_t)value, 5);
}

int main(void)
{
    uint64_t data = mm_alloc(), table = mm_table();

    test_begin("m2p");
    lies("data", data);
    test_pin(1, table);
    lies("a table", table);
    test_unpin(table);
    not_ours();
    given_back_with_a_lie();
    read_only();
    test_end();
}
