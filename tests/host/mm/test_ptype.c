/* SPDX-License-Identifier: MIT */
/* Transitions of the role word (ptype.c). */
#include "world.h"

#define V ROLE_VALIDATED
#define B ROLE_BUSY

static void every_get(void **state)
{
    (void)state;
    for (enum frame_role was = ROLE_NONE; was <= ROLE_DESC; was++) {
        for (enum frame_role want = ROLE_WRITABLE; want <= ROLE_DESC; want++) {
            struct role_step s = role_next_get(role_word(was, 0), want);
            bool plain = want == ROLE_WRITABLE && (was == ROLE_NONE || was == ROLE_WRITABLE);

            assert_int_equal(s.action, plain ? ROLE_DONE : ROLE_CLAIM);
            assert_int_equal(s.next, role_word(want, 1) | (plain ? 0 : B));
            if (was == ROLE_NONE)
                continue;
            s = role_next_get(role_word(was, 5) | V, want);
            assert_int_equal(s.action, was == want ? ROLE_DONE : ROLE_REFUSE);
            if (was == want)
                assert_int_equal(s.next, role_word(was, 6) | V);
            s = role_next_get(role_word(was, ROLE_COUNT_MAX) | V, want);
            assert_int_equal(s.action, ROLE_REFUSE);
            /* Being claimed; being released. */
            s = role_next_get(role_word(was, 1) | B, want);
            assert_int_equal(s.action,
                             was == want || was == ROLE_WRITABLE ? ROLE_WAIT : ROLE_REFUSE);
            s = role_next_get(role_word(was, 1) | B | V, want);
            assert_int_equal(s.action, ROLE_WAIT);
        }
    }
}

static void every_put(void **state)
{
    (void)state;
    for (enum frame_role was = ROLE_WRITABLE; was <= ROLE_DESC; was++) {
        struct role_step s = role_next_put(role_word(was, 2) | V);

        assert_int_equal(s.action, ROLE_DONE);
        assert_int_equal(s.next, role_word(was, 1) | V);
        s = role_next_put(role_word(was, 1) | V);
        assert_int_equal(s.action, ROLE_RELEASE);
        assert_int_equal(s.next, role_word(was, 1) | V | B);
        assert_int_equal(role_next_put(role_word(was, 0)).action, ROLE_REFUSE);
        assert_int_equal(role_next_put(role_word(was, 1) | V | ROLE_LOCKED).action, ROLE_WAIT);
        assert_int_equal(role_next_put(role_word(was, 1) | V | ROLE_PINNED).action, ROLE_REFUSE);
        assert_int_equal(role_next_put(role_word(was, 2) | V | ROLE_LOCKED | ROLE_PINNED).next,
                         role_word(was, 1) | V | ROLE_LOCKED | ROLE_PINNED);
    }
}

/* A table fails to validate in the role it had before: caches still name it as a table. */
static void a_failed_claim_of_the_old_role_stays_stale(void **state)
{
    struct mm_vcpu *v = fake_v(1, 0);
    struct tree t;

    (void)state;
    fake_reset(50);
    t = new_tree(fake_d(1), 2);
    assert_int_equal(mm_set_root(v, t.l[4], false), 0);
    assert_true(mfn_eq(fake_touch(v, 0, false, 0), t.page[0])); /* caches the level-1 table */
    assert_int_equal(update(v, t.l[2], 0, 0), 0);
    assert_int_equal(role_at(t.l[1]), role_word(ROLE_L1, 0));
    assert_int_equal(mm_pin(fake_d(1), t.page[1], ROLE_L1), 0);
    assert_int_equal(mm_pin(fake_d(1), t.l[1], ROLE_L1), -XEN_EBUSY);
    assert_int_equal(role_at(t.l[1]), role_word(ROLE_L1, 0));
    assert_int_equal(mm_hold_writable(fake_d(1), t.l[1]), 0);
    fake_check_caches();
    assert_int_equal(fake_violations, 0);
    mm_release_writable(fake_d(1), t.l[1]);
    fake_check();
}

/* What domain 0 had mapped of another to write, it may write on by what its CPU has cached: that CPU is flushed too. */
static void what_others_mapped_is_flushed_there(void **state)
{
    struct mm_vcpu *zero = fake_v(0, 0);
    struct mmu_update *r = (void *)fake_buffer;
    struct tree own;
    mfn_t page;

    (void)state;
    for (int readonly_first = 0; readonly_first < 2; readonly_first++) {
        fake_reset(50);
        own = new_tree(fake_d(0), 1);
        page = new_frame(fake_d(1));
        assert_int_equal(mm_set_root(zero, own.l[4], false), 0);
        r->ptr = mfn_to_maddr(own.l[1]).a + 9 * 8;
        if (readonly_first) {
            r->val = pte_make(page, PTE_P | PTE_US);
            assert_int_equal(mm_mmu_update(zero, fake_va(r), 1, 0, 1), 0);
            assert_int_equal(frame_of(page)->flags & FRAME_FOREIGN, 0);
        }
        r->val = pte_make(page, PAGE_BITS);
        assert_int_equal(mm_mmu_update(zero, fake_va(r), 1, 0, 1), 0);
        assert_true(mfn_eq(fake_touch(zero, 0x9000, true, 0), page));
        fake_check(); /* an audit forgets nothing of that, */
        frame_of(page)->refs++;
        fake_quiet = true;
        assert_int_equal(fake_audit(), 1); /* nor is it kept from seeing */
        fake_quiet = false;
        frame_of(page)->refs--;
        assert_int_equal(update(zero, own.l[1], 9, 0), 0);
        assert_int_equal(mm_pin(fake_d(1), page, ROLE_L1), 0);
        fake_check_caches();
        assert_int_equal(fake_violations, 0);
        assert_int_equal(mm_unpin(fake_d(1), page), 0);
        fake_check();
    }
}

/* A frame that only its owner had mapped: CPUs that run others keep what they have. */
static void others_are_left_alone(void **state)
{
    struct mm_vcpu *zero = fake_v(0, 0), *v = fake_v(1, 0);
    struct tree own, t;
    unsigned cached;

    (void)state;
    fake_reset(50);
    own = new_tree(fake_d(0), 1);
    t = new_tree(fake_d(1), 2);
    assert_int_equal(mm_set_root(zero, own.l[4], false), 0);
    assert_int_equal(mm_set_root(v, t.l[4], false), 0);
    assert_true(mfn_eq(fake_touch(zero, 0, true, 0), own.page[0]));
    cached = fake_cached();
    assert_true(mfn_eq(fake_touch(v, 0x1000, true, 0), t.page[1]));
    assert_int_equal(update(v, t.l[1], 1, 0), 0);
    assert_int_equal(mm_pin(fake_d(1), t.page[1], ROLE_L1), 0);
    fake_check_caches();
    assert_int_equal(fake_violations, 0);
    assert_int_equal(fake_cached(), cached);
    fake_check();
}

static void the_role_limit_refuses(void **state)
{
    mfn_t m;

    (void)state;
    fake_reset(50);
    m = new_frame(fake_d(1));
    frame_of(m)->role = role_word(ROLE_WRITABLE, ROLE_COUNT_MAX);
    assert_int_equal(mm_hold_writable(fake_d(1), m), -XEN_EBUSY);
    assert_int_equal(refs_at(m), 1);
    frame_of(m)->role = 0;
    fake_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_get),
        cmocka_unit_test(every_put),
        cmocka_unit_test(a_failed_claim_of_the_old_role_stays_stale),
        cmocka_unit_test(what_others_mapped_is_flushed_there),
        cmocka_unit_test(others_are_left_alone),
        cmocka_unit_test(the_role_limit_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
