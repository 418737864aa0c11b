/* SPDX-License-Identifier: MIT */
/* The frame allocator (palloc.c). */
#include "world.h"

static void blocks_are_aligned_zeroed_and_come_back(void **state)
{
    uint64_t before;

    (void)state;
    fake_reset(50);
    before = palloc_free_frames();
    for (unsigned order = 0; order <= 8; order++) {
        mfn_t m = palloc_hv(order, 0);

        assert_true(m.n < frame_count);
        assert_int_equal(m.n & (BIT(order) - 1), 0);
        assert_int_equal(palloc_free_frames(), before - BIT(order));
        for (uint64_t i = 0; i < PAGE_SIZE << order; i += 8)
            assert_int_equal(*(uint64_t *)((char *)env_frame(m) + i), 0);
        memset(env_frame(m), 0xcc, PAGE_SIZE << order);
        palloc_free_hv(m, order);
        assert_int_equal(palloc_free_frames(), before);
        fake_check();
    }
    assert_true(
        mfn_eq(palloc_hv(10, 0), MFN_NONE)); /* frame 0 and I/O are no part of a block of 1024 */
    assert_true(mfn_eq(palloc_hv(21, 0), MFN_NONE));
    assert_true(mfn_eq(palloc_hv(~0u, 0), MFN_NONE));
}

static void address_limits_are_kept(void **state)
{
    mfn_t one;

    (void)state;
    fake_reset(50);
    for (unsigned bits = 13; bits <= 22; bits++) {
        mfn_t m[FAKE_FRAMES];
        unsigned n = 0;

        for (;;) {
            m[n] = palloc_hv(0, bits);
            if (mfn_eq(m[n], MFN_NONE))
                break;
            assert_true(m[n].n << PAGE_SHIFT < BIT(bits));
            n++;
        }
        /* All there are: frame 0 is nobody's, the highest may be I/O. */
        assert_int_equal(n, min(BIT(bits - PAGE_SHIFT), (uint64_t)(FAKE_FRAMES - FAKE_IO)) - 1);
        while (n)
            palloc_free_hv(m[--n], 0);
    }
    assert_true(mfn_eq(palloc_hv(0, 12), MFN_NONE));
    assert_true(mfn_eq(palloc_hv(0, 1), MFN_NONE));
    one = palloc_hv(0, 255);
    assert_true(one.n < frame_count);
    palloc_free_hv(one, 0);
    fake_check();
}

static void low_memory_is_used_last(void **state)
{
    mfn_t m;

    (void)state;
    fake_reset(50);
    m = palloc_hv(0, 0);
    assert_true(m.n >= FAKE_FRAMES / 2);
    palloc_free_hv(m, 0);
}

static void flush_before_reuse(void **state)
{
    struct tree t;
    mfn_t m;
    struct frame *f;

    (void)state;
    fake_reset(50);
    t = new_tree(fake_d(1), 1);
    assert_int_equal(mm_set_root(fake_v(1, 0), t.l[4], false), 0);
    assert_true(mfn_eq(fake_touch(fake_v(1, 0), 0, true, 0xdead), t.page[0]));
    f = frame_get(fake_d(1), t.page[0]);
    assert_true(frame_disown(f));
    frame_put(f);
    fake_exhaust();
    assert_int_equal(update(fake_v(1, 0), t.l[1], 0, 0), 0);
    assert_int_equal(f->owner, OWNER_FREE);
    fake_flushes = 0;
    m = new_frame(fake_d(2));
    assert_true(mfn_eq(m, t.page[0]));
    assert_int_equal(fake_flushes, 1);
    assert_int_equal(*(uint64_t *)env_frame(m), 0);
    /* The stale translation is gone. */
    assert_true(mfn_eq(fake_touch(fake_v(1, 0), 0, true, 0xdead), MFN_NONE));
    assert_int_equal(*(uint64_t *)env_frame(m), 0);
    fake_unexhaust();
    fake_check();
}

static void the_maximum_is_never_passed(void **state)
{
    int error = 0;

    (void)state;
    fake_reset(5);
    (void)palloc_domain(fake_d(1), 2, 0, &error);
    assert_int_equal(fake_d(1)->tot_pages, 4);
    assert_true(mfn_eq(palloc_domain(fake_d(1), 1, 0, &error), MFN_NONE));
    assert_int_equal(error, -XEN_EPERM);
    (void)new_frame(fake_d(1));
    assert_true(mfn_eq(palloc_domain(fake_d(1), 0, 0, &error), MFN_NONE));
    assert_int_equal(fake_d(1)->tot_pages, 5);
    fake_exhaust();
    assert_true(mfn_eq(palloc_domain(fake_d(2), 0, 0, &error), MFN_NONE));
    assert_int_equal(error, -XEN_ENOMEM);
    assert_int_equal(fake_d(2)->tot_pages, 0);
    fake_unexhaust();
    fake_d(2)->dying = true;
    assert_true(mfn_eq(palloc_domain(fake_d(2), 0, 0, &error), MFN_NONE));
    fake_d(2)->dying = false;
    fake_check();
}

static void shared_pages_are_for_their_domain(void **state)
{
    mfn_t m, ro;
    struct tree t;
    struct mm_vcpu *v = fake_v(1, 0);

    (void)state;
    fake_reset(50);
    t = new_tree(fake_d(1), 1);
    assert_int_equal(mm_set_root(v, t.l[4], false), 0);
    m = palloc_hv(0, 0);
    ro = palloc_hv(0, 0);
    assert_int_equal(update(v, t.l[1], 1, pte_make(m, PAGE_BITS)), -XEN_EINVAL);
    palloc_share(fake_d(1), m, false);
    palloc_share(fake_d(1), ro, true);
    assert_int_equal(update(v, t.l[1], 1, pte_make(m, PAGE_BITS)), 0);
    assert_int_equal(update(v, t.l[1], 2, pte_make(ro, PAGE_BITS)), -XEN_EPERM);
    assert_int_equal(update(v, t.l[1], 2, pte_make(ro, PTE_P)), 0);
    assert_int_equal(update(v, t.l[1], 2, pte_make(ro, PAGE_BITS)), -XEN_EPERM);
    assert_null(frame_get(fake_d(2), m));
    /* The guest cannot make a table of it, nor give it back. */
    assert_int_equal(mm_pin(fake_d(1), ro, ROLE_L1), -XEN_EINVAL);
    fake_check();
    palloc_unshare(fake_d(1), m);
    palloc_unshare(fake_d(1), ro);
    assert_int_equal(update(v, t.l[1], 3, pte_make(m, PAGE_BITS)), -XEN_EINVAL);
    fake_check();
    assert_int_equal(update(v, t.l[1], 1, 0), 0);
    assert_int_equal(frame_of(m)->owner, OWNER_FREE);
    fake_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_zeroed_and_come_back),
        cmocka_unit_test(address_limits_are_kept),
        cmocka_unit_test(low_memory_is_used_last),
        cmocka_unit_test(flush_before_reuse),
        cmocka_unit_test(the_maximum_is_never_passed),
        cmocka_unit_test(shared_pages_are_for_their_domain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
