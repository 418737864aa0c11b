/* SPDX-License-Identifier: MIT */
/* Several vCPUs at the same frames, switched wherever the core allows it. */
#include <sys/wait.h>
#include <unistd.h>

#include "play.h"
#include "world.h"

#define ROUNDS 40000

static uint64_t state64;

static uint64_t next_random(void)
{
    state64 ^= state64 << 13;
    state64 ^= state64 >> 7;
    state64 ^= state64 << 17;
    return state64 * 0x2545f4914f6cdd1dull;
}

static void random_round(void)
{
    uint8_t bytes[ROUND_BYTES];

    for (unsigned i = 0; i < ROUND_BYTES; i++)
        bytes[i] = (uint8_t)(next_random() >> 56);
    play_round(bytes);
}

static void random_play_keeps_the_books(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        state64 = seed * 0x9e3779b97f4a7c15ull;
        play_start();
        for (unsigned i = 0; i < ROUNDS / 20; i++) {
            random_round();
            fake_check();
        }
        play_end();
    }
}

/* The test above sees what it is for: without flushes stale translations reach tables. In a process
 * of its own, for the books break as well. */
static void elided_flushes_are_seen(void **state)
{
    int status = 0;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        for (unsigned seed = 1; seed <= 20; seed++) {
            state64 = seed * 0x9e3779b97f4a7c15ull;
            play_start();
            fake_elide_flush = fake_quiet = true;
            for (unsigned i = 0; i < ROUNDS / 20; i++) {
                random_round();
                if (fake_violations)
                    _exit(42);
            }
            play_end();
        }
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

/* ---- two level-1 tables that map each other writable, validated at the same time ---- */

static mfn_t cross[2];
static int cross_result[2];

static void pin_cross(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;

    cross_result[i] = mm_pin(fake_d(1), cross[i], ROLE_L1);
}

static void tables_that_name_each_other_do_not_wait_for_ever(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 200; seed++) {
        const struct fake_op ops[] = {{pin_cross, (void *)0}, {pin_cross, (void *)1}};

        fake_reset(50);
        cross[0] = new_frame(fake_d(1));
        cross[1] = new_frame(fake_d(1));
        entries(cross[0])[300] = pte_make(cross[1], PAGE_BITS);
        entries(cross[1])[300] = pte_make(cross[0], PAGE_BITS);
        fake_run(ops, 2, seed);
        assert_true(cross_result[0] != 0 || cross_result[1] != 0);
        fake_check();
    }
}

/* ---- many take and drop the same tree while it is half validated ---- */

static struct tree shared;

static void pin_and_unpin(void *arg)
{
    unsigned level = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < 20; i++) {
        if (mm_pin(fake_d(1), shared.l[level], (enum frame_role)(ROLE_L1 + level - 1)) == 0)
            assert_int_equal(mm_unpin(fake_d(1), shared.l[level]), 0);
    }
}

static void one_tree_pinned_by_all(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 50; seed++) {
        const struct fake_op ops[] = {
            {pin_and_unpin, (void *)4}, {pin_and_unpin, (void *)3}, {pin_and_unpin, (void *)1}};

        fake_reset(50);
        shared = new_tree(fake_d(1), 8);
        fake_run(ops, 3, seed);
        for (unsigned i = 1; i <= 4; i++)
            assert_int_equal(role_count(role_at(shared.l[i])), 0);
        fake_check();
    }
}

/* ---- a frame goes to and fro between data and table while CPUs keep stale translations of it ----
 */

static struct tree home;
static mfn_t target;
static unsigned became_table;

/* Map the frame, write a hostile entry into it, unmap it; the CPU remembers the mapping. */
static void map_and_scribble(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    struct mmu_update *r = (void *)(fake_buffer + 4096 * i);

    for (unsigned n = 0; n < 12; n++) {
        r->ptr = mfn_to_maddr(home.l[1]).a + (8 + i) * 8;
        r->val = pte_make(target, PAGE_BITS);
        (void)mm_mmu_update(fake_v(1, i), fake_va(r), 1, 0, DOMID_SELF);
        (void)fake_touch(fake_v(1, i), 0x8000 + 0x1000 * i, true, pte_make(home.l[1], PAGE_BITS));
        (void)fake_touch(fake_v(1, i), 0x8000 + 0x1000 * i, true, 0);
        r->val = 0;
        assert_int_equal(mm_mmu_update(fake_v(1, i), fake_va(r), 1, 0, DOMID_SELF), 0);
        /* Through what is left in the cache. */
        (void)fake_touch(fake_v(1, i), 0x8000 + 0x1000 * i, true, 0);
    }
}

static void make_it_a_table(void *arg)
{
    (void)arg;
    for (unsigned n = 0; n < 12; n++) {
        if (mm_pin(fake_d(1), target, ROLE_L1) == 0) {
            became_table++;
            fake_check_caches();
            assert_int_equal(mm_unpin(fake_d(1), target), 0);
        }
        fake_yield();
    }
}

static void no_stale_write_reaches_a_table(void **state)
{
    (void)state;
    became_table = 0;
    for (unsigned seed = 0; seed < 300; seed++) {
        const struct fake_op ops[] = {
            {map_and_scribble, (void *)0}, {map_and_scribble, (void *)1}, {make_it_a_table, NULL}};

        fake_reset(50);
        home = new_tree(fake_d(1), 1);
        target = new_frame(fake_d(1));
        assert_int_equal(mm_set_root(fake_v(1, 0), home.l[4], false), 0);
        assert_int_equal(mm_set_root(fake_v(1, 1), home.l[4], false), 0);
        fake_run(ops, 3, seed);
        fake_check();
    }
    assert_true(became_table > 100);
}

/* ---- an entry is changed while its table is released, given back and used anew ---- */

static void edit_entries(void *arg)
{
    struct mmu_update *r = (void *)(fake_buffer + 4096);

    (void)arg;
    for (unsigned n = 0; n < 40; n++) {
        r->ptr = mfn_to_maddr(target).a + 8 * (n % 4);
        r->val = n % 3 ? pte_make(home.page[n % 2], n % 2 ? PAGE_BITS : PTE_P) : 0;
        (void)mm_mmu_update(fake_v(1, 0), fake_va(r), 1, 0, DOMID_SELF);
    }
}

static void recycle_table(void *arg)
{
    (void)arg;
    for (unsigned n = 0; n < 12; n++) {
        struct frame *f;

        (void)mm_pin(fake_d(1), target, n % 3 ? ROLE_L1 : ROLE_L2);
        (void)mm_unpin(fake_d(1), target);
        f = frame_get(fake_d(1), target);
        if (n % 4 == 3 && f) {
            int error;

            assert_true(frame_disown(f));
            frame_put(f);
            target = palloc_domain(fake_d(n % 8 == 3 ? 2 : 1), 0, 0, &error);
            assert_true(target.n < frame_count);
        } else if (f) {
            frame_put(f);
        }
    }
}

static void entries_change_under_release(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 1500; seed++) {
        const struct fake_op ops[] = {
            {edit_entries, NULL}, {edit_entries, NULL}, {recycle_table, NULL}};

        fake_reset(50);
        home = new_tree(fake_d(1), 2);
        target = new_frame(fake_d(1));
        fake_run(ops, 3, seed);
        fake_check();
    }
}

/* ---- the very same frame goes from one domain to another and back ---- */

/* d gives the frame back and the other domain gets it: it is the only one there is. */
static void hand_over(unsigned from, unsigned to)
{
    int error = 0;
    struct frame *f;

    do {
        f = frame_get(fake_d(from), target);
    } while (!f);
    assert_true(frame_disown(f));
    frame_put(f);
    for (;;) {
        mfn_t m = palloc_domain(fake_d(to), 0, 0, &error);

        if (mfn_eq(m, target))
            break;
        assert_true(mfn_eq(m, MFN_NONE)); /* somebody still holds it for a moment */
        fake_yield();
    }
}

static bool handing_over;

static void hand_to_and_fro(void *arg)
{
    (void)arg;
    for (unsigned n = 0; n < 10; n++) {
        hand_over(1, 2);
        assert_int_equal(mm_pin(fake_d(2), target, ROLE_L1), 0);
        for (unsigned i = 0; i < 40; i++)
            fake_yield();
        assert_int_equal(mm_unpin(fake_d(2), target), 0);
        for (unsigned i = 0; i < PTE_ENTRIES; i++)
            assert_int_equal(entries(target)[i], 0);
        hand_over(2, 1);
        (void)mm_pin(fake_d(1), target, ROLE_L1);
        fake_yield();
        (void)mm_unpin(fake_d(1), target);
    }
    handing_over = false;
}

static void reach_for_it(void *arg)
{
    struct mmu_update *r = (void *)fake_buffer;

    (void)arg;
    while (handing_over) {
        struct frame *f = frame_get(fake_d(1), target);

        if (f) {
            assert_int_equal(f->owner, 1);
            frame_put(f);
        }
        r->ptr = mfn_to_maddr(target).a + 8;
        r->val = pte_make(home.page[0], PTE_P);
        (void)mm_mmu_update(fake_v(1, 0), fake_va(r), 1, 0, DOMID_SELF);
        r->val = 0;
        (void)mm_mmu_update(fake_v(1, 0), fake_va(r), 1, 0, DOMID_SELF);
        fake_yield();
    }
}

static void a_former_owner_reaches_nothing(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 1500; seed++) {
        const struct fake_op ops[] = {{hand_to_and_fro, NULL}, {reach_for_it, NULL}};

        fake_reset(50);
        home = new_tree(fake_d(1), 2);
        target = new_frame(fake_d(1));
        fake_exhaust();
        handing_over = true;
        fake_run(ops, 2, seed);
        fake_unexhaust();
        fake_check();
    }
}

/* ---- domain 0 adds and exchanges frames of a domain that begins to die meanwhile ---- */

static struct mm_domain *mortal;
static mfn_t given[4];
static unsigned added, exchanged, refused;

static void die(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 40; i++)
        fake_yield();
    spin_lock(&mortal->lock);
    mortal->dying = true;
    spin_unlock(&mortal->lock);
    (void)mm_domain_teardown(mortal);
}

static void add(unsigned order, unsigned extents)
{
    struct xen_memory_reservation *r = (void *)fake_buffer;
    uint64_t *list = (void *)(fake_buffer + 4096);
    long got;

    *r = (struct xen_memory_reservation){.nr_extents = extents, .extent_order = order, .domid = 1};
    r->extent_start.p = (void *)list;
    for (unsigned i = 0; i < extents; i++)
        list[i] = 100 + ((uint64_t)i << order);
    got = mm_memory_op(fake_v(0, 0), XENMEM_populate_physmap, fake_va(r));
    added += got == extents;
    refused += got >= 0 && got < extents;
}

static void exchange_all(void)
{
    struct xen_memory_exchange *x = (void *)fake_buffer;
    uint64_t *in = (void *)(fake_buffer + 4096), *out = (void *)(fake_buffer + 8192);
    long rc;

    *x = (struct xen_memory_exchange){.in = {.nr_extents = 4, .domid = 1},
                                      .out = {.nr_extents = 4, .domid = 1}};
    for (unsigned i = 0; i < 4; i++) {
        in[i] = given[i].n;
        out[i] = 500 + i;
    }
    x->in.extent_start.p = (void *)in;
    x->out.extent_start.p = (void *)out;
    rc = mm_memory_op(fake_v(0, 0), XENMEM_exchange, fake_va(x));
    exchanged += rc == 0;
    refused += rc != 0;
    for (unsigned i = 0; i < 4 && rc == 0; i++)
        given[i] = mfn(out[i]);
}

static void manage(void *arg)
{
    unsigned what = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < 4; i++) {
        if (what % 3 == 0)
            add(0, 20);
        else if (what % 3 == 1)
            add(7, 1);
        else
            exchange_all();
    }
}

/* What the machine-to-physical table says of frames that nobody has was said by nobody after they had gone. */
static void check_places(void)
{
    for (uint64_t i = 0; i < frame_count; i++)
        if (frame_table[i].owner == OWNER_FREE)
            assert_true(m2p_table[i] == 0 || m2p_table[i] == M2P_INVALID);
}

/* One look at its frames after it began to die finds all that it will ever have. */
static void the_dying_get_nothing(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 3000; seed++) {
        const struct fake_op ops[] = {{die, NULL}, {manage, (void *)(uintptr_t)seed}};

        fake_reset(600);
        mortal = fake_d(1);
        for (unsigned i = 0; i < 4; i++)
            given[i] = new_frame(mortal);
        fake_run(ops, 2, seed);
        assert_int_equal(mortal->tot_pages, 0);
        assert_int_equal(palloc_free_frames(), fake_free_at_start());
        check_places();
        fake_check();
    }
    assert_true(added > 1000 && exchanged > 1000 && refused > 1000);
}

/* ---- one vCPU gives back what another is just getting, by guessing its numbers ---- */

static bool getting;
static unsigned guessed;

static void get_some(void *arg)
{
    unsigned what = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < 4; i++)
        add(what % 2 ? 7 : 0, what % 2 ? 1 : 16);
    getting = false;
}

static void guess_and_give_back(void *arg)
{
    struct xen_memory_reservation *r = (void *)(fake_buffer + 8192);
    uint64_t *number = (void *)(fake_buffer + 12288);

    (void)arg;
    while (getting) {
        for (uint64_t i = 0; i < frame_count; i++) {
            if (frame_table[i].owner != 1)
                continue;
            *number = i;
            *r = (struct xen_memory_reservation){.nr_extents = 1, .domid = DOMID_SELF};
            r->extent_start.p = (void *)number;
            guessed += mm_memory_op(fake_v(1, 1), XENMEM_decrease_reservation, fake_va(r)) == 1;
        }
        fake_yield();
    }
}

static void a_frame_that_is_gone_has_no_place(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 300; seed++) {
        const struct fake_op ops[] = {{get_some, (void *)(uintptr_t)seed},
                                      {guess_and_give_back, NULL}};

        fake_reset(600);
        getting = true;
        fake_run(ops, 2, seed);
        check_places();
        fake_check();
    }
    assert_true(guessed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_play_keeps_the_books),
        cmocka_unit_test(elided_flushes_are_seen),
        cmocka_unit_test(tables_that_name_each_other_do_not_wait_for_ever),
        cmocka_unit_test(one_tree_pinned_by_all),
        cmocka_unit_test(no_stale_write_reaches_a_table),
        cmocka_unit_test(entries_change_under_release),
        cmocka_unit_test(a_former_owner_reaches_nothing),
        cmocka_unit_test(the_dying_get_nothing),
        cmocka_unit_test(a_frame_that_is_gone_has_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
