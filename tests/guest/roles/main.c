/* SPDX-License-Identifier: MIT */
/*
 * Invariant 12: a frame has one role at a time, whatever the route.
 *
 * A frame is made a table of each level, then a descriptor page; in that role we try to
 * get a writable mapping of it by every call there is. Then the mirror: while it is
 * writable somewhere, we try to make it a table or a descriptor page.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>

#define WINDOW 0xffff890000000000ul /* an address of our own to map things at */

static uint64_t window_l1; /* the table that maps WINDOW, itself mapped read-only */

static void window_make(void)
{
    uint64_t value;

    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    mm_walk(mm_root(), WINDOW, 2, &value);
    window_l1 = mm_pfn((value & PTE_ADDR) / MM_PAGE);
}

/* Every route to a writable mapping; *text of the first that worked, or NULL. */
static const char *writable_route(uint64_t pfn)
{
    uint64_t rw = mm_entry(pfn, PTE_RW), at = mm_slot(window_l1, mm_index(WINDOW, 1));
    uint64_t *direct = (uint64_t *)mm_va(window_l1) + mm_index(WINDOW, 1);
    struct mmu_update batch[3] = {{at, 0}, {at | MMU_PT_UPDATE_PRESERVE_AD, rw}, {at, 0}};
    struct multicall_entry m = {.op = __HYPERVISOR_update_va_mapping, .args = {WINDOW, rw, 0}};
    struct vcpu_register_vcpu_info info = {.mfn = mm_mfn(pfn)};

    if (mm_set(at, rw) >= 0)
        return "mmu_update";
    if (hc_mmu_update(batch, 3, NULL, DOMID_SELF) >= 0)
        return "mmu_update in a batch, preserving A and D";
    if (hc_update_va(WINDOW, rw, UVMF_INVLPG) >= 0)
        return "update_va_mapping";
    if (hc_multicall(&m, 1) || (long)m.result >= 0)
        return "update_va_mapping in a multicall";
    if (trap_write(HC_ADDR(direct), rw) < 0)
        return "a trapped direct write";
    if (hc_vcpu(VCPUOP_register_vcpu_info, 1, &info) >= 0)
        return "registration as vcpu_info";
    if (mm_set(at, mm_entry(pfn, PTE_RO)))
        return "read-only mapping refused"; /* a test of the test */
    if (mm_set(at, rw) >= 0)
        return "upgrade in place";
    if (trap_write(HC_ADDR(direct), rw) < 0)
        return "upgrade by a trapped write";
    if (trap_write(WINDOW, 0x1234) != TRAP_PF)
        return "a store through a read-only mapping";
    return mm_set(at, 0) ? "clearing refused" : NULL;
}

static void no_writable_mapping(const char *role, uint64_t pfn)
{
    uint64_t before[512];
    const char *way;

    memcpy(before, mm_va(pfn), MM_PAGE);
    way = writable_route(pfn);
    if (way)
        test_note("%s: %s", role, way);
    test_true("12a", role, way == NULL);
    test_true("12a", "content unchanged", !memcmp(before, mm_va(pfn), MM_PAGE));
}

static void tables_stay_read_only(void)
{
    static const char *const names[] = {"", "level 1", "level 2", "level 3", "level 4"};
    uint64_t pfn;

    for (int level = 2; level <= 4; level++) {
        pfn = mm_table();
        test_eq("12a", "pin", test_pin(level, pfn), 0);
        no_writable_mapping(names[level], pfn);
        test_eq("12a", "unpin", test_unpin(pfn), 0);
        mm_table_free(pfn);
    }
    /* A store through a read-only mapping of a level 1 table is a legal update if legal. */
    pfn = mm_table();
    test_eq("12a", "pin", test_pin(1, pfn), 0);
    test_refused("12a", "level 1: writable by update_va",
                 hc_update_va(WINDOW, mm_entry(pfn, PTE_RW), UVMF_INVLPG));
    test_refused("12a", "level 1: writable by mmu_update",
                 mm_set(mm_slot(window_l1, mm_index(WINDOW, 1)), mm_entry(pfn, PTE_RW)));
    test_eq("12a", "level 1: writable entry of itself, stored directly",
            trap_write(HC_ADDR(mm_va(pfn)), mm_entry(pfn, PTE_RW)), TRAP_PF);
    test_eq("12a", "unpin", test_unpin(pfn), 0);
    mm_table_free(pfn);
    no_writable_mapping("the loaded root", mm_root());
}

static long set_gdt(uint64_t pfn, unsigned int entries)
{
    uint64_t frames[1] = {mm_mfn(pfn)};

    return hypercall(__HYPERVISOR_set_gdt, HC_ADDR(frames), entries, 0, 0, 0);
}

static void descriptors_stay_read_only(void)
{
    uint64_t pfn = mm_table();

    test_eq("12b", "a descriptor page", set_gdt(pfn, 8), 0);
    no_writable_mapping("descriptor page", pfn);
    for (int level = 1; level <= 4; level++)
        test_refused("12b", "descriptor page pinned as a table", test_pin(level, pfn));
    test_eq("12b", "dropped", set_gdt(pfn, 0), 0);
    mm_table_free(pfn);
}

/* The mirror: writable by one mapping, by two, by the second only. */
static void writable_stays_writable(const char *what, uint64_t pfn)
{
    for (int level = 1; level <= 4; level++) {
        test_refused("12c", what, test_pin(level, pfn));
        if (level < 4)
            test_refused("12c", "hooked below a table",
                         mm_set(mm_slot(mm_root(), 300), mm_entry(pfn, PTE_RW)));
    }
    test_refused("12c", "as a descriptor page", set_gdt(pfn, 8));
    test_refused("12c", "as a root", hc_mmuext_mfn(MMUEXT_NEW_BASEPTR, mm_mfn(pfn)));
    test_refused("12c", "as a user root", hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, mm_mfn(pfn)));
}

static void mirror(void)
{
    uint64_t pfn = mm_alloc(), at = mm_slot(window_l1, mm_index(WINDOW, 1));

    writable_stays_writable("writable at home", pfn);
    test_eq("12c", "a second mapping", mm_set(at, mm_entry(pfn, PTE_RW)), 0);
    test_eq("12c", "the first one read-only", mm_home(pfn, PTE_RO), 0);
    writable_stays_writable("writable at the window", pfn);
    test_eq("12c", "the second one gone", hc_update_va(WINDOW, 0, UVMF_INVLPG), 0);
    test_eq("12c", "now it may be a table", test_pin(1, pfn), 0);
    test_eq("12c", "and back", test_unpin(pfn), 0);
    mm_table_free(pfn);
}

/* A table of one level is not a table of another. */
static void one_level(void)
{
    uint64_t pfn = mm_table();

    for (int have = 1; have <= 4; have++) {
        test_eq("12d", "pin", test_pin(have, pfn), 0);
        for (int want = 1; want <= 4; want++)
            if (want != have)
                test_refused("12d", "pin at another level", test_pin(want, pfn));
        test_refused("12d", "as descriptors", set_gdt(pfn, 8));
        if (have != 4)
            test_refused("12d", "as root", hc_mmuext_mfn(MMUEXT_NEW_BASEPTR, mm_mfn(pfn)));
        test_refused("12d", "cleared", hc_mmuext_mfn(MMUEXT_CLEAR_PAGE, mm_mfn(pfn)));
        test_eq("12d", "unpin", test_unpin(pfn), 0);
    }
    mm_table_free(pfn);
}

int main(void)
{
    test_begin("roles");
    window_make();
    tables_stay_read_only();
    descriptors_stay_read_only();
    mirror();
    one_level();
    test_end();
}
