/* SPDX-License-Identifier: MIT */
/*
 * Invariants 43 to 49, grant tables, as far as one domain can try them: it grants its pages to itself, by its own
 * number, and maps, copies and unmaps them; [SMP] the second vCPU plays the granter who changes everything meanwhile.
 *
 * run: smp=2 deadline=180
 */
#include <bare/test.h>
#include <xen/grant_table.h>

#define WINDOW  0xffff890000000000ul /* one level-1 table of our own */
#define HV_VA   0xffff820000000000ul
#define HOLE_VA 0xffff8a0000000000ul
#define REF     9u
#define SELF    0 /* our number: domain 0 */
#define BATCH   64u

static struct grant_entry_v1 *table;
static uint64_t page; /* what REF grants */

static uint64_t slot_va(unsigned int slot)
{
    return WINDOW + slot * MM_PAGE;
}

static uint64_t slot_entry(unsigned int slot)
{
    return mm_walk(mm_root(), slot_va(slot), 1, NULL);
}

static uint64_t slot_value(unsigned int slot)
{
    uint64_t value = 0;

    mm_walk(mm_root(), slot_va(slot), 1, &value);
    return value;
}

/* ---- commands ---- */

static long grant_op(unsigned int cmd, void *op, unsigned int count)
{
    return hypercall(__HYPERVISOR_grant_table_op, cmd, HC_ADDR(op), count, 0, 0);
}

static void grant(uint32_t ref, unsigned int to, uint64_t mfn, unsigned int flags)
{
    table[ref].flags = 0;
    table[ref].domid = (domid_t)to;
    table[ref].frame = (uint32_t)mfn;
    __atomic_store_n(&table[ref].flags, (uint16_t)(GTF_permit_access | flags), __ATOMIC_RELEASE);
}

static struct gnttab_map_grant_ref map(unsigned int flags, uint64_t at, unsigned int dom,
                                       uint32_t ref)
{
    struct gnttab_map_grant_ref op = {
        .host_addr = at, .flags = flags, .ref = ref, .dom = (domid_t)dom, .status = 99};

    if (grant_op(GNTTABOP_map_grant_ref, &op, 1))
        op.status = 98;
    return op;
}

static int unmap(uint32_t handle, uint64_t host, uint64_t dev)
{
    struct gnttab_unmap_grant_ref op = {
        .host_addr = host, .dev_bus_addr = dev, .handle = handle, .status = 99};

    return grant_op(GNTTABOP_unmap_grant_ref, &op, 1) ? 98 : op.status;
}

static int replace(uint32_t handle, uint64_t host, uint64_t new)
{
    struct gnttab_unmap_and_replace op = {
        .host_addr = host, .new_addr = new, .handle = handle, .status = 99};

    return grant_op(GNTTABOP_unmap_and_replace, &op, 1) ? 98 : op.status;
}

static int copy(struct gnttab_copy op)
{
    op.status = 99;
    return grant_op(GNTTABOP_copy, &op, 1) ? 98 : op.status;
}

static unsigned int used(void)
{
    return table[REF].flags & (GTF_reading | GTF_writing);
}

/* Can the granted page become a table? Not while it is mapped writable anywhere. */
static bool can_be_table(void)
{
    bool ok;

    memset(mm_va(page), 0, MM_PAGE);
    mm_home(page, PTE_RO);
    ok = test_pin(1, page) == 0;
    if (ok)
        test_unpin(page);
    mm_home(page, PTE_RW);
    return ok;
}

/* ---- the table, its size and version ---- */

static void set_up(void)
{
    struct gnttab_query_size q = {.dom = DOMID_SELF, .status = 99};
    static xen_pfn_t list[66];
    struct gnttab_setup_table s = {.dom = DOMID_SELF, .nr_frames = 1, .status = 99};

    set_xen_guest_handle(s.frame_list, list);
    test_eq("46a", "query", grant_op(GNTTABOP_query_size, &q, 1) | q.status, 0);
    test_eq("46a", "most frames", q.max_nr_frames, 64);
    memset(list, 0x55, sizeof(list));
    test_eq("46a", "setup", grant_op(GNTTABOP_setup_table, &s, 1) | s.status, 0);
    test_true("46a", "not past the array", list[1] == 0x5555555555555555ul);
    s.nr_frames = q.max_nr_frames + 1;
    s.status = 99;
    test_true("46a", "more than there may be",
              grant_op(GNTTABOP_setup_table, &s, 1) < 0 || s.status < 0);
    test_eq("46a", "two structures", grant_op(GNTTABOP_setup_table, &s, 2), -XEN_EINVAL);
    s = (struct gnttab_setup_table){.dom = 77, .nr_frames = 1, .status = 99};
    test_true("46a", "of nobody", grant_op(GNTTABOP_setup_table, &s, 1) < 0 || s.status < 0);
    if (mm_map(mm_root(), WINDOW, 0) || mm_set(slot_entry(500), list[0] << 12 | PTE_RW))
        console_panic("window");
    table = (struct grant_entry_v1 *)slot_va(500);
    bool zero = true;
    for (unsigned int i = 8 * GNTTAB_NR_RESERVED_ENTRIES; i < MM_PAGE / sizeof(*table); i++)
        zero &= !table[i].flags && !table[i].domid && !table[i].frame;
    test_true("6g", "the table comes zeroed", zero);
}

static void versions(void)
{
    struct gnttab_set_version v = {.version = 2};
    struct gnttab_get_version g = {.dom = DOMID_SELF};
    struct gnttab_transfer t = {.mfn = mm_mfn(page), .domid = SELF, .ref = REF};
    struct gnttab_get_status_frames f = {.nr_frames = 1, .dom = DOMID_SELF};
    struct gnttab_cache_flush c = {.a.ref = REF};

    test_eq_ours("47a", "version 2", grant_op(GNTTABOP_set_version, &v, 1), -XEN_ENOSYS);
    v.version = 1;
    test_eq("47a", "version 1", grant_op(GNTTABOP_set_version, &v, 1), 0);
    v.version = 3;
    test_eq("47a", "version 3", grant_op(GNTTABOP_set_version, &v, 1), -XEN_EINVAL);
    test_eq("47a", "asking", grant_op(GNTTABOP_get_version, &g, 1), 0);
    test_eq("47a", "the only one", g.version, 1);
    test_refused_ours("47b", "transfer", grant_op(GNTTABOP_transfer, &t, 1));
    test_refused_ours("47b", "status frames", grant_op(GNTTABOP_get_status_frames, &f, 1));
    test_refused_ours("47b", "cache flush", grant_op(GNTTABOP_cache_flush, &c, 1));
    test_eq("47b", "unknown", grant_op(13, &c, 1), -XEN_ENOSYS);
    test_refused("47b", "unknown, wide", grant_op(~0u, &c, 1));
    test_true("47b", "our page is still ours", mm_pfn(mm_mfn(page)) == page && can_be_table());
}

/* ---- 43 ---- */

static int end_it(const struct gnttab_map_grant_ref *op, unsigned int way)
{
    uint64_t host = op->flags & GNTMAP_host_map ? op->host_addr : 0;
    uint64_t dev = op->flags & GNTMAP_device_map ? op->dev_bus_addr : 0;

    if (way == 0 || !(host && dev))
        return unmap(op->handle, host, dev);
    if (way == 1)
        return unmap(op->handle, host, 0) | unmap(op->handle, 0, dev);
    if (way == 2)
        return unmap(op->handle, 0, dev) | unmap(op->handle, host, 0);
    return unmap(op->handle, 0, dev) | replace(op->handle, host, 0);
}

static void inverses(void)
{
    for (unsigned int i = 0; i < 3 * 2 * 2 * 4; i++) {
        unsigned int parts = 1 + i % 3;
        bool readonly = i / 3 & 1, by_entry = i / 6 & 1;
        unsigned int flags =
            parts | (readonly ? GNTMAP_readonly : 0) | (by_entry ? GNTMAP_contains_pte : 0);
        struct gnttab_map_grant_ref op =
            map(flags, by_entry ? slot_entry(8) : slot_va(8), SELF, REF);
        bool good = op.status == GNTST_okay;

        good &= op.dev_bus_addr == mm_mfn(page) * MM_PAGE;
        good &= used() == (readonly ? GTF_reading : GTF_reading | GTF_writing);
        good &= can_be_table() == readonly;
        if (good && (parts & GNTMAP_host_map)) {
            memset(mm_va(page), 0x5a, 8);
            good &= *(volatile uint64_t *)slot_va(8) == 0x5a5a5a5a5a5a5a5aul;
            good &= (trap_write(slot_va(8), 1) == -1) == !readonly;
        }
        good &= end_it(&op, i / 12) == GNTST_okay;
        good &= slot_value(8) == 0 || !(parts & GNTMAP_host_map);
        good &= trap_read(slot_va(8), &(uint64_t){0}) == TRAP_PF;
        good &= unmap(op.handle, slot_va(8), op.dev_bus_addr) == GNTST_bad_handle;
        good &= used() == 0 && can_be_table();
        if (!test_true("43a", "map and unmap", good))
            test_note("parts %u readonly %d by entry %d way %u status %d used %x", parts, readonly,
                      by_entry, i / 12, op.status, used());
    }
    test_audit("43a");
}

static void twice_in_a_batch(void)
{
    struct gnttab_map_grant_ref m = map(GNTMAP_host_map, slot_va(8), SELF, REF);
    struct gnttab_unmap_grant_ref u[2];

    for (unsigned int i = 0; i < 2; i++)
        u[i] = (struct gnttab_unmap_grant_ref){
            .host_addr = slot_va(8), .handle = m.handle, .status = 99};
    test_eq("43b", "batch", grant_op(GNTTABOP_unmap_grant_ref, u, 2), 0);
    test_eq("43b", "first", u[0].status, GNTST_okay);
    test_true("43b", "second", u[1].status < 0);
    test_true("43b", "one use ended", used() == 0 && can_be_table());

    m = map(0, slot_va(8), SELF, REF);
    test_true("43c", "neither host nor device", m.status < 0);
    grant(REF, SELF, mm_mfn(page), GTF_readonly);
    m = map(GNTMAP_host_map, slot_va(8), SELF, REF);
    test_true("43c", "writable of a read-only grant", m.status < 0);
    test_eq("43c", "nothing entered", (int64_t)slot_value(8), 0);
    grant(REF, SELF, mm_mfn(page), 0);
}

/* ---- 44 ---- */

static void entries_to_write(void)
{
    const uint64_t home = mm_walk(mm_root(), HC_ADDR(mm_va(page)), 2, NULL);
    const uint64_t pte[] = {slot_entry(8) + 1,
                            slot_entry(8) + 4,
                            home,
                            mm_mfn(page) * MM_PAGE,
                            test_hypervisor_frame() * MM_PAGE,
                            0xfec00000,
                            ~7ul,
                            0};
    const uint64_t va[] = {HOLE_VA, HV_VA, 0x0000800000000000ul, 0xffff800000000000ul};

    for (unsigned int i = 0; i < sizeof(pte) / sizeof(pte[0]); i++)
        test_true("44a", "no entry of a level-1 table of ours",
                  map(GNTMAP_host_map | GNTMAP_contains_pte, pte[i], SELF, REF).status < 0);
    for (unsigned int i = 0; i < sizeof(va) / sizeof(va[0]); i++)
        test_true("44a", "no address of ours", map(GNTMAP_host_map, va[i], SELF, REF).status < 0);
    test_true("44a", "nothing is left", used() == 0 && can_be_table());
    test_audit("44a");
}

static void entries_to_clear(void)
{
    uint64_t other = mm_alloc();
    struct gnttab_map_grant_ref m = map(GNTMAP_host_map, slot_va(8), SELF, REF);
    uint64_t mapping = slot_value(8);

    mm_set(slot_entry(9), mm_entry(other, PTE_RW));
    test_true("44b", "another frame's entry", unmap(m.handle, slot_va(9), 0) < 0);
    test_true("44b", "an empty entry", unmap(m.handle, slot_va(10), 0) < 0);
    test_true("44b", "no table", unmap(m.handle, HOLE_VA, 0) < 0);
    test_true("44b", "the hypervisor's", unmap(m.handle, HV_VA, 0) < 0);
    test_true("44b", "not canonical", unmap(m.handle, 0x0000800000000000ul, 0) < 0);
    test_true("44b", "replaced by none", replace(m.handle, slot_va(8), HOLE_VA) < 0);
    test_true("44b", "replaced by the hypervisor's", replace(m.handle, slot_va(8), HV_VA) < 0);
    test_true("44b", "the entry stays", test_same_entry(slot_value(8), mapping));
    test_eq("44b", "still in use", used(), GTF_reading | GTF_writing);
    test_true("44b", "no table meanwhile", !can_be_table());
    mm_set(slot_entry(8), mapping & ~PTE_W);
    test_true("44c", "no longer writable", unmap(m.handle, slot_va(8), 0) < 0);
    mm_set(slot_entry(8), 0);
    test_true("44c", "gone", unmap(m.handle, slot_va(8), 0) < 0);
    test_eq("44c", "in use until it is ended", used(), GTF_reading | GTF_writing);
    test_true("44c", "but nothing holds the page", can_be_table());
    test_audit("44c");
    /* The page is ours, so an entry of our own says the same. */
    mm_set(slot_entry(8), mm_entry(page, PTE_RW));
    test_eq("44c", "ended", unmap(m.handle, slot_va(8), 0), GNTST_okay);

    m = map(GNTMAP_host_map, slot_va(8), SELF, REF);
    test_eq("44d", "replaced", replace(m.handle, slot_va(8), slot_va(9)), GNTST_okay);
    test_true("44d", "by the other", test_same_entry(slot_value(8), mm_entry(other, PTE_RW)));
    test_eq("44d", "which is gone there", (int64_t)slot_value(9), 0);
    test_true("44d", "nothing is left", used() == 0 && can_be_table());
    mm_set(slot_entry(8), 0);
    test_audit("44d");
    mm_free(other);
}

/* ---- 46 ---- */

static void bad_names(void)
{
    static const uint32_t refs[] = {64u * 512, 64u * 512 + 1, 0x7fffffff, 0x80000000, 0xffffffff};
    static const uint32_t handles[] = {0, 1, 255, 256, 262143, 262144, 0x7fffffff, 0xffffffff};
    static const unsigned int ids[] = {77,        0x7fef,    DOMID_SELF,    DOMID_IO,
                                       DOMID_XEN, DOMID_COW, DOMID_INVALID, DOMID_IDLE};
    struct gnttab_swap_grant_ref s;

    for (unsigned int i = 0; i < sizeof(refs) / sizeof(refs[0]); i++) {
        test_eq("46b", "reference", map(GNTMAP_host_map, slot_va(8), SELF, refs[i]).status,
                GNTST_bad_gntref);
        s = (struct gnttab_swap_grant_ref){REF, refs[i], 99};
        test_eq("46b", "swap", grant_op(GNTTABOP_swap_grant_ref, &s, 1), 0);
        test_eq("46b", "swap", s.status, GNTST_bad_gntref);
    }
    for (unsigned int i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        test_eq("46c", "handle", unmap(handles[i], slot_va(8), 0), GNTST_bad_handle);
        test_eq("46c", "handle, replace", replace(handles[i], slot_va(8), slot_va(9)),
                GNTST_bad_handle);
    }
    for (unsigned int i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        test_eq("46d", "domain", map(GNTMAP_host_map, slot_va(8), ids[i], REF).status,
                GNTST_bad_domain);
    }
    grant(REF, 77, mm_mfn(page), 0);
    test_true("46e", "granted to another", map(GNTMAP_host_map, slot_va(8), SELF, REF).status < 0);
    grant(REF, SELF, mm_mfn(page), 0);
    test_true("46e", "nothing is left", used() == 0 && can_be_table());
}

static void bad_frames(void)
{
    struct test_frame f[TEST_FOREIGN_FRAMES];
    struct gnttab_copy c = {.source = {.u.ref = REF, .domid = SELF},
                            .dest = {.u.gmfn = mm_mfn(page), .domid = DOMID_SELF},
                            .len = 8,
                            .flags = GNTCOPY_source_gref};

    test_foreign_frames(f);
    for (unsigned int i = 0; i < TEST_FOREIGN_FRAMES; i++) {
        grant(REF, SELF, f[i].mfn, 0);
        for (unsigned int parts = 1; parts <= 3; parts++)
            test_true_ours("13h", f[i].name, map(parts, slot_va(8), SELF, REF).status < 0);
        test_true("13h", f[i].name, copy(c) < 0);
        test_eq("13h", "nothing entered", (int64_t)slot_value(8), 0);
    }
    grant(REF, SELF, mm_mfn(page), 0);
}

/* ---- 48 ---- */

static void copies(void)
{
    static const struct {
        unsigned int from, to, length;
        bool ok;
    } cases[] = {
        {0, 0, 0, true},      {0, 0, 4096, true},
        {4095, 0, 1, true},   {4096, 0, 1, false},
        {0, 4095, 2, false},  {1, 0, 4096, false},
        {0, 0, 4097, false},  {0, 0, 65535, false},
        {65535, 0, 1, false}, {65535, 65535, 65535, false},
    };
    uint64_t to = mm_alloc_run(3);
    uint8_t *bytes = mm_va(to);

    for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gnttab_copy c = {
            .source = {.u.ref = REF, .domid = SELF, .offset = (uint16_t)cases[i].from},
            .dest = {.u.gmfn = mm_mfn(to + 1),
                     .domid = DOMID_SELF,
                     .offset = (uint16_t)cases[i].to},
            .len = (uint16_t)cases[i].length,
            .flags = GNTCOPY_source_gref,
        };
        unsigned int changed = 0;

        memset(mm_va(page), 0xa5, MM_PAGE);
        memset(bytes, 0, 3 * MM_PAGE);
        test_eq("48a", "copy", copy(c), cases[i].ok ? GNTST_okay : GNTST_bad_copy_arg);
        for (unsigned int k = 0; k < 3 * MM_PAGE; k++)
            changed += bytes[k] != 0;
        test_eq("48a", "bytes changed", changed, cases[i].ok ? cases[i].length : 0);
    }
    mm_home(to, PTE_RO);
    test_pin(1, to);
#define COPY(s, d, f) copy((struct gnttab_copy){.source = s, .dest = d, .len = 8, .flags = f})
    struct gnttab_copy_ptr granted = {.u.ref = REF, .domid = SELF};
    struct gnttab_copy_ptr own = {.u.gmfn = mm_mfn(to + 1), .domid = DOMID_SELF};
    struct gnttab_copy_ptr tab = {.u.gmfn = mm_mfn(to), .domid = DOMID_SELF};
    struct gnttab_copy_ptr hv = {.u.gmfn = test_hypervisor_frame(), .domid = DOMID_SELF};
    struct gnttab_copy_ptr named = {.u.gmfn = mm_mfn(to + 1), .domid = 77};
    memset(bytes + MM_PAGE, 0x11, 8);
    test_true("48b", "to a table", COPY(own, tab, 0) < 0);
    test_true("48b", "from the hypervisor", COPY(hv, own, 0) < 0);
    test_true("48b", "to the hypervisor", COPY(own, hv, 0) < 0);
    test_true("48b", "by frame from another", COPY(named, own, 0) < 0);
    test_true("48b", "by frame to another", COPY(own, named, 0) < 0);
    test_eq("48b", "to a grant", COPY(own, granted, GNTCOPY_dest_gref), GNTST_okay);
    test_eq("48b", "to itself", COPY(granted, granted, 3), GNTST_okay);
    grant(REF, SELF, mm_mfn(to), 0);
    test_true("48b", "to a granted table", COPY(own, granted, GNTCOPY_dest_gref) < 0);
    grant(REF, SELF, mm_mfn(page), GTF_readonly);
    test_true("48b", "to a read-only grant", COPY(own, granted, GNTCOPY_dest_gref) < 0);
    test_eq("48b", "from it", COPY(granted, own, GNTCOPY_source_gref), GNTST_okay);
    table[REF].flags = GTF_permit_access | GTF_sub_page;
    test_true_ours("48c", "part of a page", COPY(granted, own, GNTCOPY_source_gref) < 0);
    table[REF].flags = GTF_transitive;
    test_true("48c", "transitive", COPY(granted, own, GNTCOPY_source_gref) < 0);
#undef COPY
    test_true("48d", "the table is as it was", *(uint64_t *)bytes == 0);
    test_unpin(to);
    mm_home(to, PTE_RW);
    grant(REF, SELF, mm_mfn(page), 0);
    test_true("48d", "nothing is left", used() == 0 && can_be_table());
    test_audit("48d");
    for (unsigned int i = 0; i < 3; i++)
        mm_free(to + i);
}

/* ---- pointers and batches: 1, 5, 7 ---- */

static void buffers(void)
{
    static const uint64_t bad[] = {HV_VA, HOLE_VA, 0x0000800000000000ul, 0x00007ffffffff000ul,
                                   ~0ul};
    struct gnttab_map_grant_ref *m = (void *)(slot_va(100) - 2 * sizeof(*m));
    uint64_t at = mm_alloc();

    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (unsigned int cmd = 0; cmd <= GNTTABOP_cache_flush; cmd++)
            test_refused("1g", "arguments", grant_op(cmd, (void *)bad[i], 1));
    }
    test_eq("4g", "count", grant_op(GNTTABOP_map_grant_ref, m, 1u << 31), -XEN_EINVAL);
    test_refused(
        "4g", "count, wide",
        hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, HV_VA, 1ul << 32, 0, 0));
    /* The third structure is not there; the first two are done. */
    mm_set(slot_entry(99), mm_entry(at, PTE_RW));
    for (unsigned int i = 0; i < 2; i++)
        m[i] = (struct gnttab_map_grant_ref){.host_addr = slot_va(8 + i),
                                             .flags = GNTMAP_host_map,
                                             .ref = REF,
                                             .dom = SELF,
                                             .status = 99};
    test_eq("7g", "the array ends", grant_op(GNTTABOP_map_grant_ref, m, 3), -XEN_EFAULT);
    test_eq("7g", "the first is done", m[0].status, 0);
    test_eq("7g", "the second is done", m[1].status, 0);
    for (unsigned int i = 0; i < 2; i++)
        test_eq("7g", "unmap", unmap(m[i].handle, slot_va(8 + i), 0), 0);
    /* A result that cannot be written leaves no mapping. */
    m[0].host_addr = slot_va(8);
    mm_set(slot_entry(99), mm_entry(at, PTE_RO));
    test_eq("2g", "a read-only result", grant_op(GNTTABOP_map_grant_ref, m, 1), -XEN_EFAULT);
    test_eq_ours("2g", "undone", (int64_t)slot_value(8), 0);
    test_true_ours("2g", "not in use", used() == 0);
    mm_set(slot_entry(99), 0);
    mm_free(at);
    test_audit("7g");
}

/* ---- 49 ---- */

static void exhaustion(void)
{
    static struct gnttab_map_grant_ref m[BATCH];
    static struct gnttab_unmap_grant_ref u[BATCH];
    uint64_t made = 0, ended = 0;
    int last = 0;

    while (!last && made < 1000000) {
        for (unsigned int i = 0; i < BATCH; i++)
            m[i] = (struct gnttab_map_grant_ref){.flags = GNTMAP_device_map | GNTMAP_readonly,
                                                 .ref = REF,
                                                 .dom = SELF,
                                                 .status = 99};
        if (grant_op(GNTTABOP_map_grant_ref, m, BATCH))
            break;
        for (unsigned int i = 0; i < BATCH && !last; i++) {
            last = m[i].status;
            made += !last;
        }
    }
    test_eq("49a", "in the end there is no space", last, GNTST_no_space);
    test_true("49a", "as many as a limit says", made > 1000 && made <= 1024 * 256);
    test_note("%lu mappings", made);
    test_audit("49a");
    for (uint64_t h = 0; h < made; h += BATCH) {
        unsigned int n = made - h < BATCH ? (unsigned int)(made - h) : BATCH;

        for (unsigned int i = 0; i < n; i++)
            u[i] = (struct gnttab_unmap_grant_ref){
                .dev_bus_addr = mm_mfn(page) * MM_PAGE, .handle = (uint32_t)(h + i), .status = 99};
        if (grant_op(GNTTABOP_unmap_grant_ref, u, n))
            break;
        for (unsigned int i = 0; i < n; i++)
            ended += u[i].status == GNTST_okay;
    }
    test_eq("49b", "all are ended", (int64_t)ended, (int64_t)made);
    test_true("49b", "nothing is left", used() == 0 && can_be_table());
}

/* ---- [SMP] ---- */

static volatile int stop;

/* A granter that changes one field after the other, and tramples on the bits. */
static void flip(void *arg)
{
    uint64_t *e = (uint64_t *)&table[REF], other = (uint64_t)arg;
    const uint64_t good = mm_mfn(page) << 32 | (uint64_t)SELF << 16 | GTF_permit_access;
    const uint64_t words[] = {good,
                              good | GTF_readonly,
                              (good & 0xffffffff) | mm_mfn(other) << 32,
                              (good & 0xffffffff) | test_hypervisor_frame() << 32,
                              good ^ 77u << 16,
                              good | GTF_sub_page,
                              good | GTF_transitive,
                              0};

    for (unsigned int i = 0; !stop; i++)
        __atomic_store_n(e, words[i % 8], __ATOMIC_RELAXED);
}

static void flipping_granter(void)
{
    uint64_t other = mm_alloc(), to = mm_alloc();
    struct gnttab_copy c = {.source = {.u.ref = REF, .domid = SELF},
                            .dest = {.u.gmfn = mm_mfn(to), .domid = DOMID_SELF},
                            .len = 8,
                            .flags = GNTCOPY_source_gref};
    unsigned int odd = 0, mapped = 0, copied = 0, refused = 0;

    memset(mm_va(page), 0x11, 8);
    memset(mm_va(other), 0x22, 8);
    stop = 0;
    vcpu_run(1, flip, (void *)other);
    for (unsigned int i = 0; test_race(i, 20000); i++) {
        unsigned int parts = 1 + i % 3;
        struct gnttab_map_grant_ref m =
            map(parts | (i & 4 ? GNTMAP_readonly : 0), slot_va(8), SELF, REF);
        uint64_t seen;

        if (m.status == GNTST_okay) {
            mapped++;
            odd += m.dev_bus_addr != mm_mfn(page) * MM_PAGE &&
                   m.dev_bus_addr != mm_mfn(other) * MM_PAGE;
            if (parts & GNTMAP_host_map)
                odd += (slot_value(8) & PTE_ADDR) != m.dev_bus_addr;
            odd += unmap(m.handle, parts & GNTMAP_host_map ? slot_va(8) : 0,
                         parts & GNTMAP_device_map ? m.dev_bus_addr : 0) != GNTST_okay;
        } else {
            refused++;
            odd += m.status > 0 || slot_value(8) != 0;
        }
        memset(mm_va(to), 0, 8);
        copied += copy(c) == GNTST_okay;
        seen = *(uint64_t *)mm_va(to);
        odd += seen && seen != 0x1111111111111111ul && seen != 0x2222222222222222ul;
    }
    stop = 1;
    vcpu_join(1);
    test_eq("45a", "every outcome is one reading of the entry", odd, 0);
    test_note("%u mapped, %u copied, %u refused", mapped, copied, refused);
    grant(REF, SELF, mm_mfn(page), 0);
    test_true("45a", "nothing is left", used() == 0 && can_be_table());
    test_audit("45a");
    mm_free(other);
    mm_free(to);
}

/* Two vCPUs end the same mapping. */
static volatile uint32_t handle_to_end;
static volatile unsigned int round_number, ended_by_other;

static void end_too(void *arg)
{
    unsigned int seen = 0;

    (void)arg;
    while (!stop) {
        if (round_number == seen)
            continue;
        seen = round_number;
        if (unmap(handle_to_end, slot_va(8), mm_mfn(page) * MM_PAGE) == GNTST_okay)
            ended_by_other++;
    }
}

static void one_handle_twice(void)
{
    unsigned int odd = 0, mine = 0, before, i;

    stop = 0;
    round_number = ended_by_other = 0;
    vcpu_run(1, end_too, NULL);
    for (i = 0; test_race(i, 20000); i++) {
        struct gnttab_map_grant_ref m =
            map(GNTMAP_host_map | GNTMAP_device_map, slot_va(8), SELF, REF);

        odd += m.status != GNTST_okay;
        handle_to_end = m.handle;
        before = mine;
        round_number++;
        for (volatile unsigned int k = 0; k < i % 64; k++)
            ;
        mine += unmap(m.handle, slot_va(8), m.dev_bus_addr) == GNTST_okay;
        /* Whoever did it: when both are through, it is done. */
        while (mine == before && mine + ended_by_other <= i)
            vcpu_yield();
        odd += mine + ended_by_other != i + 1;
    }
    stop = 1;
    vcpu_join(1);
    test_eq("43d", "each mapping is ended once", odd, 0);
    test_note("%u rounds, %u ended by the first vCPU", i, mine);
    test_true("43d", "nothing is left", used() == 0 && can_be_table());
    test_audit("43d");
}

/* A grant is mapped and unmapped while the page is made a table: never both. */
static void map_and_unmap(void *arg)
{
    (void)arg;
    while (!stop) {
        struct gnttab_map_grant_ref m = map(GNTMAP_host_map, slot_va(8), SELF, REF);

        if (m.status != GNTST_okay)
            continue;
        trap_write(slot_va(8), mm_entry(page, PTE_RW));
        trap_write(slot_va(8), 0);
        unmap(m.handle, slot_va(8), 0);
        trap_write(slot_va(8), mm_entry(page, PTE_RW));
    }
}

static void table_or_grant(void)
{
    unsigned int pinned = 0, odd = 0;

    memset(mm_va(page), 0, MM_PAGE);
    mm_home(page, PTE_RO);
    stop = 0;
    vcpu_run(1, map_and_unmap, NULL);
    for (unsigned int i = 0; test_race(i, 20000); i++) {
        if (test_pin(1, page))
            continue;
        pinned++;
        for (unsigned int k = 0; k < 20; k++)
            odd += *(volatile uint64_t *)mm_va(page) != 0;
        test_unpin(page);
    }
    stop = 1;
    vcpu_join(1);
    mm_home(page, PTE_RW);
    test_eq("12g", "a table is not written through a grant", odd, 0);
    test_note("%u times a table", pinned);
    test_audit("12g");
}

int main(void)
{
    test_begin("grants");
    page = mm_alloc();
    set_up();
    grant(REF, SELF, mm_mfn(page), 0);
    versions();
    grant(REF, SELF, mm_mfn(page), 0); /* where there are two versions, switching drops entries */
    inverses();
    twice_in_a_batch();
    entries_to_write();
    entries_to_clear();
    bad_names();
    bad_frames();
    copies();
    buffers();
    if (!test_peer()) /* which counts uses of an entry in seven bits, and numbers handles its own way */
        exhaustion();
    flipping_granter();
    one_handle_twice();
    table_or_grant();
    test_end();
}
