/* SPDX-License-Identifier: MIT */
/* Domains and their end (domain.c). */
#include "world.h"

static void death_needs_no_cooperation(void **state)
{
    struct tree t;
    mfn_t held;
    struct frame *f;

    (void)state;
    fake_reset(50);
    t = new_tree(fake_d(1), 8);
    for (unsigned i = 1; i <= 4; i++)
        assert_int_equal(mm_pin(fake_d(1), t.l[i], (enum frame_role)(ROLE_L1 + i - 1)), 0);
    assert_int_equal(mm_set_root(fake_v(1, 0), t.l[4], false), 0);
    assert_int_equal(mm_set_root(fake_v(1, 1), t.l[4], true), 0);
    held = new_frame(fake_d(1));
    f = frame_get(fake_d(1), held); /* another domain's mapping, say */
    mm_vcpu_teardown(fake_v(1, 0));
    mm_vcpu_teardown(fake_v(1, 1));
    fake_d(1)->dying = true;
    assert_int_equal(mm_domain_teardown(fake_d(1)), 1);
    assert_int_equal(mm_domain_teardown(fake_d(1)), 1);
    assert_int_equal(mm_pin(fake_d(1), held, ROLE_L1), -XEN_EINVAL);
    frame_put(f);
    assert_int_equal(mm_domain_teardown(fake_d(1)), 0);
    assert_int_equal(palloc_free_frames(), fake_free_at_start());
    fake_check();
}

static void names(void **state)
{
    int error = 0;

    (void)state;
    fake_reset(50);
    assert_ptr_equal(domain_resolve(fake_d(1), DOMID_SELF, &error), fake_d(1));
    assert_ptr_equal(domain_resolve(fake_d(1), 1, &error), fake_d(1));
    assert_ptr_equal(domain_resolve(fake_d(0), 1, &error), fake_d(1));
    assert_null(domain_resolve(fake_d(1), 2, &error));
    assert_int_equal(error, -XEN_EPERM);
    assert_null(domain_resolve(fake_d(1), DOMID_XEN, &error));
    assert_null(domain_resolve(fake_d(0), DOMID_INVALID, &error));
    assert_int_equal(error, -XEN_ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(death_needs_no_cooperation),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
