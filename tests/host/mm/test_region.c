/* SPDX-License-Identifier: MIT */
/* Regions: rights, references, quotas, mappings that are taken away, ends. */
#include <stdio.h>

#include "regions.h"

#define OTHER 1u
#define PAGES 7

static struct tree tree;
static struct mm_vcpu *control, *mapper, *other;
static long slot;

static int start(void **state)
{
    (void)state;
    tree = mapper_start(2);
    control = fake_v(0, 0);
    other = fake_v(OTHER, 0);
    mapper = fake_v(MAPPER, 0);
    slot = region_create(control, "bulk", PAGES);
    assert_true(slot >= 0);
    return 0;
}

static mfn_t frame_at(uint32_t page)
{
    struct gnttab_map_grant_ref op;
    mfn_t m;

    assert_int_equal(region_allow(control, slot, 0, PAL_REGION_read), 0);
    op = map_region(control, GNTMAP_device_map | GNTMAP_readonly, 0, slot, page);
    assert_int_equal(op.status, 0);
    m = mfn(op.dev_bus_addr >> PAGE_SHIFT);
    assert_int_equal(unmap_grant(control, op.handle, 0, op.dev_bus_addr), 0);
    assert_int_equal(region_allow(control, slot, 0, PAL_REGION_none), 0);
    return m;
}

static void kill(unsigned d)
{
    for (unsigned i = 0; i < FAKE_VCPUS; i++)
        mm_vcpu_teardown(fake_v(d, i));
    fake_d(d)->dying = true;
    (void)mm_domain_teardown(fake_d(d));
}

/* ---- making ---- */

static void pages_are_clean_and_counted(void **state)
{
    struct mm_region_stats s;
    uint64_t free = palloc_free_frames();

    (void)state;
    mm_region_stats(&s);
    assert_int_equal(s.regions, 1);
    assert_int_equal(s.frames, PAGES);
    assert_true(fake_free_at_start() - free >= PAGES);
    for (uint32_t page = 0; page < PAGES; page++) {
        mfn_t m = frame_at(page);

        assert_int_equal(frame_of(m)->owner, PAL_DOMID_REGION);
        for (unsigned i = 0; i < PTE_ENTRIES; i++)
            assert_int_equal(entries(m)[i], 0);
        for (uint32_t k = 0; k < page; k++)
            assert_false(mfn_eq(frame_at(k), m));
    }
}

/* Its end does not wait for a region of gigabytes. */
static void a_dying_domain_gets_none(void **state)
{
    uint64_t free = palloc_free_frames();

    (void)state;
    assert_int_equal(region_quota(control, OTHER, 2, 8), 0);
    fake_d(OTHER)->dying = true;
    assert_int_equal(region_create(other, "late", 8), -XEN_ENOMEM);
    assert_int_equal(palloc_free_frames(), free);
    fake_d(OTHER)->dying = false;
    assert_true(region_create(other, "late", 8) >= 0);
}

static void names_and_sizes(void **state)
{
    static const char *const bad[] = {"", "a/b", "a b", "x\n", "ä", "a.b"};
    char longest[PAL_REGION_NAME + 1] = {0};
    struct pal_region_info i;

    (void)state;
    for (unsigned k = 0; k < ARRAY_SIZE(bad); k++)
        assert_int_equal(region_create(control, bad[k], 1), -XEN_EINVAL);
    memset(longest, 'x', PAL_REGION_NAME);
    assert_int_equal(region_create(control, longest, 1), -XEN_EINVAL);
    longest[PAL_REGION_NAME - 1] = 0;
    assert_true(region_create(control, longest, 1) >= 0);
    assert_int_equal(region_create(control, "none", 0), -XEN_EINVAL);
    assert_int_equal(region_create(control, "much", PAL_REGION_MAX_PAGES + 1), -XEN_EINVAL);
    assert_int_equal(region_create(control, "much", ~0ull), -XEN_EINVAL);
    assert_int_equal(region_create(control, "bulk", 1), -XEN_EEXIST);
    memset(longest + 3, 'y', 8); /* behind the end of a name: stays with the caller */
    longest[2] = 0;
    struct pal_region_create *op = args_of(control);
    memcpy(op->name, longest, sizeof(op->name));
    op->pages = 1;
    assert_int_equal(
        region_info(control, mm_region_op(control, PALOP_region_create, fake_va(op)), &i), 0);
    assert_string_equal(i.name, "xx");
    for (unsigned k = 2; k < PAL_REGION_NAME; k++)
        assert_int_equal(i.name[k], 0);
    assert_int_equal(region_info(control, slot, &i), 0);
    assert_string_equal(i.name, "bulk");
    assert_int_equal(i.pages, PAGES);
    assert_int_equal(i.creator, 0);
    assert_int_equal(i.members, 0);
}

static void without_memory_nothing_is_left(void **state)
{
    struct mm_region_stats s;
    uint64_t free = palloc_free_frames(), heap = heap_bytes();

    (void)state;
    assert_int_equal(region_create(control, "much", FAKE_FRAMES), -XEN_ENOMEM);
    mm_region_stats(&s);
    assert_int_equal(s.frames, PAGES);
    assert_int_equal(palloc_free_frames(), free);
    assert_int_equal(heap_bytes(), heap);
    fake_exhaust();
    assert_int_equal(region_create(control, "little", 1), -XEN_ENOMEM);
    fake_unexhaust();
    assert_true(region_create(control, "much", 200) >= 0);
}

static void slots_run_out(void **state)
{
    char name[8];

    (void)state;
    for (unsigned i = 1; i < 200; i++) {
        snprintf(name, sizeof(name), "r%u", i);
        assert_true(region_create(control, name, 1) >= 0);
    }
    for (unsigned i = 0; i < 3 * PAL_REGION_SLOTS; i++) {
        long next = region_create(control, "again", 1);

        assert_true(next >= 0);
        assert_int_equal(region_destroy(control, next), 0);
    }
}

/* ---- rights ---- */

static void only_the_list_maps(void **state)
{
    struct gnttab_map_grant_ref op;

    (void)state;
    assert_int_equal(map_region(mapper, 2, VA(8), slot, 0).status, GNTST_permission_denied);
    assert_int_equal(region_allow(control, slot, OTHER, PAL_REGION_write), 0);
    assert_int_equal(map_region(mapper, 2, VA(8), slot, 0).status, GNTST_permission_denied);
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_read), 0);
    for (unsigned parts = 1; parts <= 3; parts++)
        assert_int_equal(map_region(mapper, parts, VA(8), slot, 0).status, GNTST_permission_denied);
    op = map_region(mapper, GNTMAP_host_map | GNTMAP_readonly, VA(8), slot, 3);
    assert_int_equal(op.status, 0);
    /* Not by its own hand either. */
    assert_true(update(mapper, tree.l[1], 8, entries(tree.l[1])[8] | PTE_RW) != 0);
    assert_true(update(mapper, tree.l[1], 9, entries(tree.l[1])[8]) != 0);
    assert_true(mfn_eq(fake_touch(mapper, VA(8), true, 1), MFN_NONE));
    assert_false(mfn_eq(fake_touch(mapper, VA(8), false, 0), MFN_NONE));
    assert_int_equal(region_mapped(slot, MAPPER), 1);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), 0);
    assert_int_equal(region_mapped(slot, MAPPER), 0);
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    op = map_region(mapper, GNTMAP_host_map, VA(8), slot, 3);
    assert_int_equal(op.status, 0);
    assert_int_equal(fake_touch(mapper, VA(8), true, 1).n, frame_at(3).n);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), 0);
    assert_true(mfn_eq(fake_touch(mapper, VA(8), false, 0), MFN_NONE)); /* nor as it was cached */
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), GNTST_bad_handle);
}

/* What can be done quickly and what cannot, in one call: each with its own answer. */
static void a_mixed_batch(void **state)
{
    struct gnttab_map_grant_ref *m = (void *)fake_buffer;
    struct gnttab_unmap_grant_ref *u = (void *)(fake_buffer + 8192);
    const unsigned n = 40;
    unsigned good = 0;

    (void)state;
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    grant_access(OTHER, 9, MAPPER, new_frame(fake_d(OTHER)), 0);
    for (unsigned i = 0; i < n; i++) {
        m[i] = (struct gnttab_map_grant_ref){.host_addr = VA(8 + i),
                                             .flags = i % 7 == 3 ? 3 : GNTMAP_host_map,
                                             .ref = PAL_REGION_REF(slot, i % (PAGES + 1)),
                                             .dom = PAL_DOMID_REGION,
                                             .status = 99};
        if (i % 10 == 5)
            m[i].dom = OTHER, m[i].ref = 9;
        if (i % 10 == 6)
            m[i].host_addr = VA(8 + i - 1); /* over the former one */
        if (i % 10 == 9)
            m[i].ref = PAL_REGION_REF(slot + 1, 0);
    }
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_map_grant_ref, fake_va(m), n), 0);
    fake_check();
    for (unsigned i = 0; i < n; i++) {
        bool of_region = m[i].dom == PAL_DOMID_REGION;
        int want = i % 10 == 9                              ? GNTST_permission_denied
                   : of_region && m[i].ref % 8 == PAGES % 8 ? GNTST_bad_gntref
                                                            : GNTST_okay;

        assert_int_equal(m[i].status, want);
        good += of_region && !want;
        u[i] =
            (struct gnttab_unmap_grant_ref){.host_addr = m[i].host_addr,
                                            .dev_bus_addr = m[i].flags & 1 ? m[i].dev_bus_addr : 0,
                                            .handle = want ? 0xfffffff : m[i].handle,
                                            .status = 99};
    }
    assert_int_equal(region_mapped(slot, MAPPER), good);
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_unmap_grant_ref, fake_va(u), n), 0);
    for (unsigned i = 0; i < n; i++) {
        bool lost = i % 10 == 5 && !m[i + 1].status; /* the next one took its place */

        assert_int_equal(u[i].status, m[i].status ? GNTST_bad_handle
                                      : lost      ? GNTST_general_error
                                                  : GNTST_okay);
    }
    assert_int_equal(region_mapped(slot, MAPPER), 0);
}

static void references_are_checked(void **state)
{
    static const uint32_t beyond[] = {PAGES, PAGES + 1, PAL_REGION_MAX_PAGES - 1};

    (void)state;
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(beyond); i++)
        assert_int_equal(map_region(mapper, 2, VA(8), slot, beyond[i]).status, GNTST_bad_gntref);
    for (unsigned s = 0; s < PAL_REGION_SLOTS; s++) {
        if (s != slot)
            assert_int_equal(map_region(mapper, 2, VA(8), s, 0).status, GNTST_permission_denied);
    }
    assert_int_equal(map_grant(mapper, 2, VA(8), PAL_DOMID_REGION, ~0u).status,
                     GNTST_permission_denied);
    assert_int_equal(map_region(mapper, 0, VA(8), slot, 0).status, GNTST_bad_gntref);
    assert_int_equal(map_region(mapper, 2, 0xffff800000000000ull, slot, 0).status,
                     GNTST_bad_virt_addr);
    assert_int_equal(
        map_region(mapper, 2 | GNTMAP_contains_pte, entry_address(&tree, 8) + 4, slot, 0).status,
        GNTST_general_error);
    assert_int_equal(
        map_region(mapper, 2 | GNTMAP_contains_pte, mfn_to_maddr(tree.l[2]).a, slot, 0).status,
        GNTST_general_error);
    assert_int_equal(region_mapped(slot, MAPPER), 0);
    /* The pages are nobody's by another way. */
    assert_true(mm_update_va_mapping(control, VA(8), pte_make(frame_at(0), PAGE_BITS), UVMF_NONE,
                                     PAL_DOMID_REGION) < 0);
    struct gnttab_copy c = {.source = {.u.ref = PAL_REGION_REF(slot, 0), .domid = PAL_DOMID_REGION},
                            .dest = {.u.gmfn = tree.page[0].n, .domid = DOMID_SELF},
                            .len = 16,
                            .flags = GNTCOPY_source_gref};
    assert_int_equal(copy_grant(mapper, c), GNTST_bad_domain);
}

static void who_may_change(void **state)
{
    struct pal_region_info i;
    long mine;

    (void)state;
    assert_int_equal(region_create(other, "mine", 1), -XEN_EPERM);
    assert_int_equal(region_quota(other, OTHER, 9, 9), -XEN_EPERM);
    assert_int_equal(region_quota(control, OTHER, 2, 4), 0);
    assert_int_equal(region_create(other, "mine", 5), -XEN_EPERM);
    mine = region_create(other, "mine", 3);
    assert_true(mine >= 0);
    assert_int_equal(region_create(other, "more", 2), -XEN_EPERM);
    assert_true(region_create(other, "bulk", 1) >= 0); /* another maker's name */
    assert_int_equal(region_quota(control, OTHER, 2, 9), 0);
    assert_int_equal(region_create(other, "third", 1), -XEN_EPERM);
    for (unsigned d = MAPPER; d <= MAPPER; d++) {
        assert_int_equal(region_allow(fake_v(d, 0), mine, d, PAL_REGION_write), -XEN_ENOENT);
        assert_int_equal(region_destroy(fake_v(d, 0), mine), -XEN_ENOENT);
        assert_int_equal(region_info(fake_v(d, 0), mine, &i), -XEN_ENOENT);
    }
    assert_int_equal(region_allow(other, slot, OTHER, PAL_REGION_write), -XEN_ENOENT);
    assert_int_equal(region_destroy(other, slot), -XEN_ENOENT);
    assert_int_equal(region_allow(other, mine, MAPPER, PAL_REGION_read), 0);
    assert_int_equal(region_allow(other, mine, DOMID_SELF, PAL_REGION_write), 0);
    assert_int_equal(region_info(mapper, 0, &i), 0);
    assert_int_equal(i.slot, mine);
    assert_int_equal(i.members, 1); /* it sees itself only */
    assert_int_equal(i.member[0].domain, MAPPER);
    assert_int_equal(region_info(other, mine, &i), 0);
    assert_int_equal(i.members, 2);
    assert_int_equal(region_destroy(control, mine), 0);
    assert_true(region_create(other, "third", 3) >= 0);
}

static void wrong_arguments(void **state)
{
    struct pal_region_info i;

    (void)state;
    assert_int_equal(region_allow(control, PAL_REGION_SLOTS, MAPPER, 1), -XEN_ENOENT);
    assert_int_equal(region_allow(control, ~0u, MAPPER, 1), -XEN_ENOENT);
    assert_int_equal(region_allow(control, (slot + 1) % PAL_REGION_SLOTS, MAPPER, 1), -XEN_ENOENT);
    assert_int_equal(region_allow(control, slot, MAPPER, 3), -XEN_EINVAL);
    assert_int_equal(region_allow(control, slot, 77, 1), -XEN_ESRCH);
    assert_int_equal(region_allow(control, slot, PAL_DOMID_REGION, 1), -XEN_ESRCH);
    assert_int_equal(region_allow(control, slot, DOMID_XEN, 1), -XEN_ESRCH);
    assert_int_equal(region_allow(control, slot, 0x10002, 1), -XEN_ESRCH);
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_none), -XEN_ESRCH);
    assert_int_equal(region_destroy(control, PAL_REGION_SLOTS), -XEN_ENOENT);
    assert_int_equal(region_info(control, PAL_REGION_SLOTS, &i), -XEN_ENOENT);
    assert_int_equal(region_info(control, slot + 1, &i), -XEN_ENOENT);
    assert_int_equal(region_quota(control, 77, 1, 1), -XEN_ESRCH);
    assert_int_equal(mm_region_op(control, PALOP_region_create, 16), -XEN_EFAULT);
    assert_int_equal(mm_region_op(control, PALOP_region_quota + 1, 16), -XEN_ENOSYS);
}

/* ---- taking away ---- */

static void what_is_taken_is_out_of_reach(void **state)
{
    struct gnttab_map_grant_ref host, both, dev, ro;
    mfn_t m = frame_at(2);

    (void)state;
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    host = map_region(mapper, GNTMAP_host_map, VA(8), slot, 2);
    both = map_region(mapper, 3 | GNTMAP_contains_pte, entry_address(&tree, 9), slot, 2);
    dev = map_region(mapper, GNTMAP_device_map, 0, slot, 2);
    ro = map_region(mapper, GNTMAP_host_map | GNTMAP_readonly, VA(10), slot, 2);
    assert_int_equal(host.status | both.status | dev.status | ro.status, 0);
    assert_int_equal(region_mapped(slot, MAPPER), 4);
    for (unsigned i = 8; i < 11; i++)
        assert_int_equal(fake_touch(fake_v(MAPPER, i & 1), VA(i), i < 10, 7).n, m.n);
    fake_check();

    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_read), 0);
    assert_int_equal(region_mapped(slot, MAPPER), 1);
    for (unsigned i = 8; i < 10; i++)
        assert_true(mfn_eq(fake_touch(fake_v(MAPPER, i & 1), VA(i), false, 0), MFN_NONE));
    assert_int_equal(fake_touch(mapper, VA(10), false, 0).n, m.n);
    assert_int_equal(role_count(frame_of(m)->role), 0);
    assert_int_equal(map_region(mapper, GNTMAP_host_map, VA(8), slot, 2).status,
                     GNTST_permission_denied);
    fake_check();

    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_none), 0);
    assert_true(mfn_eq(fake_touch(mapper, VA(10), false, 0), MFN_NONE));
    assert_int_equal(refs_at(m), 1);
    fake_check();
    /* As a stock kernel does, which would complain of anything else. */
    assert_int_equal(unmap_grant(mapper, host.handle, VA(8), 0), GNTST_okay);
    assert_int_equal(unmap_grant(mapper, both.handle, 0, both.dev_bus_addr), GNTST_okay);
    assert_int_equal(unmap_grant(mapper, both.handle, entry_address(&tree, 9), 0), GNTST_okay);
    assert_int_equal(unmap_grant(mapper, dev.handle, 0, dev.dev_bus_addr), GNTST_okay);
    assert_int_equal(replace_grant(mapper, ro.handle, VA(10), VA(1)), GNTST_general_error);
    assert_int_equal(replace_grant(mapper, ro.handle, VA(10), 0), GNTST_okay);
    assert_int_equal(unmap_grant(mapper, ro.handle, VA(10), 0), GNTST_bad_handle);
    assert_int_equal(fake_touch(mapper, VA(1), false, 0).n, tree.page[1].n);
}

/* What the guest did with the entries since does not hide them, and what is not the mapping's any more stays. */
static void entries_are_looked_at(void **state)
{
    struct gnttab_map_grant_ref op[4];

    (void)state;
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    for (unsigned i = 0; i < 4; i++) {
        op[i] = map_region(mapper, GNTMAP_host_map, VA(8 + i), slot, i);
        assert_int_equal(op[i].status, 0);
    }
    assert_int_equal(update(mapper, tree.l[1], 8, entries(tree.l[1])[8] & ~PTE_RW), 0);
    assert_int_equal(update(mapper, tree.l[1], 9, pte_make(tree.page[1], PAGE_BITS)), 0);
    assert_int_equal(update(mapper, tree.l[1], 10, entries(tree.l[1])[10] | PTE_AVAIL), 0);
    assert_int_equal(unmap_grant(mapper, op[2].handle, VA(11), 0), GNTST_bad_virt_addr);
    assert_int_equal(unmap_grant(mapper, op[0].handle, VA(8), 0), GNTST_general_error);
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_none), 0);
    for (unsigned i = 0; i < 4; i++) {
        mfn_t m = fake_touch(mapper, VA(8 + i), false, 0);

        assert_int_equal(m.n, i == 1 ? tree.page[1].n : MFN_NONE.n);
    }
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(unmap_grant(mapper, op[i].handle, VA(8 + i), 0), GNTST_okay);
    assert_int_equal(fake_touch(mapper, VA(9), false, 0).n, tree.page[1].n);
}

/* A writable mapping whose entry the guest made read-only itself goes with the right to write: nothing would find it later. */
static void made_readonly_by_the_guest(void **state)
{
    struct gnttab_map_grant_ref op;
    mfn_t m = frame_at(3);

    (void)state;
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    op = map_region(mapper, GNTMAP_host_map, VA(8), slot, 3);
    assert_int_equal(op.status, 0);
    assert_int_equal(update(mapper, tree.l[1], 8, entries(tree.l[1])[8] & ~PTE_RW), 0);
    assert_int_equal(fake_touch(mapper, VA(8), false, 0).n, m.n);
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_read), 0);
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_none), 0);
    assert_true(mfn_eq(fake_touch(mapper, VA(8), false, 0), MFN_NONE));
    assert_int_equal(refs_at(m), 1);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), GNTST_okay);
}

/* The table with the entry goes, and its frame becomes a page: nothing is written there. */
static void a_table_that_went(void **state)
{
    mfn_t table = new_frame(fake_d(MAPPER));
    struct gnttab_map_grant_ref op;

    (void)state;
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    assert_int_equal(mm_pin(fake_d(MAPPER), table, ROLE_L1), 0);
    op = map_region(mapper, 2 | GNTMAP_contains_pte, mfn_to_maddr(table).a + 40, slot, 1);
    assert_int_equal(op.status, 0);
    assert_int_equal(mm_unpin(fake_d(MAPPER), table), 0);
    assert_int_equal(refs_at(frame_at(1)), 1);
    assert_true(entries(table)[5] & PTE_P); /* what is written there is a page's content now */
    assert_int_equal(mm_hold_writable(fake_d(MAPPER), table), 0);
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_none), 0);
    assert_true(entries(table)[5] & PTE_P);
    mm_release_writable(fake_d(MAPPER), table);
    assert_int_equal(mm_pin(fake_d(MAPPER), table, ROLE_L1), -XEN_EINVAL);
    assert_int_equal(unmap_grant(mapper, op.handle, mfn_to_maddr(table).a + 40, 0), GNTST_okay);
}

/* ---- ends ---- */

static void destroyed_while_mapped(void **state)
{
    struct gnttab_map_grant_ref a, b;
    uint64_t free = palloc_free_frames();
    mfn_t m = frame_at(4), taken[FAKE_FRAMES];
    unsigned count = 0;
    bool found = false;

    (void)state;
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    a = map_region(mapper, 3, VA(8), slot, 4);
    b = map_region(mapper, 3 | GNTMAP_readonly, VA(9), slot, 5);
    assert_int_equal(a.status | b.status, 0);
    assert_int_equal(fake_touch(mapper, VA(8), true, 0x5ec4e7).n, m.n);
    assert_int_equal(region_destroy(control, slot), 0);
    assert_int_equal(region_destroy(control, slot), -XEN_ENOENT);
    assert_true(mfn_eq(fake_touch(mapper, VA(8), false, 0), MFN_NONE));
    assert_true(mfn_eq(fake_touch(mapper, VA(9), false, 0), MFN_NONE));
    assert_int_equal(frame_of(m)->owner, OWNER_FREE);
    assert_true(palloc_free_frames() >= free + PAGES - 2); /* handles stay */
    assert_int_equal(map_region(mapper, 2, VA(8), slot, 4).status, GNTST_permission_denied);
    fake_check();
    /* Nobody finds what was in it. */
    while (!found && count < ARRAY_SIZE(taken)) {
        taken[count] = palloc_hv(0, 0);
        assert_false(mfn_eq(taken[count], MFN_NONE));
        found = mfn_eq(taken[count++], m);
    }
    assert_true(found);
    assert_int_equal(entries(m)[0], 0);
    while (count)
        palloc_free_hv(taken[--count], 0);
    assert_int_equal(unmap_grant(mapper, a.handle, VA(8), a.dev_bus_addr), GNTST_okay);
    assert_int_equal(unmap_grant(mapper, b.handle, VA(9), b.dev_bus_addr), GNTST_okay);
}

static void the_dead_are_off_all_lists(void **state)
{
    struct pal_region_info i;
    long theirs;

    (void)state;
    assert_int_equal(region_quota(control, MAPPER, 2, 4), 0);
    theirs = region_create(mapper, "theirs", 2);
    assert_true(theirs >= 0);
    assert_int_equal(region_allow(mapper, theirs, OTHER, PAL_REGION_write), 0);
    assert_int_equal(region_allow(mapper, theirs, MAPPER, PAL_REGION_write), 0);
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    assert_int_equal(map_region(mapper, 3, VA(8), slot, 4).status, 0);
    assert_int_equal(map_region(mapper, 2, VA(9), theirs, 1).status, 0);
    assert_int_equal(update(mapper, tree.l[1], 9, 0), 0);
    fake_check();
    kill(MAPPER);
    assert_int_equal(mm_domain_teardown(fake_d(MAPPER)), 0);
    assert_int_equal(region_mapped(slot, MAPPER), ~0ull);
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_read), -XEN_ESRCH);
    assert_int_equal(refs_at(frame_at(4)), 1);
    assert_int_equal(region_info(other, theirs, &i), 0);
    assert_int_equal(i.creator, REGION_NOBODY);
    assert_int_equal(map_region(other, GNTMAP_device_map, 0, theirs, 0).status, 0);
    assert_int_equal(region_destroy(other, theirs), -XEN_ENOENT);
    assert_int_equal(region_destroy(control, theirs), 0);
}

static void the_list_has_an_end(void **state)
{
    (void)state;
    for (unsigned d = 0; d < FAKE_DOMAINS; d++)
        assert_int_equal(region_allow(control, slot, d, PAL_REGION_read), 0);
    for (unsigned n = 0; n < 100; n++) {
        assert_int_equal(region_allow(control, slot, n % 3, PAL_REGION_none), 0);
        assert_int_equal(region_allow(control, slot, n % 3, 1 + n % 2), 0);
    }
}

static void many_times(void **state)
{
    uint64_t heap = 0;

    (void)state;
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    for (unsigned n = 0; n < 20000; n++) {
        struct gnttab_map_grant_ref op =
            map_region(mapper, n % 3 ? 2 : 3, VA(8 + n % 5), slot, n % PAGES);

        assert_int_equal(op.status, 0);
        assert_int_equal(unmap_grant(mapper, op.handle, VA(8 + n % 5), n % 3 ? 0 : op.dev_bus_addr),
                         0);
        if (n == 10)
            heap = heap_bytes();
    }
    assert_int_equal(heap_bytes(), heap);
    assert_int_equal(region_mapped(slot, MAPPER), 0);
}

/* How many handles there may be grows with what one may map, and only so. */
static void large_regions_can_be_mapped(void **state)
{
    const unsigned pages = 200;
    struct gnttab_map_grant_ref last;
    unsigned made = 0;
    long large;

    (void)state;
    fake_d(MAPPER)->grant->max_handles = 16;
    large = region_create(control, "large", pages);
    assert_true(large >= 0);
    assert_int_equal(region_allow(control, large, MAPPER, PAL_REGION_read), 0);
    assert_int_equal(region_allow(control, large, MAPPER, PAL_REGION_write), 0);
    for (;; made++) {
        last = map_region(mapper, GNTMAP_device_map, 0, large, made % pages);
        if (last.status)
            break;
    }
    assert_int_equal(last.status, GNTST_no_space);
    assert_int_equal(made, 4 * pages + 16);
    assert_int_equal(region_destroy(control, large), 0);
    for (uint32_t h = 0; h < made; h++)
        assert_int_equal(unmap_grant(mapper, h, 0, 0), GNTST_okay);
    assert_int_equal(fake_d(MAPPER)->grant->region_handles, 0);
}

/* A region's books are audited. */
static void lies_are_noticed(void **state)
{
    struct region_member *m;
    unsigned access;
    struct frame *f = frame_of(frame_at(1));

    (void)state;
    assert_int_equal(region_allow(control, slot, MAPPER, PAL_REGION_write), 0);
    assert_int_equal(map_region(mapper, 3, VA(8), slot, 1).status, 0);
    m = region_member_get((uint32_t)slot, MAPPER, &access);
    region_member_put(m, access);
    assert_int_equal(fake_audit(), 0);
    fake_quiet = true;
    m->mappings++;
    assert_true(fake_audit() > 0);
    m->mappings--;
    m->users[1]++;
    assert_true(fake_audit() > 0);
    m->users[1]--;
    m->region->pages--;
    assert_true(fake_audit() > 0);
    m->region->pages++;
    f->refs++;
    assert_true(fake_audit() > 0);
    f->refs--;
    f->owner = MAPPER;
    assert_true(fake_audit() > 0);
    f->owner = PAL_DOMID_REGION;
    fake_quiet = false;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_are_clean_and_counted),
        TEST(a_dying_domain_gets_none),
        TEST(names_and_sizes),
        TEST(without_memory_nothing_is_left),
        TEST(slots_run_out),
        TEST(only_the_list_maps),
        TEST(a_mixed_batch),
        TEST(references_are_checked),
        TEST(who_may_change),
        TEST(wrong_arguments),
        TEST(what_is_taken_is_out_of_reach),
        TEST(entries_are_looked_at),
        TEST(made_readonly_by_the_guest),
        TEST(a_table_that_went),
        TEST(destroyed_while_mapped),
        TEST(the_dead_are_off_all_lists),
        TEST(the_list_has_an_end),
        TEST(many_times),
        TEST(large_regions_can_be_mapped),
        TEST(lies_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
