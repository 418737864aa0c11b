/* SPDX-License-Identifier: MIT */
/* Regions under several vCPUs: rights that go while others map, touch and unmap; ends at any instant. */
#include <sys/wait.h>
#include <unistd.h>

#include "regions.h"

#define OTHER 1u
#define PAGES 3
#define PARTS (GNTMAP_host_map | GNTMAP_device_map)

static struct tree tree;
static long slot;
static bool revoked, ended; /* the list says no, and the call that did it has returned */
static bool readers_only;
static unsigned mapped, refused, taken, lost, breaches;

static void start(void)
{
    tree = mapper_start(4);
    slot = region_create(fake_v(0, 0), "bulk", PAGES);
    assert_true(slot >= 0);
    assert_int_equal(region_allow(fake_v(0, 0), slot, MAPPER, PAL_REGION_write), 0);
    revoked = readers_only = ended = false;
}

static bool is_regions(mfn_t m)
{
    return !mfn_eq(m, MFN_NONE) && frame_of(m)->owner == PAL_DOMID_REGION;
}

/* What was cached or can be walked: nothing of the region once it is taken. */
static void look(struct mm_vcpu *v, unsigned va_slot)
{
    bool was_revoked = revoked, was_readers = readers_only;

    if (is_regions(fake_touch(v, VA(va_slot), true, 0)) && (was_revoked || was_readers))
        breaches++;
    if (is_regions(fake_touch(v, VA(va_slot), false, 0)) && was_revoked)
        breaches++;
}

static void map_touch_unmap(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg, at = 8 + i;
    struct mm_vcpu *v = fake_v(MAPPER, i);

    for (unsigned n = 0; n < 6; n++) {
        unsigned flags = (n % 3 == 2 ? PARTS : GNTMAP_host_map) | (n % 2 ? GNTMAP_readonly : 0) |
                         (i ? GNTMAP_contains_pte : 0);
        uint64_t where = i ? mfn_to_maddr(tree.l[1]).a + at * sizeof(pte_t) : VA(at);
        struct gnttab_map_grant_ref op = map_region(v, flags, where, slot, n % PAGES);

        if (op.status) {
            refused++;
            look(v, 8 + !i);
            continue;
        }
        mapped++;
        if (n == 4) { /* another vCPU's entry goes by other means */
            (void)mm_update_va_mapping(v, VA(8 + !i), 0, UVMF_NONE, DOMID_SELF);
        }
        look(v, at);
        look(v, 8 + !i);
        uint64_t dev = flags & GNTMAP_device_map ? op.dev_bus_addr : 0;
        int status = unmap_grant(v, op.handle, where, dev);

        if (status == GNTST_okay) {
            taken++;
            /* It may have been the mapping's table entry, or one taken by force: not there now. */
            look(v, at);
        } else {
            lost++;
        }
    }
}

static void take_and_give(void *arg)
{
    struct mm_vcpu *v = fake_v(0, 0);

    (void)arg;
    for (unsigned n = 0; n < 3; n++) {
        unsigned access = n % 2 ? PAL_REGION_read : PAL_REGION_none;

        assert_int_equal(region_allow(v, slot, MAPPER, access), 0);
        if (access == PAL_REGION_none)
            revoked = true;
        else
            readers_only = true;
        for (unsigned i = 0; i < 60; i++)
            fake_yield();
        revoked = readers_only = false;
        assert_int_equal(region_allow(v, slot, MAPPER, PAL_REGION_write), 0);
        for (unsigned i = 0; i < 60; i++)
            fake_yield();
    }
    assert_int_equal(region_allow(v, slot, MAPPER, PAL_REGION_none), 0);
    revoked = true;
}

static unsigned frames_held(void)
{
    struct mm_region_stats s;

    mm_region_stats(&s);
    return (unsigned)s.frames;
}

static void no_way_back_after_a_revocation(void **state)
{
    (void)state;
    mapped = refused = taken = breaches = 0;
    for (unsigned seed = 0; seed < 3000; seed++) {
        const struct fake_op ops[] = {
            {map_touch_unmap, (void *)0}, {map_touch_unmap, (void *)1}, {take_and_give, NULL}};

        start();
        fake_run(ops, 3, seed);
        assert_int_equal(breaches, 0);
        assert_int_equal(region_mapped(slot, MAPPER), ~0ull);
        fake_check();
    }
    assert_true(mapped > 1000);
    assert_true(refused > 100);
    assert_true(taken > 1000);
}

/* The test above sees what it is for. */
static void an_elided_flush_is_seen(void **state)
{
    int status = 0;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        breaches = 0;
        for (unsigned seed = 0; seed < 1000 && !breaches; seed++) {
            const struct fake_op ops[] = {
                {map_touch_unmap, (void *)0}, {map_touch_unmap, (void *)1}, {take_and_give, NULL}};

            start();
            fake_elide_flush = fake_quiet = true;
            fake_run(ops, 3, seed);
            fake_elide_flush = false;
        }
        _exit(breaches ? 42 : 0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

/* ---- destroyed in the middle ---- */

static void destroy_it(void *arg)
{
    struct mm_vcpu *v = arg;

    if (region_destroy(v, slot) == 0)
        revoked = ended = true;
}

static void give_to_another(void *arg)
{
    (void)arg;
    for (unsigned n = 0; n < 4; n++) {
        long rc = region_allow(fake_v(0, 1), slot, n % 2 ? MAPPER : OTHER, 1 + n % 2);

        assert_true(rc == 0 || rc == -XEN_ENOENT || rc == -XEN_ESRCH);
    }
}

static void destroyed_while_in_use(void **state)
{
    (void)state;
    mapped = breaches = 0;
    for (unsigned seed = 0; seed < 3000; seed++) {
        const struct fake_op ops[] = {{map_touch_unmap, (void *)0},
                                      {map_touch_unmap, (void *)1},
                                      {destroy_it, fake_v(0, 0)},
                                      {give_to_another, NULL}};

        start();
        fake_run(ops, 4, seed);
        assert_true(ended);
        assert_int_equal(breaches, 0);
        assert_int_equal(frames_held(), 0);
        fake_check();
    }
    assert_true(mapped > 1000);
}

/* ---- two who destroy, and a new one in its place ---- */

static unsigned destroyed;

static void destroy_and_make(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    struct mm_vcpu *v = fake_v(0, i);

    for (unsigned n = 0; n < 4; n++) {
        destroyed += region_destroy(v, slot) == 0;
        long made = region_create(v, i ? "one" : "two", 1 + n);

        if (made < 0)
            continue;
        assert_int_equal(region_allow(v, made, MAPPER, PAL_REGION_write), 0);
        destroyed += region_destroy(v, made) == 0;
    }
}

static void each_is_destroyed_once(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 1000; seed++) {
        const struct fake_op ops[] = {{destroy_and_make, (void *)0},
                                      {destroy_and_make, (void *)1},
                                      {map_touch_unmap, (void *)0}};
        destroyed = 0;
        start();
        fake_run(ops, 3, seed);
        assert_int_equal(destroyed, 9);
        assert_int_equal(frames_held(), 0);
        fake_check();
    }
}

/* ---- a mapper that dies ---- */

static void die(void *arg)
{
    struct mm_domain *d = fake_d(MAPPER);

    (void)arg;
    d->dying = true; /* its vCPUs stopped at the guest boundary before this runs */
    for (unsigned i = 0; i < FAKE_VCPUS; i++)
        mm_vcpu_teardown(fake_v(MAPPER, i));
    (void)mm_domain_teardown(d);
}

static void map_some(void)
{
    for (unsigned n = 0; n < 6; n++) {
        struct gnttab_map_grant_ref op = map_region(
            fake_v(MAPPER, n % 2), n % 2 ? PARTS : GNTMAP_host_map, VA(8 + n), slot, n % PAGES);
        assert_int_equal(op.status, 0);
        (void)fake_touch(fake_v(MAPPER, n % 2), VA(8 + n), true, n);
    }
}

static void dies_while_others_take(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 3000; seed++) {
        const struct fake_op ops[] = {{die, NULL},
                                      {seed % 2 ? destroy_it : take_and_give, fake_v(0, 0)},
                                      {give_to_another, NULL}};

        start();
        map_some();
        if (seed % 2) {
            fake_run(ops, 3, seed);
        } else { /* it may be gone before the first word */
            const struct fake_op two[] = {{die, NULL}, {destroy_it, fake_v(0, 0)}};
            fake_run(two, 2, seed);
        }
        assert_int_equal(frames_held(), 0);
        assert_int_equal(mm_domain_teardown(fake_d(MAPPER)), 0);
        fake_check();
    }
}

/* ---- tables that go and come while their entries are taken ---- */

static void drop_tables(void *arg)
{
    struct mm_vcpu *v = fake_v(MAPPER, 1);

    (void)arg;
    for (unsigned n = 0; n < 6; n++) {
        if (update(v, tree.l[2], 0, 0) == 0) {
            for (unsigned i = 0; i < 30; i++)
                fake_yield();
            /* Entries of what it may not map any more keep the table from coming back. */
            if (update(v, tree.l[2], 0, pte_make(tree.l[1], TABLE_BITS))) {
                memset(env_frame(tree.l[1]), 0, PAGE_SIZE);
                assert_int_equal(update(v, tree.l[2], 0, pte_make(tree.l[1], TABLE_BITS)), 0);
            }
        }
    }
}

static void map_touch(void *arg)
{
    struct mm_vcpu *v = fake_v(MAPPER, 0);

    (void)arg;
    for (unsigned n = 0; n < 10; n++) {
        struct gnttab_map_grant_ref op = map_region(v, 2, VA(8 + n), slot, n % PAGES);

        refused += op.status != 0;
        mapped += op.status == 0;
        look(v, 8 + n % 4);
    }
}

static void tables_go_meanwhile(void **state)
{
    (void)state;
    mapped = breaches = 0;
    for (unsigned seed = 0; seed < 3000; seed++) {
        const struct fake_op ops[] = {
            {map_touch, NULL}, {drop_tables, NULL}, {take_and_give, NULL}};

        start();
        fake_run(ops, 3, seed);
        assert_int_equal(breaches, 0);
        fake_check();
        assert_int_equal(region_destroy(fake_v(0, 0), slot), 0);
        assert_int_equal(frames_held(), 0);
        fake_check();
    }
    assert_true(mapped > 1000);
}

/* ---- a guest that keeps a handle busy ---- */

static uint32_t held_handle;

/* Unmaps that end no part, a batch at a time: the handle is hardly ever at rest. */
static void hold_busy(void *arg)
{
    struct mm_vcpu *v = fake_v(MAPPER, (unsigned)(uintptr_t)arg);
    struct gnttab_unmap_grant_ref *op = args_of(v);

    for (unsigned n = 0; n < 300 && !ended; n++) {
        for (unsigned i = 0; i < 16; i++)
            op[i] = (struct gnttab_unmap_grant_ref){.handle = held_handle};
        assert_int_equal(mm_grant_op(v, GNTTABOP_unmap_grant_ref, fake_va(op), 16), 0);
        for (unsigned i = 0; i < 16; i++)
            assert_int_equal(op[i].status, GNTST_okay);
    }
    lost += !ended; /* gave up first */
}

static void take_it(void *arg)
{
    (void)arg;
    assert_int_equal(region_allow(fake_v(0, 0), slot, MAPPER, PAL_REGION_none), 0);
    ended = true;
}

static void a_busy_handle_does_not_keep_its_right(void **state)
{
    (void)state;
    lost = 0;
    for (unsigned seed = 0; seed < 200; seed++) {
        const struct fake_op ops[] = {
            {hold_busy, (void *)0}, {hold_busy, (void *)1}, {take_it, NULL}};

        start();
        held_handle = map_region(fake_v(MAPPER, 0), PARTS, VA(8), slot, 1).handle;
        fake_run(ops, 3, seed);
        assert_true(ended);
        assert_int_equal(lost, 0);
        fake_check();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_way_back_after_a_revocation),
        cmocka_unit_test(an_elided_flush_is_seen),
        cmocka_unit_test(destroyed_while_in_use),
        cmocka_unit_test(each_is_destroyed_once),
        cmocka_unit_test(dies_while_others_take),
        cmocka_unit_test(tables_go_meanwhile),
        cmocka_unit_test(a_busy_handle_does_not_keep_its_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
