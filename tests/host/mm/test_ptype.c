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
        cmocka_unit_test(the_role_limit_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
