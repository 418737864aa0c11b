/* SPDX-License-Identifier: MIT */
/* Grants: map and unmap as exact inverses, entries that are not what was claimed, hostile tables, limits. */
#include "grants.h"

static struct tree tree; /* the mapper's; slots 0..3 of its level-1 table map frames of its own */
static mfn_t page;       /* the granter's */
static struct mm_vcpu *mapper;

#define FREE_SLOT 8

static int start(void **state)
{
    (void)state;
    tree = mapper_start(2);
    page = new_frame(fake_d(GRANTER));
    mapper = fake_v(MAPPER, 0);
    grant_access(GRANTER, 9, MAPPER, page, 0);
    return 0;
}

static bool can_be_table(mfn_t m)
{
    if (mm_pin(fake_d(GRANTER), m, ROLE_L1))
        return false;
    assert_int_equal(mm_unpin(fake_d(GRANTER), m), 0);
    return true;
}

/* Nothing of the grant is left: not in the books, not in the tables, not for the granter. */
static void nothing_left(void)
{
    struct mm_grant_stats s;

    mm_grant_stats(fake_d(MAPPER), &s);
    assert_int_equal(s.mappings, 0);
    assert_int_equal(in_use_bits(GRANTER, 9), 0);
    assert_int_equal(refs_at(page), 1);
    memset(env_frame(page), 0, PAGE_SIZE); /* fit to be a table */
    assert_true(can_be_table(page));
    fake_check();
}

/* ---- 43 ---- */

enum way { AT_ONCE, HOST_FIRST, DEVICE_FIRST, BY_REPLACE, WAYS };

static void end_mapping(const struct gnttab_map_grant_ref *op, enum way way, bool readonly)
{
    unsigned parts = op->flags & (GNTMAP_host_map | GNTMAP_device_map);
    uint64_t host = parts & GNTMAP_host_map ? op->host_addr : 0;
    uint64_t dev = parts & GNTMAP_device_map ? op->dev_bus_addr : 0;
    bool both = host && dev;

    assert_int_equal(in_use_bits(GRANTER, 9), readonly ? GTF_reading : GTF_reading | GTF_writing);
    assert_int_equal(can_be_table(page), readonly);
    if (way == AT_ONCE || !both) {
        assert_int_equal(unmap_grant(mapper, op->handle, host, dev), GNTST_okay);
    } else if (way == BY_REPLACE) {
        assert_int_equal(unmap_grant(mapper, op->handle, 0, dev), GNTST_okay);
        assert_int_equal(replace_grant(mapper, op->handle, host, 0), GNTST_okay);
    } else {
        bool first_host = way == HOST_FIRST;

        assert_int_equal(
            unmap_grant(mapper, op->handle, first_host ? host : 0, first_host ? 0 : dev),
            GNTST_okay);
        assert_int_equal(can_be_table(page), readonly);
        assert_int_not_equal(in_use_bits(GRANTER, 9), 0);
        /* Not the same part twice. */
        assert_int_equal(
            unmap_grant(mapper, op->handle, first_host ? host : 0, first_host ? 0 : dev),
            GNTST_bad_handle);
        assert_int_equal(
            unmap_grant(mapper, op->handle, first_host ? 0 : host, first_host ? dev : 0),
            GNTST_okay);
    }
    assert_int_equal(unmap_grant(mapper, op->handle, host, dev), GNTST_bad_handle);
    nothing_left();
}

static void map_and_unmap_are_inverses(void **state)
{
    (void)state;
    for (unsigned parts = 1; parts <= 3; parts++) {
        for (unsigned i = 0; i < WAYS * 4; i++) {
            bool readonly = i & 1, by_entry = i & 2;
            unsigned flags = parts | (readonly ? GNTMAP_readonly : 0) |
                             (by_entry ? GNTMAP_contains_pte : 0) | GNTMAP_application_map;
            struct gnttab_map_grant_ref op =
                map_grant(mapper, flags, by_entry ? entry_address(&tree, FREE_SLOT) : VA(FREE_SLOT),
                          GRANTER, 9);

            assert_int_equal(op.status, GNTST_okay);
            assert_int_equal(op.dev_bus_addr, mfn_to_maddr(page).a);
            if (parts & GNTMAP_host_map) {
                pte_t e = entries(tree.l[1])[FREE_SLOT];

                assert_int_equal(pte_mfn(e).n, page.n);
                assert_int_equal(e & (PTE_P | PTE_RW | PTE_US),
                                 PTE_P | PTE_US | (readonly ? 0 : PTE_RW));
            } else {
                assert_int_equal(entries(tree.l[1])[FREE_SLOT], 0);
            }
            end_mapping(&op, (enum way)(i / 4), readonly);
            assert_int_equal(entries(tree.l[1])[FREE_SLOT], 0);
        }
    }
}

static void a_failed_map_leaves_nothing(void **state)
{
    static const unsigned none[] = {0, GNTMAP_readonly, GNTMAP_contains_pte};
    mfn_t table = new_frame(fake_d(GRANTER));

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(none); i++)
        assert_true(map_grant(mapper, none[i], VA(FREE_SLOT), GRANTER, 9).status < 0);
    /* Writable of what is granted for reading. */
    grant_access(GRANTER, 9, MAPPER, page, GTF_readonly);
    for (unsigned parts = 1; parts <= 3; parts++)
        assert_true(map_grant(mapper, parts, VA(FREE_SLOT), GRANTER, 9).status < 0);
    assert_int_equal(map_grant(mapper, GNTMAP_host_map, VA(600), GRANTER, 9).status,
                     GNTST_general_error);
    /* No table there, with both parts. */
    grant_access(GRANTER, 9, MAPPER, page, 0);
    assert_int_equal(map_grant(mapper, 3, VA(600), GRANTER, 9).status, GNTST_bad_virt_addr);
    /* A table, writable. */
    grant_access(GRANTER, 9, MAPPER, table, 0);
    assert_int_equal(mm_pin(fake_d(GRANTER), table, ROLE_L2), 0);
    for (unsigned parts = 1; parts <= 3; parts++)
        assert_int_equal(map_grant(mapper, parts, VA(FREE_SLOT), GRANTER, 9).status,
                         GNTST_general_error);
    assert_int_equal(refs_at(table), 2);
    assert_int_equal(mm_unpin(fake_d(GRANTER), table), 0);
    /* No memory, in I/O memory, beyond it, of somebody else, of the hypervisor. */
    const uint64_t bad[] = {0,          FAKE_FRAMES - 1, FAKE_FRAMES,
                            0xffffffff, tree.page[0].n,  mm_grant_frame(fake_d(GRANTER), 0).n};
    fake_io_access[MAPPER] = fake_io_access[GRANTER] = ENV_IOMEM_FULL;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        grant_access(GRANTER, 9, MAPPER, mfn(bad[i]), 0);
        for (unsigned parts = 1; parts <= 3; parts++)
            assert_int_equal(map_grant(mapper, parts, VA(FREE_SLOT), GRANTER, 9).status,
                             GNTST_general_error);
    }
    assert_int_equal(entries(tree.l[1])[FREE_SLOT], 0);
    grant_access(GRANTER, 9, MAPPER, page, 0);
    nothing_left();
}

/* A page mapped through one grant several times: the last use counts. */
static void the_last_user_ends_the_use(void **state)
{
    struct gnttab_map_grant_ref a, b, c;

    (void)state;
    a = map_grant(mapper, GNTMAP_host_map | GNTMAP_readonly, VA(8), GRANTER, 9);
    b = map_grant(mapper, GNTMAP_host_map, VA(9), GRANTER, 9);
    c = map_grant(mapper, GNTMAP_device_map, 0, GRANTER, 9);
    assert_int_equal(a.status | b.status | c.status, 0);
    assert_int_equal(refs_at(page), 4);
    assert_int_equal(unmap_grant(mapper, b.handle, VA(9), 0), 0);
    assert_int_equal(in_use_bits(GRANTER, 9), GTF_reading | GTF_writing);
    assert_false(can_be_table(page));
    assert_int_equal(unmap_grant(mapper, c.handle, 0, c.dev_bus_addr), 0);
    assert_int_equal(in_use_bits(GRANTER, 9), GTF_reading);
    assert_true(can_be_table(page));
    assert_int_equal(unmap_grant(mapper, a.handle, VA(8), 0), 0);
    nothing_left();
}

/* No CPU reaches the page any more when the granter learns that it is free. */
static void stale_translations_are_flushed(void **state)
{
    struct gnttab_map_grant_ref op = map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9);

    (void)state;
    assert_int_equal(fake_touch(mapper, VA(8), true, 7).n, page.n);
    assert_int_equal(fake_touch(fake_v(MAPPER, 1), VA(8), false, 0).n, page.n);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), 0);
    assert_int_equal(fake_touch(mapper, VA(8), false, 0).n, MFN_NONE.n);
    assert_int_equal(fake_touch(fake_v(MAPPER, 1), VA(8), false, 0).n, MFN_NONE.n);
    nothing_left();
}

static void a_replaced_mapping_gets_the_other_entry(void **state)
{
    struct gnttab_map_grant_ref op = map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9);
    pte_t was = entries(tree.l[1])[1];

    (void)state;
    assert_int_equal(replace_grant(mapper, op.handle, VA(8), VA(1)), GNTST_okay);
    assert_int_equal(entries(tree.l[1])[8], was);
    assert_int_equal(entries(tree.l[1])[1], 0);
    assert_int_equal(replace_grant(mapper, op.handle, VA(8), VA(2)), GNTST_bad_handle);
    nothing_left();
    /* By an empty one. */
    op = map_grant(mapper, GNTMAP_host_map, VA(9), GRANTER, 9);
    assert_int_equal(replace_grant(mapper, op.handle, VA(9), VA(40)), GNTST_okay);
    assert_int_equal(entries(tree.l[1])[9], 0);
    nothing_left();
}

/* ---- 44 ---- */

static void an_entry_to_write_is_a_level_1_entry_of_the_caller(void **state)
{
    struct tree other = new_tree(fake_d(GRANTER), 1);
    const uint64_t bad[] = {
        entry_address(&tree, 8) + 1,
        entry_address(&tree, 8) + 4,
        mfn_to_maddr(tree.l[2]).a + 8 * 8,
        mfn_to_maddr(tree.l[4]).a + 8 * 8,
        mfn_to_maddr(tree.page[0]).a,
        mfn_to_maddr(other.l[1]).a + 8 * 8,
        mfn_to_maddr(page).a,
        mfn_to_maddr(mfn(FAKE_FRAMES - 1)).a,
        ~7ull,
        0,
    };
    static const uint64_t bad_va[] = {
        0x0000800000000000ull, 0xffff800000000000ull, 0xffff830000000000ull, VA(600), 1ull << 40,
    };

    (void)state;
    assert_int_equal(mm_set_root(fake_v(GRANTER, 0), other.l[4], false), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(
            map_grant(mapper, GNTMAP_host_map | GNTMAP_contains_pte, bad[i], GRANTER, 9).status,
            GNTST_general_error);
    for (unsigned i = 0; i < ARRAY_SIZE(bad_va); i++)
        assert_int_equal(map_grant(mapper, GNTMAP_host_map, bad_va[i], GRANTER, 9).status,
                         GNTST_bad_virt_addr);
    nothing_left();
}

static void unmapping_another_entry_drops_nothing(void **state)
{
    struct gnttab_map_grant_ref op = map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9);
    pte_t mapping = entries(tree.l[1])[8];

    (void)state;
    assert_int_equal(unmap_grant(mapper, op.handle, VA(1), 0), GNTST_general_error);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(50), 0), GNTST_general_error);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(600), 0), GNTST_bad_virt_addr);
    assert_int_equal(unmap_grant(mapper, op.handle, 0xffff830000000000ull, 0), GNTST_bad_virt_addr);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), op.dev_bus_addr), GNTST_bad_handle);
    assert_int_equal(replace_grant(mapper, op.handle, VA(8), 0xffff830000000000ull),
                     GNTST_bad_virt_addr);
    assert_int_equal(replace_grant(mapper, op.handle, VA(8), 0x0000800000000000ull),
                     GNTST_bad_virt_addr);
    assert_int_equal(replace_grant(mapper, op.handle, VA(8), VA(600)), GNTST_bad_virt_addr);
    assert_int_equal(replace_grant(mapper, op.handle, VA(8), VA(8)), GNTST_general_error);
    assert_int_equal(entries(tree.l[1])[8], mapping);
    assert_int_equal(refs_at(page), 2);
    /* Read-only by an ordinary update: no longer what the handle says. Writable again: not by one. */
    assert_int_equal(update(mapper, tree.l[1], 8, mapping & ~PTE_RW), 0);
    assert_true(can_be_table(page));
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), GNTST_general_error);
    assert_true(update(mapper, tree.l[1], 8, mapping) < 0);
    assert_int_equal(in_use_bits(GRANTER, 9), GTF_reading | GTF_writing);
    /* Gone. The granter keeps hearing that its page is used: who lost the entry cannot end the use. */
    assert_int_equal(update(mapper, tree.l[1], 8, 0), 0);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), GNTST_general_error);
    assert_true(update(mapper, tree.l[1], 8, mapping) < 0);
    assert_int_equal(refs_at(page), 1);
    assert_int_equal(in_use_bits(GRANTER, 9), GTF_reading | GTF_writing);
    fake_check();
}

static void replacing_by_a_grant_is_refused(void **state)
{
    struct gnttab_map_grant_ref a = map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9);
    struct gnttab_map_grant_ref b = map_grant(mapper, GNTMAP_host_map, VA(9), GRANTER, 9);

    (void)state;
    assert_int_equal(replace_grant(mapper, a.handle, VA(8), VA(9)), GNTST_general_error);
    assert_int_equal(unmap_grant(mapper, a.handle, VA(8), 0), GNTST_okay);
    assert_int_equal(unmap_grant(mapper, b.handle, VA(9), 0), GNTST_okay);
    nothing_left();
}

/* Whatever takes the entry away drops what it held. */
static void other_ends_of_an_entry_keep_the_books(void **state)
{
    mfn_t second = new_frame(fake_d(GRANTER));
    struct gnttab_map_grant_ref op;

    (void)state;
    grant_access(GRANTER, 10, MAPPER, second, 0);
    op = map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9);
    assert_int_equal(op.status, 0);
    /* Another grant over it. */
    op = map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 10);
    assert_int_equal(op.status, 0);
    assert_int_equal(refs_at(page), 1);
    assert_int_equal(refs_at(second), 2);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), GNTST_okay);
    /* Over an entry of its own. */
    op = map_grant(mapper, GNTMAP_host_map, VA(1), GRANTER, 10);
    assert_int_equal(op.status, 0);
    assert_int_equal(refs_at(tree.page[1]), 1);
    fake_check();
    /* The table goes, with the entry in it. */
    assert_int_equal(mm_set_root(fake_v(MAPPER, 1), mfn(0), true), 0);
    assert_int_equal(update(mapper, tree.l[2], 0, 0), 0);
    assert_int_equal(refs_at(second), 1);
    fake_check();
    /* And is no table again as long as it names the frame. */
    assert_true(mm_pin(fake_d(MAPPER), tree.l[1], ROLE_L1) < 0);
    assert_int_equal(refs_at(second), 1);
}

/* ---- 45 ---- */

static void a_page_in_use_is_compared_again(void **state)
{
    mfn_t second = new_frame(fake_d(GRANTER));
    struct gnttab_map_grant_ref op =
        map_grant(mapper, GNTMAP_host_map | GNTMAP_readonly, VA(8), GRANTER, 9);
    struct grant_entry_v1 *e = grant_entry(GRANTER, 9), was = *e;
    struct gnttab_copy c = {
        .source = {.u.ref = 9, .domid = GRANTER},
        .dest = {.u.gmfn = tree.page[0].n, .domid = DOMID_SELF},
        .len = 16,
        .flags = GNTCOPY_source_gref,
    };

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        static const unsigned types[] = {GTF_invalid, GTF_accept_transfer, GTF_transitive,
                                         GTF_permit_access | GTF_sub_page};

        *e = was;
        if (i < 4)
            e->flags = (uint16_t)types[i];
        else if (i == 4)
            e->frame = (uint32_t)second.n;
        else
            e->domid = 0;
        assert_true(map_grant(mapper, GNTMAP_host_map, VA(9), GRANTER, 9).status < 0);
        assert_true(map_grant(mapper, GNTMAP_device_map | GNTMAP_readonly, 0, GRANTER, 9).status <
                    0);
        assert_true(copy_grant(mapper, c) < 0);
    }
    *e = was;
    e->flags |= GTF_readonly;
    assert_true(map_grant(mapper, GNTMAP_host_map, VA(9), GRANTER, 9).status < 0);
    /* It writes over the bits itself: the end does not mind. */
    memset(e, 0xff, sizeof(*e));
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), GNTST_okay);
    assert_int_equal(e->flags, 0xffff & ~(GTF_reading | GTF_writing));
    *e = was;
    e->flags &= (uint16_t)~GTF_reading;
    nothing_left();
}

/* ---- 46, 47 ---- */

static void bad_references_handles_and_domains(void **state)
{
    static const uint32_t refs[] = {512, 513, 1023, 1024, 0x7fffffff, 0x80000000, 0xffffffff};
    static const uint32_t handles[] = {0, 1, 169, 170, 255, 256, 0x7fffffff, 0xffffffff};
    static const unsigned domains[] = {DOMID_SELF, DOMID_IO,      DOMID_XEN,
                                       DOMID_COW,  DOMID_INVALID, 77};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(handles); i++)
        assert_int_equal(unmap_grant(mapper, handles[i], VA(8), 0), GNTST_bad_handle);
    for (unsigned i = 0; i < ARRAY_SIZE(refs); i++)
        assert_int_equal(map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, refs[i]).status,
                         GNTST_bad_gntref);
    for (unsigned i = 0; i < ARRAY_SIZE(domains); i++)
        assert_int_equal(map_grant(mapper, GNTMAP_host_map, VA(8), domains[i], 9).status,
                         GNTST_bad_domain);
    for (unsigned i = 0; i < ARRAY_SIZE(handles); i++)
        assert_int_equal(unmap_grant(mapper, handles[i], VA(8), 0), GNTST_bad_handle);
    /* Another domain's handle. */
    struct gnttab_map_grant_ref op = map_grant(mapper, GNTMAP_device_map, 0, GRANTER, 9);
    assert_int_equal(unmap_grant(fake_v(GRANTER, 0), op.handle, 0, op.dev_bus_addr),
                     GNTST_bad_handle);
    assert_int_equal(unmap_grant(mapper, op.handle, 0, op.dev_bus_addr + PAGE_SIZE),
                     GNTST_bad_dev_addr);
    assert_int_equal(unmap_grant(mapper, op.handle, 0, 0), GNTST_okay); /* no part named: nothing */
    assert_int_equal(unmap_grant(mapper, op.handle, 0, op.dev_bus_addr), GNTST_okay);
    /* A domain to which it was not granted. */
    grant_access(GRANTER, 9, 0, page, 0);
    assert_int_equal(map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9).status,
                     GNTST_general_error);
    nothing_left();
}

static void a_domain_may_map_its_own_grants(void **state)
{
    struct gnttab_map_grant_ref op;

    (void)state;
    grant_access(MAPPER, 3, MAPPER, tree.page[2], 0);
    op = map_grant(mapper, GNTMAP_host_map | GNTMAP_device_map, VA(8), MAPPER, 3);
    assert_int_equal(op.status, 0);
    assert_int_equal(refs_at(tree.page[2]), 4);
    fake_check();
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), op.dev_bus_addr), 0);
    assert_int_equal(refs_at(tree.page[2]), 2);
    assert_int_equal(in_use_bits(MAPPER, 3), 0);
}

static int setup(struct mm_vcpu *v, unsigned dom, unsigned frames, xen_pfn_t *list)
{
    struct gnttab_setup_table *op = args_of(v);

    *op = (struct gnttab_setup_table){
        .dom = (domid_t)dom, .nr_frames = frames, .status = 99, .frame_list.p = list};
    assert_int_equal(mm_grant_op(v, GNTTABOP_setup_table, fake_va(op), 1), 0);
    return op->status;
}

static void tables_are_set_up_within_limits(void **state)
{
    xen_pfn_t *list = (void *)fake_buffer;
    struct gnttab_query_size *q = args_of(mapper);
    struct frame *f;

    (void)state;
    memset(list, 0x55, 64);
    assert_int_equal(setup(mapper, DOMID_SELF, 3, list), GNTST_general_error);
    assert_int_equal(setup(mapper, DOMID_SELF, 0xffffffff, list), GNTST_general_error);
    assert_int_equal(setup(mapper, DOMID_SELF, 0, list), GNTST_okay);
    assert_int_equal(list[0], 0x5555555555555555);
    assert_int_equal(setup(mapper, DOMID_SELF, 2, list), GNTST_okay);
    assert_int_equal(list[2], 0x5555555555555555);
    assert_int_equal(list[1], mm_grant_frame(fake_d(MAPPER), 1).n);
    /* Fewer than there are: no more than asked for. */
    list[1] = 1;
    assert_int_equal(setup(mapper, MAPPER, 1, list), GNTST_okay);
    assert_int_equal(list[1], 1);
    /* Its own to map, writable; not another's. */
    assert_int_equal(update(mapper, tree.l[1], 20, pte_make(mfn(list[0]), PAGE_BITS)), 0);
    f = frame_get(fake_d(GRANTER), mfn(list[0]));
    assert_null(f);
    /* Of others: only who manages them, who is told the same. */
    assert_int_equal(setup(mapper, GRANTER, 1, list), GNTST_permission_denied);
    assert_int_equal(setup(mapper, 77, 1, list), GNTST_permission_denied);
    assert_int_equal(setup(fake_v(0, 0), 77, 1, list), GNTST_bad_domain);
    assert_int_equal(setup(fake_v(0, 0), DOMID_XEN, 1, list), GNTST_bad_domain);
    assert_int_equal(setup(fake_v(0, 0), MAPPER, 2, list), GNTST_okay);
    assert_int_equal(list[0], mm_grant_frame(fake_d(MAPPER), 0).n);

    *q = (struct gnttab_query_size){.dom = DOMID_SELF, .status = 99};
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_query_size, fake_va(q), 1), 0);
    assert_int_equal(q->status, 0);
    assert_int_equal(q->nr_frames, 2);
    assert_int_equal(q->max_nr_frames, 2);
    q->dom = GRANTER;
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_query_size, fake_va(q), 1), 0);
    assert_int_equal(q->status, GNTST_permission_denied);
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_query_size, fake_va(q), 2), -XEN_EINVAL);
}

static void only_version_1(void **state)
{
    struct gnttab_set_version *s = args_of(mapper);
    struct gnttab_get_version *g = args_of(mapper);
    static const unsigned refused[] = {
        GNTTABOP_dump_table, GNTTABOP_transfer, GNTTABOP_get_status_frames, 13,
        0x7fffffff,          0xffffffff};

    (void)state;
    s->version = 2;
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_set_version, fake_va(s), 1), -XEN_ENOSYS);
    s->version = 3;
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_set_version, fake_va(s), 1), -XEN_EINVAL);
    s->version = 1;
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_set_version, fake_va(s), 1), 0);
    *g = (struct gnttab_get_version){.dom = DOMID_SELF};
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_get_version, fake_va(g), 1), 0);
    assert_int_equal(g->version, 1);
    g->dom = GRANTER;
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_get_version, fake_va(g), 1), -XEN_EPERM);
    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++)
        assert_int_equal(mm_grant_op(mapper, refused[i], fake_va(g), 1), -XEN_ENOSYS);
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_cache_flush, fake_va(g), 1), -XEN_EOPNOTSUPP);
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_map_grant_ref, fake_va(g), 1u << 31),
                     -XEN_EINVAL);
}

static int swap(unsigned a, unsigned b)
{
    struct gnttab_swap_grant_ref *op = args_of(fake_v(GRANTER, 0));

    *op = (struct gnttab_swap_grant_ref){a, b, 99};
    assert_int_equal(mm_grant_op(fake_v(GRANTER, 0), GNTTABOP_swap_grant_ref, fake_va(op), 1), 0);
    return op->status;
}

static void entries_not_in_use_can_be_swapped(void **state)
{
    struct gnttab_map_grant_ref op;

    (void)state;
    assert_int_equal(swap(9, 512), GNTST_bad_gntref);
    assert_int_equal(swap(0xffffffff, 9), GNTST_bad_gntref);
    assert_int_equal(swap(9, 9), GNTST_okay);
    assert_int_equal(swap(9, 11), GNTST_okay);
    assert_int_equal(grant_entry(GRANTER, 9)->flags, 0);
    op = map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 11);
    assert_int_equal(op.status, 0);
    assert_int_equal(swap(9, 11), GNTST_eagain);
    assert_int_equal(swap(11, 9), GNTST_eagain);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), 0);
    assert_int_equal(swap(11, 9), GNTST_okay);
    assert_int_equal(grant_entry(GRANTER, 9)->frame, page.n);
}

/* ---- 48 ---- */

static void copies_stay_inside_two_pages(void **state)
{
    static const struct {
        uint16_t from, to, length;
        int status;
    } cases[] = {
        {0, 0, 0, 0},
        {0, 0, 4096, 0},
        {4095, 0, 1, 0},
        {4096, 0, 0, 0},
        {0, 4096, 0, 0},
        {4096, 0, 1, GNTST_bad_copy_arg},
        {0, 4095, 2, GNTST_bad_copy_arg},
        {1, 0, 4096, GNTST_bad_copy_arg},
        {0, 0, 4097, GNTST_bad_copy_arg},
        {0, 0, 65535, GNTST_bad_copy_arg},
        {65535, 0, 1, GNTST_bad_copy_arg},
        {65535, 65535, 65535, GNTST_bad_copy_arg},
    };
    uint8_t *from = env_frame(page), *to = env_frame(tree.page[0]);

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct gnttab_copy c = {
            .source = {.u.ref = 9, .domid = GRANTER, .offset = cases[i].from},
            .dest = {.u.gmfn = tree.page[0].n, .domid = DOMID_SELF, .offset = cases[i].to},
            .len = cases[i].length,
            .flags = GNTCOPY_source_gref,
        };

        memset(from, 0xa0 + (int)i, PAGE_SIZE);
        memset(to, 0, PAGE_SIZE);
        assert_int_equal(copy_grant(mapper, c), cases[i].status);
        for (unsigned k = 0; k < PAGE_SIZE; k++) {
            bool copied =
                cases[i].status == 0 && k >= cases[i].to && k - cases[i].to < cases[i].length;

            assert_int_equal(to[k], copied ? 0xa0 + i : 0);
        }
        nothing_left();
    }
    assert_int_equal(((uint8_t *)env_frame(tree.page[1]))[0], 0);
}

static void copies_need_both_pages(void **state)
{
    const struct gnttab_copy_ptr granted = {.u.ref = 9, .domid = GRANTER};
    const struct gnttab_copy_ptr own = {.u.gmfn = tree.page[0].n, .domid = DOMID_SELF};
    const struct gnttab_copy_ptr theirs = {.u.gmfn = page.n, .domid = GRANTER};
    const struct gnttab_copy_ptr stolen = {.u.gmfn = page.n, .domid = DOMID_SELF};
    const struct gnttab_copy_ptr table = {.u.gmfn = tree.l[1].n, .domid = DOMID_SELF};
    const struct gnttab_copy_ptr far = {.u.gmfn = 1ull << 40, .domid = DOMID_SELF};

    (void)state;
#define COPY(s, d, f)                                                                              \
    copy_grant(mapper, (struct gnttab_copy){.source = s, .dest = d, .len = 8, .flags = f})
    assert_int_equal(COPY(theirs, own, 0), GNTST_permission_denied);
    assert_int_equal(COPY(own, theirs, 0), GNTST_permission_denied);
    assert_int_equal(COPY(stolen, own, 0), GNTST_bad_page);
    assert_int_equal(COPY(own, stolen, 0), GNTST_bad_page);
    assert_int_equal(COPY(far, own, 0), GNTST_bad_page);
    assert_int_equal(COPY(own, table, 0), GNTST_bad_page);
    assert_int_equal(COPY(granted, table, GNTCOPY_source_gref), GNTST_bad_page);
    assert_int_equal(COPY(table, own, 0), GNTST_okay); /* it may read them anyway */
    assert_int_equal(COPY(own, own, 0), GNTST_okay);
    assert_int_equal(COPY(own, granted, 4), GNTST_general_error);
    assert_int_equal(COPY(own, granted, GNTCOPY_dest_gref), GNTST_okay);
    assert_int_equal(COPY(granted, granted, GNTCOPY_source_gref | GNTCOPY_dest_gref), GNTST_okay);
    grant_access(GRANTER, 9, MAPPER, page, GTF_readonly);
    assert_int_equal(COPY(own, granted, GNTCOPY_dest_gref), GNTST_general_error);
    assert_int_equal(COPY(granted, own, GNTCOPY_source_gref), GNTST_okay);
    grant_access(GRANTER, 9, 0, page, 0);
    assert_int_equal(COPY(granted, own, GNTCOPY_source_gref), GNTST_general_error);
#undef COPY
    grant_access(GRANTER, 9, MAPPER, page, 0);
    nothing_left();
    /* The granter made it a table. */
    assert_int_equal(mm_pin(fake_d(GRANTER), page, ROLE_L1), 0);
    struct gnttab_copy c = {.source = own, .dest = granted, .len = 8, .flags = GNTCOPY_dest_gref};
    assert_int_equal(copy_grant(mapper, c), GNTST_bad_page);
    assert_int_equal(mm_unpin(fake_d(GRANTER), page), 0);
    nothing_left();
}

/* A page that several copies name one after the other is held once; another kind of name, or another page, is another. */
static void copies_that_go_on_in_a_page(void **state)
{
    const struct gnttab_copy_ptr granted = {.u.ref = 9, .domid = GRANTER};
    const struct gnttab_copy_ptr mine = {.u.ref = 9, .domid = DOMID_SELF};
    const struct gnttab_copy_ptr number = {.u.gmfn = 9, .domid = GRANTER};
    const struct gnttab_copy_ptr own[2] = {
        {.u.gmfn = tree.page[0].n, .domid = DOMID_SELF},
        {.u.gmfn = tree.page[1].n, .domid = DOMID_SELF},
    };
    const struct {
        struct gnttab_copy_ptr source, dest;
        unsigned flags;
        int status;
    } steps[] = {
        {granted, own[0], GNTCOPY_source_gref, GNTST_okay},
        {granted, own[0], GNTCOPY_source_gref, GNTST_okay},
        {granted, own[1], GNTCOPY_source_gref, GNTST_okay},
        {mine, own[1], GNTCOPY_source_gref, GNTST_general_error}, /* ours grants nothing */
        {granted, own[1], GNTCOPY_source_gref, GNTST_okay},
        {number, own[1], 0, GNTST_permission_denied},
        {own[0], granted, GNTCOPY_dest_gref, GNTST_okay},
        {own[1], granted, GNTCOPY_dest_gref, GNTST_okay},
        {own[1], granted, 0, GNTST_permission_denied},
        {own[1], own[1], 4, GNTST_general_error},
        {own[1], own[0], 0, GNTST_okay},
    };
    const unsigned n = ARRAY_SIZE(steps);
    struct gnttab_copy *c = (void *)fake_buffer;
    uint8_t *theirs = env_frame(page);

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        c[i] = (struct gnttab_copy){.source = steps[i].source,
                                    .dest = steps[i].dest,
                                    .len = 1,
                                    .flags = (uint16_t)steps[i].flags,
                                    .status = 99};
        c[i].source.offset = c[i].dest.offset = (uint16_t)i;
        theirs[i] = (uint8_t)(0xa0 + i);
        ((uint8_t *)env_frame(tree.page[0]))[i] = (uint8_t)(0xb0 + i);
        ((uint8_t *)env_frame(tree.page[1]))[i] = (uint8_t)(0xc0 + i);
    }
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_copy, fake_va(c), n), 0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(c[i].status, steps[i].status);
    for (unsigned i = 0; i < n; i++) {
        bool to_first = i == 0 || i == 1, to_second = i == 2 || i == 4;

        assert_int_equal(theirs[i], i == 6 ? 0xb0 + i : i == 7 ? 0xc0 + i : 0xa0 + i);
        assert_int_equal(((uint8_t *)env_frame(tree.page[0]))[i], to_first  ? 0xa0 + i
                                                                  : i == 10 ? 0xc0 + i
                                                                            : 0xb0 + i);
        assert_int_equal(((uint8_t *)env_frame(tree.page[1]))[i], to_second ? 0xa0 + i : 0xc0 + i);
    }
    nothing_left();
}

/* ---- batches ---- */

static void each_entry_of_a_batch_has_its_status(void **state)
{
    const unsigned n = 40;
    struct gnttab_map_grant_ref *m = (void *)fake_buffer;
    struct gnttab_unmap_grant_ref *u = (void *)(fake_buffer + 8192);
    unsigned preemptions, flushes;

    (void)state;
    for (unsigned i = 0; i < n; i++)
        m[i] = (struct gnttab_map_grant_ref){.host_addr = VA(FREE_SLOT + i),
                                             .flags = GNTMAP_host_map,
                                             .ref = i % 5 == 4 ? 10 : 9,
                                             .dom = GRANTER,
                                             .status = 99};
    preemptions = fake_preemptions;
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_map_grant_ref, fake_va(m), n), 0);
    assert_true(fake_preemptions - preemptions >= (n - 1) / 16);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(m[i].status, i % 5 == 4 ? GNTST_general_error : GNTST_okay);
        u[i] = (struct gnttab_unmap_grant_ref){.host_addr = VA(FREE_SLOT + i),
                                               .handle = m[i % 7 == 6 ? i - 1 : i].handle,
                                               .status = 99};
        if (m[i].status)
            u[i].handle = 0xfffffff;
    }
    flushes = fake_guest_flushes;
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_unmap_grant_ref, fake_va(u), n), 0);
    assert_int_equal(fake_guest_flushes - flushes, DIV_ROUND_UP(n, 16));
    for (unsigned i = 0; i < n; i++) {
        bool wrong = i % 5 == 4 || i % 7 == 6;

        assert_int_equal(u[i].status, wrong ? GNTST_bad_handle : GNTST_okay);
        if (i % 7 == 6 && i % 5 != 4)
            assert_int_equal(unmap_grant(mapper, m[i].handle, VA(FREE_SLOT + i), 0), GNTST_okay);
    }
    nothing_left();
}

static void batches_stop_where_memory_ends(void **state)
{
    struct gnttab_map_grant_ref *m = (void *)fake_buffer;
    struct gnttab_unmap_grant_ref *u = (void *)fake_buffer;
    uint32_t handle[2];

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        m[i] = (struct gnttab_map_grant_ref){
            .host_addr = VA(FREE_SLOT + i), .flags = GNTMAP_host_map, .ref = 9, .dom = GRANTER};
    fake_buffer_end = 2 * sizeof(*m) + 4;
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_map_grant_ref, fake_va(m), 3), -XEN_EFAULT);
    assert_int_equal(m[0].status | m[1].status, 0);
    assert_int_equal(refs_at(page), 3);
    handle[0] = m[0].handle;
    handle[1] = m[1].handle;
    for (unsigned i = 0; i < 2; i++)
        u[i] = (struct gnttab_unmap_grant_ref){
            .host_addr = VA(FREE_SLOT + i), .handle = handle[i], .status = 99};
    fake_buffer_end = 2 * sizeof(*u) + 4;
    assert_int_equal(mm_grant_op(mapper, GNTTABOP_unmap_grant_ref, fake_va(u), 3), -XEN_EFAULT);
    assert_int_equal(u[0].status | u[1].status, 0);
    fake_buffer_end = FAKE_BUFFER;
    nothing_left();
}

/* ---- 49 ---- */

static void handles_run_out_for_their_owner_only(void **state)
{
    unsigned n = 0;
    struct gnttab_map_grant_ref op;

    (void)state;
    for (;; n++) {
        op = map_grant(mapper, GNTMAP_device_map | GNTMAP_readonly, 0, GRANTER, 9);
        if (op.status)
            break;
        assert_int_equal(op.handle, n);
    }
    assert_int_equal(op.status, GNTST_no_space);
    assert_int_equal(n, 256);
    assert_int_equal(refs_at(page), 257);
    fake_check();
    /* Others still map; so does it after it gave one up. */
    grant_access(GRANTER, 10, 0, page, 0);
    op = map_grant(fake_v(0, 0), GNTMAP_device_map, 0, GRANTER, 10);
    assert_int_equal(op.status, 0);
    assert_int_equal(unmap_grant(fake_v(0, 0), op.handle, 0, op.dev_bus_addr), 0);
    assert_int_equal(unmap_grant(mapper, 77, 0, op.dev_bus_addr), 0);
    op = map_grant(mapper, GNTMAP_device_map | GNTMAP_readonly, 0, GRANTER, 9);
    assert_int_equal(op.status, 0);
    assert_int_equal(op.handle, 77);
    for (uint32_t h = 0; h < n; h++)
        assert_int_equal(unmap_grant(mapper, h, 0, op.dev_bus_addr), 0);
    nothing_left();
}

static void no_memory_is_no_space(void **state)
{
    xen_pfn_t *list = (void *)fake_buffer;

    (void)state;
    fake_exhaust();
    assert_int_equal(map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9).status, GNTST_no_space);
    assert_int_equal(setup(mapper, DOMID_SELF, 2, list), GNTST_no_space);
    fake_unexhaust();
    assert_int_equal(setup(mapper, DOMID_SELF, 2, list), GNTST_okay);
    nothing_left();
}

static void without_a_table_nothing_is_granted(void **state)
{
    xen_pfn_t *list = (void *)fake_buffer;

    (void)state;
    fake_reset(60);
    mapper = fake_v(MAPPER, 0);
    assert_int_equal(map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9).status,
                     GNTST_bad_domain);
    assert_int_equal(unmap_grant(mapper, 0, VA(8), 0), GNTST_bad_handle);
    assert_int_equal(setup(mapper, DOMID_SELF, 1, list), GNTST_bad_domain);
    assert_int_equal(mm_grant_preset(fake_d(MAPPER), 0, 0, mfn(5)), -XEN_EINVAL);
    struct gnttab_copy c = {.source = {.u.ref = 9, .domid = DOMID_SELF},
                            .flags = GNTCOPY_source_gref};
    assert_int_equal(copy_grant(mapper, c), GNTST_bad_domain);
}

/* ---- death ---- */

static void kill(unsigned d)
{
    for (unsigned i = 0; i < FAKE_VCPUS; i++)
        mm_vcpu_teardown(fake_v(d, i));
    fake_d(d)->dying = true;
    (void)mm_domain_teardown(fake_d(d));
}

static void a_dead_mapper_lets_go(void **state)
{
    (void)state;
    assert_int_equal(map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9).status, 0);
    assert_int_equal(map_grant(mapper, 3, VA(9), GRANTER, 9).status, 0);
    assert_int_equal(map_grant(mapper, 3 | GNTMAP_readonly, VA(10), GRANTER, 9).status, 0);
    assert_int_equal(update(mapper, tree.l[1], 9, 0), 0); /* lost: only death ends it */
    grant_access(MAPPER, 3, MAPPER, tree.page[2], 0);     /* its own */
    assert_int_equal(map_grant(mapper, 3, VA(11), MAPPER, 3).status, 0);
    fake_check();
    kill(MAPPER);
    assert_int_equal(mm_domain_teardown(fake_d(MAPPER)), 0);
    nothing_left();
}

static void a_dead_granters_page_lives_as_long_as_it_is_mapped(void **state)
{
    struct gnttab_map_grant_ref a = map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9);
    struct gnttab_map_grant_ref b = map_grant(mapper, GNTMAP_device_map, 0, GRANTER, 9);
    struct gnttab_copy c = {.source = {.u.ref = 9, .domid = GRANTER},
                            .dest = {.u.gmfn = tree.page[0].n, .domid = DOMID_SELF},
                            .flags = GNTCOPY_source_gref};

    (void)state;
    kill(GRANTER);
    assert_int_equal(mm_domain_teardown(fake_d(GRANTER)), 1);
    fake_check();
    assert_int_equal(map_grant(mapper, GNTMAP_host_map, VA(9), GRANTER, 9).status,
                     GNTST_bad_domain);
    assert_int_equal(copy_grant(mapper, c), GNTST_bad_domain);
    assert_int_equal(fake_touch(mapper, VA(8), true, 5).n, page.n);
    assert_int_equal(unmap_grant(mapper, a.handle, VA(8), 0), 0);
    assert_int_equal(mm_domain_teardown(fake_d(GRANTER)), 1);
    assert_int_equal(unmap_grant(mapper, b.handle, 0, b.dev_bus_addr), 0);
    assert_int_equal(mm_domain_teardown(fake_d(GRANTER)), 0);
    assert_int_equal(unmap_grant(mapper, b.handle, 0, b.dev_bus_addr), GNTST_bad_handle);
}

/* The mapping's entry is lost, its granter gone for good, its number another's: the handle harms nobody. */
static void a_handle_outlives_its_granter(void **state)
{
    struct gnttab_map_grant_ref op = map_grant(mapper, GNTMAP_host_map, VA(8), GRANTER, 9);
    mfn_t next;

    (void)state;
    assert_int_equal(update(mapper, tree.l[1], 8, 0), 0);
    kill(GRANTER);
    assert_int_equal(mm_domain_teardown(fake_d(GRANTER)), 0);
    mm_grant_domain_free(fake_d(GRANTER));
    mm_domain_init(fake_d(GRANTER), GRANTER, 60);
    for (unsigned i = 0; i < FAKE_VCPUS; i++)
        mm_vcpu_init(fake_v(GRANTER, i), fake_d(GRANTER), i);
    assert_int_equal(mm_grant_domain_init(fake_d(GRANTER), 1, 1), 0);
    next = new_frame(fake_d(GRANTER));
    grant_access(GRANTER, 9, MAPPER, next, 0);
    assert_int_equal(unmap_grant(mapper, op.handle, VA(8), 0), GNTST_general_error);
    assert_int_equal(in_use_bits(GRANTER, 9), 0);
    fake_check();
    kill(MAPPER);
    assert_int_equal(in_use_bits(GRANTER, 9), 0);
}

static void first_entries_are_given(void **state)
{
    (void)state;
    assert_int_equal(mm_grant_preset(fake_d(GRANTER), 0, 0, page), 0);
    assert_int_equal(mm_grant_preset(fake_d(GRANTER), 700, 0, page), 0);
    assert_int_equal(mm_grant_preset(fake_d(GRANTER), 1024, 0, page), -XEN_EINVAL);
    struct gnttab_map_grant_ref op = map_grant(fake_v(0, 0), GNTMAP_device_map, 0, GRANTER, 0);
    assert_int_equal(op.status, 0);
    assert_int_equal(mm_grant_preset(fake_d(GRANTER), 0, 0, page), -XEN_EINVAL);
    assert_int_equal(unmap_grant(fake_v(0, 0), op.handle, 0, op.dev_bus_addr), 0);
    nothing_left();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(map_and_unmap_are_inverses),
        TEST(a_failed_map_leaves_nothing),
        TEST(the_last_user_ends_the_use),
        TEST(stale_translations_are_flushed),
        TEST(a_replaced_mapping_gets_the_other_entry),
        TEST(an_entry_to_write_is_a_level_1_entry_of_the_caller),
        TEST(unmapping_another_entry_drops_nothing),
        TEST(replacing_by_a_grant_is_refused),
        TEST(other_ends_of_an_entry_keep_the_books),
        TEST(a_page_in_use_is_compared_again),
        TEST(bad_references_handles_and_domains),
        TEST(a_domain_may_map_its_own_grants),
        TEST(tables_are_set_up_within_limits),
        TEST(only_version_1),
        TEST(entries_not_in_use_can_be_swapped),
        TEST(copies_stay_inside_two_pages),
        TEST(copies_need_both_pages),
        TEST(copies_that_go_on_in_a_page),
        TEST(each_entry_of_a_batch_has_its_status),
        TEST(batches_stop_where_memory_ends),
        TEST(handles_run_out_for_their_owner_only),
        TEST(no_memory_is_no_space),
        TEST(without_a_table_nothing_is_granted),
        TEST(a_dead_mapper_lets_go),
        TEST(a_dead_granters_page_lives_as_long_as_it_is_mapped),
        TEST(a_handle_outlives_its_granter),
        TEST(first_entries_are_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
