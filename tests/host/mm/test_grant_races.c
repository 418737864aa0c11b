/* SPDX-License-Identifier: MIT */
/* Grants under several vCPUs: both domains at the same entry, handle, table entry, and at their end. */
#include <sys/wait.h>
#include <unistd.h>

#include "grants.h"

#define REF   9u
#define PARTS (GNTMAP_host_map | GNTMAP_device_map)

static struct tree tree;
static mfn_t page;
static unsigned became_table, mapped, copied, refused;

static void start(void)
{
    tree = mapper_start(4);
    page = new_frame(fake_d(GRANTER));
    grant_access(GRANTER, REF, MAPPER, page, 0);
}

/* ---- both vCPUs of a domain map and unmap, touching what they map; the granter makes the page a table ---- */

static void map_touch_unmap(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg, slot = 8 + i;
    struct mm_vcpu *v = fake_v(MAPPER, i);

    for (unsigned n = 0; n < 8; n++) {
        unsigned flags = n % 3 == 2 ? PARTS : GNTMAP_host_map;
        struct gnttab_map_grant_ref op = map_grant(v, flags, VA(slot), GRANTER, REF);

        refused += op.status != 0;
        if (op.status)
            continue;
        mapped++;
        (void)fake_touch(v, VA(slot), true, pte_make(tree.l[1], PAGE_BITS));
        assert_int_equal(
            unmap_grant(v, op.handle, VA(slot), flags & GNTMAP_device_map ? op.dev_bus_addr : 0),
            GNTST_okay);
        /* Through what the CPU may have kept. */
        (void)fake_touch(v, VA(slot), true, pte_make(tree.l[1], PAGE_BITS));
    }
}

static void make_it_a_table(void *arg)
{
    (void)arg;
    for (unsigned n = 0; n < 12; n++) {
        struct grant_entry_v1 *e = grant_entry(GRANTER, REF);

        if (mm_pin(fake_d(GRANTER), page, ROLE_L1) == 0) {
            became_table++;
            fake_check_caches();
            assert_int_equal(mm_unpin(fake_d(GRANTER), page), 0);
        }
        if (!(e->flags & (GTF_reading | GTF_writing)))
            *(uint64_t *)env_frame(page) = 0;
        fake_yield();
    }
}

static void no_table_is_written_through_a_grant(void **state)
{
    (void)state;
    became_table = mapped = 0;
    for (unsigned seed = 0; seed < 2000; seed++) {
        const struct fake_op ops[] = {
            {map_touch_unmap, (void *)0}, {map_touch_unmap, (void *)1}, {make_it_a_table, NULL}};

        start();
        fake_run(ops, 3, seed);
        assert_int_equal(in_use_bits(GRANTER, REF), 0);
        assert_int_equal(refs_at(page), 1);
        fake_check();
    }
    assert_true(became_table > 100);
    assert_true(mapped > 100);
}

/* ---- when the bits are clear, nobody reaches the page ---- */

static bool mapping;
static unsigned reached;

static void watch_the_bits(void *arg)
{
    (void)arg;
    while (mapping) {
        bool used = in_use_bits(GRANTER, REF);

        for (unsigned i = 0; i < FAKE_VCPUS; i++) {
            bool there = !mfn_eq(fake_touch(fake_v(MAPPER, i), VA(8), true, 0), MFN_NONE);

            reached += there;
            if (there && !used)
                fake_violations++;
        }
        fake_yield();
    }
}

static void map_and_unmap(void *arg)
{
    struct mm_vcpu *v = fake_v(MAPPER, 0);

    (void)arg;
    for (unsigned n = 0; n < 10; n++) {
        struct gnttab_map_grant_ref op = map_grant(v, GNTMAP_host_map, VA(8), GRANTER, REF);

        assert_int_equal(op.status, 0);
        for (unsigned i = 0; i < 20; i++)
            fake_yield();
        if (n & 1)
            assert_int_equal(replace_grant(v, op.handle, VA(8), VA(40)), 0);
        else
            assert_int_equal(unmap_grant(v, op.handle, VA(8), 0), 0);
        for (unsigned i = 0; i < 20; i++)
            fake_yield();
    }
    mapping = false;
}

static void run_watch(unsigned seed, bool elide)
{
    const struct fake_op ops[] = {{watch_the_bits, NULL}, {map_and_unmap, NULL}};

    start();
    fake_elide_flush = fake_quiet = elide;
    mapping = true;
    fake_run(ops, 2, seed);
}

static void clear_bits_mean_out_of_reach(void **state)
{
    (void)state;
    reached = 0;
    for (unsigned seed = 0; seed < 1000; seed++) {
        run_watch(seed, false);
        fake_check();
    }
    assert_true(reached > 100);
}

/* The test above sees what it is for. */
static void an_elided_flush_is_seen(void **state)
{
    int status = 0;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        for (unsigned seed = 0; seed < 1000; seed++) {
            run_watch(seed, true);
            if (fake_violations)
                _exit(42);
            fake_elide_flush = false;
        }
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

/* ---- one handle, two vCPUs ---- */

static struct gnttab_map_grant_ref shared_op;
static unsigned host_ended, device_ended, both_ended;

static void end_parts(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    struct mm_vcpu *v = fake_v(MAPPER, i % 2);

    if (i & 2) {
        host_ended += unmap_grant(v, shared_op.handle, VA(8), 0) == 0;
        device_ended += unmap_grant(v, shared_op.handle, 0, shared_op.dev_bus_addr) == 0;
    } else {
        both_ended += unmap_grant(v, shared_op.handle, VA(8), shared_op.dev_bus_addr) == 0;
    }
    host_ended += replace_grant(v, shared_op.handle, VA(8), 0) == 0;
}

static void each_part_ends_once(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 15000; seed++) {
        unsigned way = seed % 3;
        const struct fake_op ops[] = {{end_parts, (void *)(uintptr_t)(way == 2 ? 2 : 0)},
                                      {end_parts, (void *)(uintptr_t)(way ? 3 : 1)}};

        start();
        host_ended = device_ended = both_ended = 0;
        shared_op = map_grant(fake_v(MAPPER, 0), PARTS, VA(8), GRANTER, REF);
        assert_int_equal(shared_op.status, 0);
        fake_run(ops, 2, seed);
        assert_int_equal(host_ended + both_ended, 1);
        assert_in_range(device_ended + both_ended, 0, 1);
        if (!(device_ended + both_ended))
            assert_int_equal(
                unmap_grant(fake_v(MAPPER, 0), shared_op.handle, 0, shared_op.dev_bus_addr), 0);
        assert_int_equal(in_use_bits(GRANTER, REF), 0);
        assert_int_equal(refs_at(page), 1);
        fake_check();
    }
}

/* ---- the granter flips everything, the mapper overwrites its entry ---- */

static mfn_t second;

static void flip_the_entry(void *arg)
{
    (void)arg;
    while (mapping) {
        static unsigned n;
        uint64_t *e = (uint64_t *)grant_entry(GRANTER, REF);
        uint64_t was = *e, next = was;

        switch (n++ % 6) {
        case 0:
            next ^= GTF_readonly;
            break;
        case 1:
            next = (next & 0xffffffff) | (n & 8 ? page.n : second.n) << 32;
            break;
        case 2:
            next ^= GTF_accept_transfer;
            break;
        case 3:
            next ^= GTF_sub_page;
            break;
        case 4:
            next ^= 1u << 16;
            break;
        default:
            next = (uint64_t)page.n << 32 | MAPPER << 16 | GTF_permit_access;
        }
        *e = next; /* no exchange: it tramples on the bits as well */
        fake_yield();
    }
}

static void use_the_grant(void *arg)
{
    struct mm_vcpu *v = fake_v(MAPPER, 1);
    struct gnttab_copy c = {
        .source = {.u.ref = REF, .domid = GRANTER},
        .dest = {.u.gmfn = tree.page[0].n, .domid = DOMID_SELF},
        .len = 64,
        .flags = GNTCOPY_source_gref,
    };
    uint32_t handle[8];
    uint64_t dev[8];
    unsigned held = 0;

    (void)arg;
    for (unsigned n = 0; n < 24; n++) {
        struct gnttab_map_grant_ref op =
            map_grant(v, GNTMAP_device_map | (n & 1 ? GNTMAP_readonly : 0), 0, GRANTER, REF);
        int status = copy_grant(v, c);

        copied += status == 0;
        refused += status != 0;
        if (op.status == 0) {
            /* One consistent reading: a page that the entry named. */
            assert_true(op.dev_bus_addr == mfn_to_maddr(page).a ||
                        op.dev_bus_addr == mfn_to_maddr(second).a);
            handle[held] = op.handle;
            dev[held++] = op.dev_bus_addr;
        }
        if (held == 8 || (n % 5 == 4 && held)) {
            held--;
            assert_int_equal(unmap_grant(v, handle[held], 0, dev[held]), 0);
        }
    }
    while (held--)
        assert_int_equal(unmap_grant(v, handle[held], 0, dev[held]), 0);
    mapping = false;
}

static void overwrite_the_mapping(void *arg)
{
    struct mm_vcpu *v = fake_v(MAPPER, 0);

    (void)arg;
    while (mapping) {
        struct gnttab_map_grant_ref op = map_grant(v, GNTMAP_host_map, VA(9), GRANTER, REF);
        struct mmu_update *r = args_of(v);

        r->ptr = mfn_to_maddr(tree.l[1]).a + 9 * 8;
        r->val = 0;
        (void)mm_mmu_update(v, fake_va(r), 1, 0, DOMID_SELF);
        if (op.status == 0)
            assert_int_equal(unmap_grant(v, op.handle, VA(9), 0), GNTST_general_error);
        fake_yield();
    }
}

static void a_flipping_granter_confuses_nobody(void **state)
{
    (void)state;
    copied = refused = 0;
    for (unsigned seed = 0; seed < 1500; seed++) {
        const struct fake_op ops[] = {
            {flip_the_entry, NULL}, {use_the_grant, NULL}, {overwrite_the_mapping, NULL}};

        start();
        second = new_frame(fake_d(GRANTER));
        mapping = true;
        fake_run(ops, seed & 1 ? 3 : 2, seed);
        fake_check();
    }
    assert_true(copied > 100 && refused > 100);
}

/* ---- the granter takes a grant back as the interface tells it to ---- */

static unsigned taken_back;

static void take_back_and_give(void *arg)
{
    (void)arg;
    while (mapping) {
        struct grant_entry_v1 *e = grant_entry(GRANTER, REF);
        uint16_t flags = e->flags;

        fake_yield();
        if ((flags & (GTF_reading | GTF_writing)) || !compare_exchange(&e->flags, &flags, 0))
            continue;
        taken_back++;
        for (unsigned i = 0; i < 10; i++) {
            assert_int_equal(e->flags, 0);
            assert_int_equal(fake_touch(fake_v(MAPPER, 0), VA(8), false, 0).n, MFN_NONE.n);
            fake_yield();
        }
        e->flags = GTF_permit_access;
        fake_yield();
    }
}

static void map_what_is_given(void *arg)
{
    struct mm_vcpu *v = fake_v(MAPPER, 0);

    (void)arg;
    for (unsigned n = 0; n < 10; n++) {
        struct gnttab_map_grant_ref op = map_grant(v, GNTMAP_host_map, VA(8), GRANTER, REF);

        if (op.status)
            continue;
        mapped++;
        (void)fake_touch(v, VA(8), true, 0);
        fake_yield();
        assert_int_equal(unmap_grant(v, op.handle, VA(8), 0), 0);
    }
    mapping = false;
}

static void what_was_taken_back_is_not_used(void **state)
{
    (void)state;
    mapped = taken_back = 0;
    for (unsigned seed = 0; seed < 2000; seed++) {
        const struct fake_op ops[] = {{take_back_and_give, NULL}, {map_what_is_given, NULL}};

        start();
        mapping = true;
        fake_run(ops, 2, seed);
        fake_check();
    }
    assert_true(mapped > 500 && taken_back > 500);
}

/* ---- the table grows while it is used ---- */

static void grow_the_table(void *arg)
{
    struct mm_vcpu *v = fake_v(GRANTER, (unsigned)(uintptr_t)arg);
    struct gnttab_setup_table *op = args_of(v);

    for (unsigned n = 1; n <= 4; n++) {
        xen_pfn_t *list = (xen_pfn_t *)(op + 1);

        *op = (struct gnttab_setup_table){.dom = DOMID_SELF, .nr_frames = n, .frame_list.p = list};
        assert_int_equal(mm_grant_op(v, GNTTABOP_setup_table, fake_va(op), 1), 0);
        assert_int_equal(op->status, 0);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(list[i], mm_grant_frame(fake_d(GRANTER), i).n);
    }
}

static void reach_beyond(void *arg)
{
    struct mm_vcpu *v = fake_v(MAPPER, 0);

    (void)arg;
    for (unsigned n = 0; n < 40; n++) {
        struct gnttab_map_grant_ref op =
            map_grant(v, GNTMAP_host_map, VA(8), GRANTER, 512 * (n % 6) + 5);

        assert_true(op.status == GNTST_bad_gntref || op.status == GNTST_general_error);
    }
}

static void tables_grow_under_use(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 1000; seed++) {
        const struct fake_op ops[] = {
            {grow_the_table, (void *)0}, {grow_the_table, (void *)1}, {reach_beyond, NULL}};

        start();
        fake_run(ops, 3, seed);
        fake_check();
    }
}

/* ---- the granter dies in the middle ---- */

static void die(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 30; i++)
        fake_yield();
    fake_d(GRANTER)->dying = true;
    fake_yield();
    (void)mm_domain_teardown(fake_d(GRANTER));
}

static void use_until_it_is_gone(void *arg)
{
    struct mm_vcpu *v = fake_v(MAPPER, 0);
    struct gnttab_copy c = {
        .source = {.u.gmfn = tree.page[0].n, .domid = DOMID_SELF},
        .dest = {.u.ref = REF, .domid = GRANTER},
        .len = 64,
        .flags = GNTCOPY_dest_gref,
    };

    (void)arg;
    for (unsigned n = 0; n < 12; n++) {
        struct gnttab_map_grant_ref op = map_grant(v, PARTS, VA(8), GRANTER, REF);

        copied += copy_grant(v, c) == 0;
        mapped += op.status == 0;
        refused += op.status != 0;
        if (op.status == 0)
            assert_int_equal(unmap_grant(v, op.handle, VA(8), op.dev_bus_addr), 0);
    }
}

static void a_granter_may_die_at_any_moment(void **state)
{
    (void)state;
    mapped = copied = refused = 0;
    for (unsigned seed = 0; seed < 2000; seed++) {
        const struct fake_op ops[] = {{die, NULL}, {use_until_it_is_gone, NULL}};

        start();
        fake_run(ops, 2, seed);
        fake_check();
        assert_int_equal(mm_domain_teardown(fake_d(GRANTER)), 0);
    }
    assert_true(mapped > 100 && copied > 100 && refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_table_is_written_through_a_grant),
        cmocka_unit_test(clear_bits_mean_out_of_reach),
        cmocka_unit_test(an_elided_flush_is_seen),
        cmocka_unit_test(each_part_ends_once),
        cmocka_unit_test(a_flipping_granter_confuses_nobody),
        cmocka_unit_test(what_was_taken_back_is_not_used),
        cmocka_unit_test(tables_grow_under_use),
        cmocka_unit_test(a_granter_may_die_at_any_moment),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    fake_reset(0);
    return failed;
}
