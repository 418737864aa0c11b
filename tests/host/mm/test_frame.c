/* SPDX-License-Identifier: MIT */
/* General references (frame.c). */
#include "world.h"

static void references_are_for_the_owner_only(void **state)
{
    mfn_t m;
    struct frame *f;

    (void)state;
    fake_reset(50);
    m = new_frame(fake_d(1));
    assert_null(frame_get(fake_d(2), m));
    assert_null(frame_get(fake_d(1), mfn(FAKE_FRAMES - 1))); /* no RAM */
    assert_null(frame_get(fake_d(1), mfn(FAKE_FRAMES)));
    assert_null(frame_get(fake_d(1), mfn(1ull << 40)));
    assert_null(frame_get(fake_d(1), MFN_NONE));
    f = frame_get(fake_d(1), m);
    assert_non_null(f);
    assert_int_equal(refs_at(m), 2);
    fake_d(1)->dying = true;
    assert_null(frame_get(fake_d(1), m));
    fake_d(1)->dying = false;
    frame_put(f);
    fake_check();
}

static void the_limit_refuses(void **state)
{
    mfn_t m;

    (void)state;
    fake_reset(50);
    m = new_frame(fake_d(1));
    frame_of(m)->refs = (uint32_t)REF_OWNED | REF_COUNT_MAX;
    assert_null(frame_get(fake_d(1), m));
    assert_false(frame_get_again(frame_of(m)));
    frame_of(m)->refs = (uint32_t)REF_OWNED | (REF_COUNT_MAX - 1);
    assert_non_null(frame_get(fake_d(1), m));
    assert_int_equal(refs_at(m), REF_COUNT_MAX);
    frame_of(m)->refs = (uint32_t)REF_OWNED | 1;
    fake_check();
}

static void a_frame_given_back_is_out_of_reach_and_charged_until_it_goes(void **state)
{
    mfn_t m;
    struct frame *f;

    (void)state;
    fake_reset(50);
    m = new_frame(fake_d(1));
    f = frame_get(fake_d(1), m);
    assert_true(frame_disown(f));
    assert_false(frame_disown(f));
    assert_null(frame_get(fake_d(1), m));
    assert_int_equal(fake_d(1)->tot_pages, 1);
    frame_put(f);
    assert_int_equal(fake_d(1)->tot_pages, 0);
    assert_int_equal(f->owner, OWNER_FREE);
    fake_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_for_the_owner_only),
        cmocka_unit_test(the_limit_refuses),
        cmocka_unit_test(a_frame_given_back_is_out_of_reach_and_charged_until_it_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
