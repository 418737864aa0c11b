/* SPDX-License-Identifier: MIT */
/* Changing entries: mmu_update, update_va_mapping, trapped writes. */
#include "world.h"

static void loads_a_root(void **state)
{
    struct mm_vcpu *v = fake_v(1, 0);
    struct tree t;

    (void)state;
    fake_reset(200);
    t = new_tree(v->d, 4);
    assert_int_equal(mm_set_root(v, t.l[4], false), 0);
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(role_of(role_at(t.l[i])), ROLE_L1 + i - 1);
        assert_int_equal(role_count(role_at(t.l[i])), 1);
    }
    assert_int_equal(role_of(role_at(t.page[0])), ROLE_WRITABLE);
    assert_int_equal(refs_at(t.page[0]), 2);
    fake_check();
    assert_true(mfn_eq(fake_touch(v, 0x1000, true, 7), t.page[1]));
    fake_check();
}

static void changes_flags(void **state)
{
    struct mm_vcpu *v = fake_v(1, 0);
    struct tree t;

    (void)state;
    fake_reset(200);
    t = new_tree(v->d, 4);
    assert_int_equal(mm_set_root(v, t.l[4], false), 0);
    assert_int_equal(update(v, t.l[1], 0, pte_make(t.page[0], PTE_P | PTE_US)), 0);
    assert_int_equal(role_count(role_at(t.page[0])), 0);
    fake_check();
    assert_int_equal(update(v, t.l[1], 0, pte_make(t.page[0], PTE_P | PTE_US | PTE_RW)), 0);
    assert_int_equal(role_count(role_at(t.page[0])), 1);
    fake_check();
    assert_int_equal(update(v, t.l[1], 0, 0), 0);
    assert_int_equal(refs_at(t.page[0]), 1);
    fake_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_a_root),
        cmocka_unit_test(changes_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
