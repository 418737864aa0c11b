/* SPDX-License-Identifier: MIT */
/* Entries and whole tables (pte.c, validate.c). */
#include "world.h"

/* Each bit of a present entry at each level: legal or refused, and what stays of it. */
static void entry_bits_are_a_whitelist(void **state)
{
    (void)state;
    for (unsigned level = 1; level <= 4; level++) {
        for (unsigned bit = 1; bit < 64; bit++) {
            pte_t e = PTE_P | BIT(bit);
            bool address = bit >= 12 && bit < 52;
            bool bad = (address && bit >= env_phys_bits) || (level > 1 && (bit == 7 || bit == 8));

            assert_int_equal(entry_check(&e, level), bad ? -XEN_EINVAL : 0);
            if (bad)
                continue;
            /* Bits of RAM's memory type and GLOBAL go, the user bit comes. */
            assert_int_equal(e, (PTE_P | PTE_US | BIT(bit)) & ~(level == 1 ? PTE_G : 0));
        }
    }
    env_has_nx = false;
    pte_t e = PTE_P | PTE_NX;

    assert_int_equal(entry_check(&e, 1), -XEN_EINVAL);
    env_has_nx = true;
}

static void ram_is_write_back(void **state)
{
    mfn_t m;
    pte_t e;

    (void)state;
    fake_reset(50);
    m = new_frame(fake_d(1));
    e = pte_make(m, PTE_P | PTE_PWT | PTE_PCD | PTE_PAT);
    assert_int_equal(entry_check(&e, 1), 0);
    assert_int_equal(e, pte_make(m, PTE_P | PTE_US));
    e = pte_make(mfn(FAKE_FRAMES - 1), PTE_P | PTE_PCD);
    assert_int_equal(entry_check(&e, 1), 0);
    assert_int_equal(e, pte_make(mfn(FAKE_FRAMES - 1), PTE_P | PTE_PCD | PTE_US));
}

/* A tree with a bad entry at the end of each level in turn: refused, and nothing is held. */
static void failure_leaves_nothing(void **state)
{
    (void)state;
    for (unsigned level = 1; level <= 4; level++) {
        struct tree t;

        fake_reset(50);
        t = new_tree(fake_d(1), 8);
        entries(t.l[level])[511] = pte_make(t.page[0], PTE_P | (level == 1 ? BIT(45) : PTE_PSE));
        assert_int_equal(mm_pin(fake_d(1), t.l[4], ROLE_L4), -XEN_EINVAL);
        for (unsigned i = 1; i <= 4; i++) {
            assert_int_equal(role_count(role_at(t.l[i])), 0);
            assert_int_equal(refs_at(t.l[i]), 1);
        }
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(refs_at(t.page[i]), 1);
        fake_check();
    }
}

static void tables_do_not_refer_to_their_own_level(void **state)
{
    (void)state;
    for (unsigned level = 1; level <= 4; level++) {
        mfn_t m;
        pte_t bits = PTE_P | PTE_RW;

        fake_reset(50);
        m = new_frame(fake_d(1));
        entries(m)[300] = pte_make(m, bits);
        assert_true(mm_pin(fake_d(1), m, (enum frame_role)(ROLE_L1 + level - 1)) < 0);
        assert_int_equal(refs_at(m), 1);
        fake_check();
    }
}

static void the_hypervisors_slots_are_its_own(void **state)
{
    struct tree t;

    (void)state;
    fake_reset(50);
    t = new_tree(fake_d(1), 1);
    for (unsigned i = HV_SLOT_FIRST; i <= HV_SLOT_LAST; i++)
        entries(t.l[4])[i] = ~0ull; /* garbage preset there is not even looked at */
    assert_int_equal(mm_pin(fake_d(1), t.l[4], ROLE_L4), 0);
    for (unsigned i = HV_SLOT_FIRST; i <= HV_SLOT_LAST; i++) {
        assert_int_equal(entries(t.l[4])[i], 0xabc000 | PTE_P | PTE_US);
        assert_int_equal(update(fake_v(1, 0), t.l[4], i, 0), -XEN_EINVAL);
    }
    assert_int_equal(update(fake_v(1, 0), t.l[4], 255, 0), 0);
    assert_int_equal(update(fake_v(1, 0), t.l[4], 272, pte_make(t.l[3], TABLE_BITS)), 0);
    fake_check();
    assert_int_equal(mm_unpin(fake_d(1), t.l[4]), 0);
    for (unsigned i = HV_SLOT_FIRST; i <= HV_SLOT_LAST; i++)
        assert_int_equal(entries(t.l[4])[i], 0);
    fake_check();
}

static void long_work_has_preemption_points(void **state)
{
    mfn_t table, page;

    (void)state;
    fake_reset(50);
    table = new_frame(fake_d(1));
    page = new_frame(fake_d(1));
    for (unsigned i = 0; i < PTE_ENTRIES; i++)
        entries(table)[i] = pte_make(page, PTE_P);
    fake_preemptions = 0;
    assert_int_equal(mm_pin(fake_d(1), table, ROLE_L1), 0);
    assert_true(fake_preemptions >= PTE_ENTRIES / 64 - 1);
    assert_int_equal(refs_at(page), 1 + PTE_ENTRIES);
    fake_preemptions = 0;
    assert_int_equal(mm_unpin(fake_d(1), table), 0);
    assert_true(fake_preemptions >= PTE_ENTRIES / 64 - 1);
    assert_int_equal(refs_at(page), 1);
    fake_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_bits_are_a_whitelist),
        cmocka_unit_test(ram_is_write_back),
        cmocka_unit_test(failure_leaves_nothing),
        cmocka_unit_test(tables_do_not_refer_to_their_own_level),
        cmocka_unit_test(the_hypervisors_slots_are_its_own),
        cmocka_unit_test(long_work_has_preemption_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
