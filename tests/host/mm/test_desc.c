/* SPDX-License-Identifier: MIT */
/* Descriptor tables (desc.c). */
#include "world.h"

static struct mm_vcpu *v;
static mfn_t page;

#define DATA 0x00cf93000000ffffull
#define CODE 0x00af9b000000ffffull

static void setup(void)
{
    fake_reset(50);
    v = fake_v(1, 0);
    page = new_frame(v->d);
}

static void harmless_ones(void **state)
{
    uint64_t d = DATA;

    (void)state;
    assert_true(mm_descriptor_check(&d));
    assert_int_equal(d, DATA | 3ull << 45);
    d = CODE;
    assert_true(mm_descriptor_check(&d));
    d = CODE | BIT(54); /* long and default */
    assert_false(mm_descriptor_check(&d));
    for (unsigned type = 0; type < 16; type++) {
        d = (uint64_t)type << 40 | BIT(47); /* every system type, present */
        assert_false(mm_descriptor_check(&d));
        d &= ~BIT(47);
        assert_true(mm_descriptor_check(&d));
    }
    for (unsigned type = 0; type < 16; type++) {
        d = (uint64_t)type << 40 | BIT(47) | BIT(44);
        assert_true(mm_descriptor_check(&d));
        assert_int_equal(d >> 45 & 3, 3);
    }
}

static void gdt_all_or_nothing(void **state)
{
    uint64_t list[MM_GDT_FRAMES] = {0};
    mfn_t bad;

    (void)state;
    setup();
    bad = new_frame(v->d);
    entries(page)[2] = DATA;
    entries(bad)[511] = BIT(47) | 9ull << 40; /* a task state */
    list[0] = page.n;
    list[1] = bad.n;
    assert_int_equal(mm_set_gdt(v, list, 16), 0);
    assert_int_equal(entries(page)[2], DATA | 3ull << 45);
    assert_int_equal(mm_set_gdt(v, list, 513), -XEN_EINVAL);
    assert_true(mfn_eq(v->gdt[0], page));
    assert_true(mfn_eq(v->gdt[1], MFN_NONE));
    assert_int_equal(v->gdt_entries, 16);
    assert_int_equal(mm_set_gdt(v, list, MM_GDT_FRAMES * 512 + 1), -XEN_EINVAL);
    assert_int_equal(mm_hold_writable(v->d, page), -XEN_EBUSY);
    assert_int_equal(mm_pin(v->d, page, ROLE_L1), -XEN_EBUSY);
    fake_check();
    assert_int_equal(mm_set_gdt(fake_v(1, 1), list, 16), 0); /* the same for another vCPU */
    assert_int_equal(role_count(role_at(page)), 2);
    assert_int_equal(mm_set_gdt(v, NULL, 0), 0);
    assert_int_equal(mm_set_gdt(fake_v(1, 1), NULL, 0), 0);
    assert_int_equal(refs_at(page), 1);
    fake_check();
}

static void single_descriptors(void **state)
{
    uint64_t at, list[1];

    (void)state;
    setup();
    at = mfn_to_maddr(page).a + 8 * 3;
    list[0] = page.n;
    assert_int_equal(mm_update_descriptor(v->d, at, DATA), 0); /* of plain data */
    assert_int_equal(entries(page)[3], DATA | 3ull << 45);
    assert_int_equal(mm_set_gdt(v, list, 512), 0);
    assert_int_equal(mm_update_descriptor(v->d, at, CODE), 0);
    assert_int_equal(entries(page)[3], CODE | 3ull << 45);
    assert_int_equal(mm_update_descriptor(v->d, at + 4, CODE), -XEN_EINVAL);
    assert_int_equal(mm_update_descriptor(v->d, at, BIT(47)), -XEN_EINVAL);
    assert_int_equal(mm_update_descriptor(fake_d(2), at, CODE), -XEN_EINVAL);
    assert_int_equal(mm_update_descriptor(v->d, 1ull << 60, CODE), -XEN_EINVAL);
    fake_check();
}

static void ldt_by_the_limit(void **state)
{
    struct tree t;

    (void)state;
    setup();
    t = new_tree(v->d, 2);
    entries(t.l[1])[4] = pte_make(page, PTE_P);
    assert_int_equal(mm_set_root(v, t.l[4], false), 0);
    assert_int_equal(mm_set_ldt(v, 0x4000, 8193), -XEN_EINVAL);
    assert_int_equal(mm_set_ldt(v, 0x4008, 8), -XEN_EINVAL);
    assert_int_equal(mm_set_ldt(v, HYPERVISOR_VIRT_START, 8), -XEN_EINVAL);
    assert_int_equal(mm_set_ldt(v, 0x00007ffffffff000ull, 600), -XEN_EINVAL);
    assert_int_equal(mm_set_ldt(v, 0x4000, 0), 0);
    assert_true(mfn_eq(mm_ldt_page(v, 0), MFN_NONE));
    assert_int_equal(mm_set_ldt(v, 0x4000, 1024), 0);
    assert_true(mfn_eq(mm_ldt_page(v, 0), page));
    assert_true(mfn_eq(mm_ldt_page(v, 0), page));
    assert_int_equal(role_count(role_at(page)), 1);
    assert_true(mfn_eq(mm_ldt_page(v, 1), MFN_NONE)); /* not mapped */
    assert_true(mfn_eq(mm_ldt_page(v, 2), MFN_NONE)); /* beyond the limit */
    assert_true(mfn_eq(mm_ldt_page(v, 99), MFN_NONE));
    fake_check();
    mm_ldt_drop(v);
    assert_int_equal(role_count(role_at(page)), 0);
    assert_int_equal(mm_set_ldt(v, 0x0, 8), 0);
    assert_true(mfn_eq(mm_ldt_page(v, 0), MFN_NONE)); /* mapped writable */
    fake_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmless_ones),
        cmocka_unit_test(gdt_all_or_nothing),
        cmocka_unit_test(single_descriptors),
        cmocka_unit_test(ldt_by_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
