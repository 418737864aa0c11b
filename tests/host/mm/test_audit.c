/* SPDX-License-Identifier: MIT */
/* The audit (audit.c). */
#include "world.h"

static struct tree t;

static void setup(void)
{
    fake_reset(50);
    t = new_tree(fake_d(1), 4);
    assert_int_equal(mm_set_root(fake_v(1, 0), t.l[4], false), 0);
    assert_int_equal(mm_pin(fake_d(1), t.l[4], ROLE_L4), 0);
    assert_int_equal(fake_audit(), 0);
    fake_quiet = true;
}

#define SPOILED(lvalue, value)                                                                     \
    do {                                                                                           \
        __typeof__(lvalue) was_ = (lvalue);                                                        \
        (lvalue) = (value);                                                                        \
        assert_true(fake_audit() > 0);                                                             \
        (lvalue) = was_;                                                                           \
        assert_int_equal(fake_audit(), 0);                                                         \
    } while (0)

/* Each field of a frame's entry made wrong is noticed, and the audit itself changes nothing. */
static void every_lie_is_noticed(void **state)
{
    struct frame *page, *l1, *l4, *free_one;

    (void)state;
    setup();
    page = frame_of(t.page[0]);
    l1 = frame_of(t.l[1]);
    l4 = frame_of(t.l[4]);
    free_one = frame_of(mfn(1));
    SPOILED(page->refs, page->refs + 1);
    /* Every bit of the flags has a meaning; the audit leaves them alone. */
    page->flags |= FRAME_FOREIGN;
    SPOILED(page->refs, page->refs + 1);
    assert_true(page->flags & FRAME_FOREIGN);
    page->flags &= (uint8_t)~FRAME_FOREIGN;
    SPOILED(page->refs, page->refs - 1);
    SPOILED(page->refs, page->refs & ~(uint32_t)REF_OWNED);
    SPOILED(page->owner, 2);
    SPOILED(page->owner, OWNER_HV);
    SPOILED(page->role, page->role + 1);
    SPOILED(page->role, page->role - 1);
    SPOILED(page->role, role_word(ROLE_L1, 1) | ROLE_VALIDATED);
    SPOILED(page->role, page->role | ROLE_BUSY);
    SPOILED(page->role, page->role | ROLE_PINNED);
    SPOILED(l1->role, l1->role & ~ROLE_VALIDATED);
    SPOILED(l1->role, l1->role | ROLE_LOCKED);
    SPOILED(l4->role, l4->role & ~ROLE_PINNED);
    SPOILED(free_one->refs, 1);
    SPOILED(free_one->owner, 1);
    SPOILED(entries(t.l[1])[0], 0);
    SPOILED(entries(t.l[1])[9], pte_make(t.l[1], PAGE_BITS));
    SPOILED(entries(t.l[1])[0], pte_make(t.page[0], PTE_P | PTE_US));
    SPOILED(entries(t.l[2])[0], entries(t.l[2])[0] | PTE_PSE);
    SPOILED(fake_v(1, 0)->kernel_root, MFN_NONE);
    SPOILED(fake_v(1, 0)->gdt[0], t.page[1]);
    SPOILED(fake_d(1)->tot_pages, 1);
    SPOILED(fake_d(1)->tot_pages, 100);
    fake_quiet = false;
}

static void lines_are_bounded(void **state)
{
    (void)state;
    setup();
    for (unsigned i = 1; i < 200; i++)
        frame_of(mfn(i))->refs++;
    fake_errors_logged = 0;
    assert_true(fake_audit() >= 199);
    assert_true(fake_errors_logged <= 17);
    for (unsigned i = 1; i < 200; i++)
        frame_of(mfn(i))->refs--;
    assert_int_equal(fake_audit(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lie_is_noticed),
        cmocka_unit_test(lines_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
