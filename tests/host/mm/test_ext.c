/* SPDX-License-Identifier: MIT */
/* mmuext_op, pins and roots (mmu_ext.c, root.c). */
#include "world.h"

static struct tree t;
static struct mm_vcpu *v;

static void setup(void)
{
    fake_reset(200);
    v = fake_v(1, 0);
    t = new_tree(v->d, 4);
}

static long ext(unsigned cmd, uint64_t arg1, uint64_t arg2, unsigned foreign)
{
    struct mmuext_op *op = (void *)fake_buffer;

    op->cmd = cmd;
    op->arg1.mfn = arg1;
    op->arg2.src_mfn = arg2;
    return mm_mmuext_op(v, fake_va(op), 1, 0, foreign);
}

static void pins_are_exact(void **state)
{
    (void)state;
    setup();
    assert_int_equal(ext(MMUEXT_PIN_L4_TABLE, t.l[4].n, 0, DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_PIN_L4_TABLE, t.l[4].n, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, t.l[4].n, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, t.l[1].n, 0, DOMID_SELF), 0);
    assert_int_equal(role_count(role_at(t.l[1])), 2);
    assert_int_equal(ext(MMUEXT_UNPIN_TABLE, t.l[2].n, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(ext(MMUEXT_UNPIN_TABLE, t.page[0].n, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(ext(MMUEXT_UNPIN_TABLE, 1, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(ext(MMUEXT_UNPIN_TABLE, BIT(40), 0, DOMID_SELF), -XEN_EINVAL);
    fake_check();
    assert_int_equal(ext(MMUEXT_UNPIN_TABLE, t.l[4].n, 0, DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_UNPIN_TABLE, t.l[4].n, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(role_count(role_at(t.l[1])), 1);
    assert_int_equal(ext(MMUEXT_UNPIN_TABLE, t.l[1].n, 0, DOMID_SELF), 0);
    fake_check();
}

static void pins_by_the_builder(void **state)
{
    (void)state;
    setup();
    v = fake_v(2, 0);
    assert_int_equal(ext(MMUEXT_PIN_L4_TABLE, t.l[4].n, 0, 1), -XEN_EPERM);
    v = fake_v(0, 0);
    assert_int_equal(ext(MMUEXT_PIN_L4_TABLE, t.l[4].n, 0, 1), 0);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, t.l[4].n, 0, 1), -XEN_EPERM);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, t.l[1].n, 0, DOMID_IO), -XEN_EINVAL);
    fake_check();
    assert_int_equal(ext(MMUEXT_UNPIN_TABLE, t.l[4].n, 0, 1), 0);
    fake_check();
}

static void roots_are_held(void **state)
{
    struct tree user;

    (void)state;
    setup();
    entries(t.page[0])[0] = pte_make(t.l[1], TABLE_BITS | PTE_PSE);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, t.page[0].n, 0, DOMID_SELF), -XEN_EINVAL);
    assert_true(mfn_eq(v->kernel_root, MFN_NONE));
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, 0, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(ext(MMUEXT_PIN_L4_TABLE, t.l[4].n, 0, DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, t.l[4].n, 0, DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_UNPIN_TABLE, t.l[4].n, 0, DOMID_SELF), 0);
    assert_int_equal(role_count(role_at(t.l[4])), 1);
    fake_check();
    user = new_tree(v->d, 1);
    assert_int_equal(ext(MMUEXT_NEW_USER_BASEPTR, user.l[4].n, 0, DOMID_SELF), 0);
    assert_int_equal(entries(user.l[4])[256],
                     0); /* user mode does not see the table of all machines */
    assert_int_not_equal(entries(user.l[4])[257], 0);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, user.l[4].n, 0, DOMID_SELF), 0);
    assert_int_not_equal(entries(user.l[4])[256], 0);
    assert_int_equal(role_count(role_at(user.l[4])), 2);
    fake_check();
    assert_int_equal(ext(MMUEXT_NEW_USER_BASEPTR, 0, 0, DOMID_SELF), 0);
    assert_true(mfn_eq(v->user_root, MFN_NONE));
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, user.l[1].n, 0, DOMID_SELF), -XEN_EBUSY);
    assert_true(mfn_eq(v->kernel_root, user.l[4]));
    fake_check();
}

static void flushes(void **state)
{
    uint64_t *map = (void *)(fake_buffer + 4096);

    (void)state;
    setup();
    *map = ~0ull;
    assert_int_equal(ext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0, DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_INVLPG_LOCAL, 0x1000, 0, DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_TLB_FLUSH_MULTI, 0, fake_va(map), DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_INVLPG_MULTI, 0x1000, fake_va(map), DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_TLB_FLUSH_ALL, 0, 0, DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_INVLPG_ALL, 0x1000, 0, DOMID_SELF), 0);
    assert_int_equal(fake_guest_flushes, 6);
    assert_int_equal(ext(MMUEXT_INVLPG_ALL, HYPERVISOR_VIRT_START, 0, DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_INVLPG_LOCAL, 1ull << 60, 0, DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_TLB_FLUSH_MULTI, 0, 0x10, DOMID_SELF), -XEN_EFAULT);
    assert_int_equal(ext(MMUEXT_TLB_FLUSH_ALL, 0, 0, 2), -XEN_EPERM);
    assert_int_equal(fake_guest_flushes, 6);
    assert_int_equal(ext(MMUEXT_FLUSH_CACHE, 0, 0, DOMID_SELF), -XEN_EACCES);
    v = fake_v(0, 0);
    assert_int_equal(ext(MMUEXT_FLUSH_CACHE, 0, 0, DOMID_SELF), 0);
}

static void refusals(void **state)
{
    (void)state;
    setup();
    assert_int_equal(ext(MMUEXT_MARK_SUPER, t.page[0].n, 0, DOMID_SELF), -XEN_EOPNOTSUPP);
    assert_int_equal(ext(MMUEXT_UNMARK_SUPER, t.page[0].n, 0, DOMID_SELF), -XEN_EOPNOTSUPP);
    assert_int_equal(ext(14, 0, 0, DOMID_SELF), -XEN_ENOSYS);
    assert_int_equal(ext(~0u, 0, 0, DOMID_SELF), -XEN_ENOSYS);
    assert_int_equal(mm_mmuext_op(v, fake_va(fake_buffer), ~0u, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(mm_mmuext_op(v, 0x1000, 1, 0, DOMID_SELF), -XEN_EFAULT);
}

static void whole_pages(void **state)
{
    (void)state;
    setup();
    entries(t.page[0])[5] = 99;
    assert_int_equal(ext(MMUEXT_COPY_PAGE, t.page[1].n, t.page[0].n, DOMID_SELF), 0);
    assert_int_equal(entries(t.page[1])[5], 99);
    assert_int_equal(ext(MMUEXT_CLEAR_PAGE, t.page[0].n, 0, DOMID_SELF), 0);
    assert_int_equal(entries(t.page[0])[5], 0);
    assert_int_equal(ext(MMUEXT_PIN_L4_TABLE, t.l[4].n, 0, DOMID_SELF), 0);
    assert_int_equal(ext(MMUEXT_CLEAR_PAGE, t.l[1].n, 0, DOMID_SELF), -XEN_EBUSY);
    assert_int_equal(ext(MMUEXT_COPY_PAGE, t.l[1].n, t.page[0].n, DOMID_SELF), -XEN_EBUSY);
    assert_int_equal(ext(MMUEXT_COPY_PAGE, t.page[0].n, 1, DOMID_SELF), -XEN_EINVAL);
    fake_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pins_are_exact), cmocka_unit_test(pins_by_the_builder),
        cmocka_unit_test(roots_are_held), cmocka_unit_test(flushes),
        cmocka_unit_test(refusals),       cmocka_unit_test(whole_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
