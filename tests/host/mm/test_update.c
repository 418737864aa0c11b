/* SPDX-License-Identifier: MIT */
/* Changing entries: mmu_update, update_va_mapping, trapped writes, the machine-to-physical table.
 */
#include "world.h"

static struct tree t;
static struct mm_vcpu *v;

static void setup(void)
{
    fake_reset(200);
    v = fake_v(1, 0);
    t = new_tree(v->d, 4);
    assert_int_equal(mm_set_root(v, t.l[4], false), 0);
}

/* An update that must be refused and change nothing. */
static void refused(mfn_t table, unsigned index, pte_t value, int error)
{
    pte_t before = entries(table)[index];

    assert_int_equal(update(v, table, index, value), error);
    assert_int_equal(entries(table)[index], before);
    fake_check();
}

static void loads_a_root(void **state)
{
    (void)state;
    setup();
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(role_of(role_at(t.l[i])), ROLE_L1 + i - 1);
        assert_int_equal(role_count(role_at(t.l[i])), 1);
    }
    assert_int_equal(refs_at(t.page[0]), 2);
    assert_true(mfn_eq(fake_touch(v, 0x1000, true, 7), t.page[1]));
    fake_check();
}

static void flags_change_in_place(void **state)
{
    (void)state;
    setup();
    assert_int_equal(update(v, t.l[1], 0, pte_make(t.page[0], PTE_P | PTE_US)), 0);
    assert_int_equal(role_count(role_at(t.page[0])), 0);
    assert_int_equal(refs_at(t.page[0]), 2);
    fake_check();
    assert_int_equal(update(v, t.l[1], 0, pte_make(t.page[0], PAGE_BITS)), 0);
    assert_int_equal(role_count(role_at(t.page[0])), 1);
    assert_int_equal(refs_at(t.page[0]), 2);
    fake_check();
    assert_int_equal(update(v, t.l[1], 0, 0), 0);
    assert_int_equal(refs_at(t.page[0]), 1);
    fake_check();
}

static void tables_are_never_mapped_writable(void **state)
{
    (void)state;
    setup();
    for (unsigned i = 1; i <= 4; i++) {
        refused(t.l[1], 9, pte_make(t.l[i], PAGE_BITS), -XEN_EBUSY);
        assert_int_equal(update(v, t.l[1], 9, pte_make(t.l[i], PTE_P | PTE_US)), 0);
        refused(t.l[1], 9, pte_make(t.l[i], PAGE_BITS), -XEN_EBUSY); /* only the bit flips */
    }
}

static void only_own_frames(void **state)
{
    mfn_t foreign;

    (void)state;
    setup();
    foreign = new_frame(fake_d(2));
    refused(t.l[1], 9, pte_make(foreign, PTE_P), -XEN_EINVAL);
    refused(t.l[1], 9, pte_make(mfn(1), PTE_P), -XEN_EINVAL); /* the allocator's */
    refused(t.l[1], 9, pte_make(mfn(FAKE_FRAMES - 1), PTE_P), -XEN_EPERM);
    refused(t.l[1], 9, pte_make(mfn(BIT(28) - 1), PTE_P), -XEN_EPERM);
    refused(t.l[1], 9, pte_make(mfn(BIT(40) - 1), PTE_P), -XEN_EINVAL);
    refused(t.l[2], 9, pte_make(foreign, PTE_P), -XEN_EINVAL);
    refused(t.l[2], 9, pte_make(mfn(FAKE_FRAMES - 1), PTE_P), -XEN_EINVAL);
    refused(t.l[2], 0, pte_make(t.l[1], TABLE_BITS | PTE_PSE), -XEN_EINVAL);
    refused(t.l[2], 9, pte_make(t.l[2], TABLE_BITS), -XEN_EBUSY);
    refused(t.l[2], 9, pte_make(t.l[3], TABLE_BITS), -XEN_EBUSY);
    assert_int_equal(update(v, foreign, 0, 5), -XEN_EINVAL);
    assert_int_equal(entries(foreign)[0], 0);
}

static void upper_entries_take_and_release_tables(void **state)
{
    mfn_t fresh;

    (void)state;
    setup();
    fresh = new_frame(v->d);
    assert_int_equal(update(v, t.l[2], 1, pte_make(fresh, TABLE_BITS)), 0);
    assert_int_equal(role_at(fresh), role_word(ROLE_L1, 1) | ROLE_VALIDATED);
    assert_int_equal(update(v, t.l[2], 0, pte_make(fresh, TABLE_BITS)), 0);
    assert_int_equal(role_count(role_at(t.l[1])), 0);
    assert_int_equal(refs_at(t.page[0]), 1);
    fake_check();
    assert_int_equal(update(v, t.l[2], 0, 0), 0);
    assert_int_equal(update(v, t.l[2], 1, 0), 0);
    assert_int_equal(role_count(role_at(fresh)), 0);
    fake_check();
}

static void plain_frames_are_plain_stores(void **state)
{
    (void)state;
    setup();
    assert_int_equal(update(v, t.page[0], 3, 0x123456789abcdef0ull), 0);
    assert_int_equal(entries(t.page[0])[3], 0x123456789abcdef0ull);
    fake_check();
}

static void accessed_and_dirty_are_kept_when_asked(void **state)
{
    struct mmu_update *r = (void *)fake_buffer;

    (void)state;
    setup();
    entries(t.l[1])[0] |= PTE_A | PTE_D;
    r->ptr = (mfn_to_maddr(t.l[1]).a) | MMU_PT_UPDATE_PRESERVE_AD;
    r->val = pte_make(t.page[0], PTE_P | PTE_RW);
    assert_int_equal(mm_mmu_update(v, fake_va(r), 1, 0, DOMID_SELF), 0);
    assert_int_equal(entries(t.l[1])[0],
                     pte_make(t.page[0], PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D));
    assert_int_equal(update(v, t.l[1], 0, pte_make(t.page[0], PTE_P | PTE_RW)), 0);
    assert_int_equal(entries(t.l[1])[0], pte_make(t.page[0], PTE_P | PTE_RW | PTE_US));
    fake_check();
}

static void batches_say_how_far_they_came(void **state)
{
    struct mmu_update *r = (void *)fake_buffer;
    unsigned *done = (void *)(fake_buffer + 32768);

    (void)state;
    setup();
    for (unsigned i = 0; i < 40; i++) {
        r[i].ptr = mfn_to_maddr(t.l[1]).a + 8 * (100 + i);
        r[i].val = pte_make(t.page[0], PTE_P);
    }
    r[33].val = pte_make(t.l[1], PAGE_BITS);
    assert_int_equal(mm_mmu_update(v, fake_va(r), 40, fake_va(done), DOMID_SELF), -XEN_EBUSY);
    assert_int_equal(*done, 33);
    assert_int_equal(refs_at(t.page[0]), 2 + 33);
    fake_check();
    /* An array that ends in nowhere: what is readable is done. */
    r[33].val = 0;
    fake_buffer_end = 35 * sizeof(*r) + 4;
    assert_int_equal(mm_mmu_update(v, fake_va(r), 40, 0, DOMID_SELF), -XEN_EFAULT);
    assert_int_equal(entries(t.l[1])[134], pte_make(t.page[0], PTE_P | PTE_US));
    assert_int_equal(entries(t.l[1])[135], 0);
    fake_buffer_end = FAKE_BUFFER;
    assert_int_equal(mm_mmu_update(v, fake_va(r), ~0u, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(mm_mmu_update(v, 0xffff800000000000ull, 1, 0, DOMID_SELF), -XEN_EFAULT);
    r->ptr = mfn_to_maddr(t.l[1]).a + 4;
    assert_int_equal(mm_mmu_update(v, fake_va(r), 1, 0, DOMID_SELF), -XEN_EINVAL);
    fake_check();
}

static void foreign_frames_need_authority(void **state)
{
    struct mmu_update *r = (void *)fake_buffer;
    struct mm_vcpu *zero = fake_v(0, 0);
    struct tree own;

    (void)state;
    setup();
    own = new_tree(fake_d(0), 1);
    assert_int_equal(mm_set_root(zero, own.l[4], false), 0);
    r->ptr = mfn_to_maddr(own.l[1]).a + 8;
    r->val = pte_make(t.page[0], PAGE_BITS);
    assert_int_equal(mm_mmu_update(zero, fake_va(r), 1, 0, 2), -XEN_EINVAL); /* not domain 2's */
    assert_int_equal(mm_mmu_update(zero, fake_va(r), 1, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(mm_mmu_update(zero, fake_va(r), 1, 0, DOMID_IO), -XEN_EINVAL);
    assert_int_equal(mm_mmu_update(zero, fake_va(r), 1, 0, 7), -XEN_ESRCH);
    assert_int_equal(mm_mmu_update(zero, fake_va(r), 1, 0, 1), 0);
    assert_int_equal(refs_at(t.page[0]), 3);
    fake_check();
    r->val = pte_make(t.l[1], PAGE_BITS); /* no authority makes a table writable */
    assert_int_equal(mm_mmu_update(zero, fake_va(r), 1, 0, 1), -XEN_EBUSY);
    r->ptr = mfn_to_maddr(own.l[2]).a + 8;
    r->val = pte_make(t.l[1], TABLE_BITS); /* nor refers to a foreign one */
    assert_int_equal(mm_mmu_update(zero, fake_va(r), 1, 0, 1), -XEN_EINVAL);
    /* The tables' owner named in the high half. */
    r->ptr = mfn_to_maddr(t.l[1]).a + 8 * 20;
    r->val = pte_make(t.page[1], PTE_P);
    assert_int_equal(mm_mmu_update(zero, fake_va(r), 1, 0, 1 | 2u << 16), 0);
    assert_int_equal(mm_mmu_update(fake_v(2, 0), fake_va(r), 1, 0, 1 | 2u << 16), -XEN_EPERM);
    assert_int_equal(mm_mmu_update(fake_v(2, 0), fake_va(r), 1, 0, 9), -XEN_EPERM);
    fake_check();
}

static void io_memory_by_permission(void **state)
{
    mfn_t io = mfn(FAKE_FRAMES - 2);

    (void)state;
    setup();
    refused(t.l[1], 9, pte_make(io, PAGE_BITS), -XEN_EPERM);
    fake_io_access[1] = ENV_IOMEM_READ_ONLY;
    assert_int_equal(update(v, t.l[1], 9, pte_make(io, PAGE_BITS)), 0);
    assert_int_equal(entries(t.l[1])[9] & PTE_RW, 0);
    assert_int_equal(update(v, t.l[1], 9, pte_make(io, PAGE_BITS)), 0);
    assert_int_equal(entries(t.l[1])[9] & PTE_RW, 0);
    fake_io_access[1] = ENV_IOMEM_FULL;
    assert_int_equal(update(v, t.l[1], 9, pte_make(io, PAGE_BITS | PTE_PCD)), 0);
    assert_int_equal(entries(t.l[1])[9], pte_make(io, PAGE_BITS | PTE_PCD));
    fake_check();
}

static void by_address(void **state)
{
    uint64_t *map = (void *)fake_buffer;

    (void)state;
    setup();
    assert_int_equal(mm_update_va_mapping(v, 0x2000, pte_make(t.page[0], PTE_P), 0, DOMID_SELF), 0);
    assert_int_equal(entries(t.l[1])[2], pte_make(t.page[0], PTE_P | PTE_US));
    assert_int_equal(fake_guest_flushes, 0);
    assert_int_equal(mm_update_va_mapping(v, 0x2000, 0, UVMF_INVLPG | UVMF_ALL, DOMID_SELF), 0);
    assert_int_equal(fake_guest_flushes, 1);
    *map = 3;
    assert_int_equal(mm_update_va_mapping(v, 0x2000, 0, UVMF_TLB_FLUSH | fake_va(map), DOMID_SELF),
                     0);
    assert_int_equal(fake_guest_flushes, 2);
    assert_int_equal(mm_update_va_mapping(v, 0x2000, 0, UVMF_TLB_FLUSH | 0x7000, DOMID_SELF),
                     -XEN_EFAULT);
    /* Failed updates flush nothing. */
    assert_int_equal(mm_update_va_mapping(v, 0x2000, pte_make(t.l[1], PAGE_BITS),
                                          UVMF_INVLPG | UVMF_ALL, DOMID_SELF),
                     -XEN_EBUSY);
    assert_int_equal(mm_update_va_mapping(v, 1ull << 30, 0, UVMF_INVLPG, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(mm_update_va_mapping(v, HYPERVISOR_VIRT_START, 0, UVMF_INVLPG, DOMID_SELF),
                     -XEN_EINVAL);
    assert_int_equal(mm_update_va_mapping(v, 1ull << 50, 0, UVMF_INVLPG, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(fake_guest_flushes, 2);
    fake_check();
}

static int trapped_write(struct mm_vcpu *v, uint64_t va, uint64_t *expected, uint64_t value,
                         bool compare)
{
    struct frame *table = mm_trapped_table(v, va);
    return table ? mm_trapped_write(v, table, va, expected, value, compare) : -XEN_EINVAL;
}

static void trapped_stores(void **state)
{
    uint64_t expected;

    (void)state;
    setup();
    assert_int_equal(update(v, t.l[1], 8, pte_make(t.l[1], PTE_P)), 0);
    assert_int_equal(update(v, t.l[1], 9, pte_make(t.l[2], PTE_P)), 0);
    assert_int_equal(trapped_write(v, 0x8000 + 8 * 20, NULL, pte_make(t.page[0], PTE_P), false), 0);
    assert_int_equal(entries(t.l[1])[20], pte_make(t.page[0], PTE_P | PTE_US));
    expected = 0;
    assert_int_equal(trapped_write(v, 0x8000 + 8 * 20, &expected, 0, true), 1);
    assert_int_equal(expected, pte_make(t.page[0], PTE_P | PTE_US));
    assert_int_equal(trapped_write(v, 0x8000 + 8 * 20, &expected, 0, true), 0);
    assert_int_equal(entries(t.l[1])[20], 0);
    assert_int_equal(trapped_write(v, 0x8000 + 8 * 20 + 4, NULL, 0, false), -XEN_EINVAL);
    assert_int_equal(trapped_write(v, 0x9000, NULL, 0, false), -XEN_EINVAL); /* level 2 */
    assert_int_equal(trapped_write(v, 0x0, NULL, 0, false), -XEN_EINVAL);    /* plain data */
    assert_int_equal(trapped_write(v, 0x40000, NULL, 0, false), -XEN_EINVAL);
    assert_int_equal(trapped_write(v, HYPERVISOR_VIRT_START, NULL, 0, false), -XEN_EINVAL);
    assert_int_equal(trapped_write(v, 0x8000 + 8 * 20, NULL, pte_make(t.l[1], PAGE_BITS), false),
                     -XEN_EINVAL);
    fake_check();
}

static void machine_to_physical(void **state)
{
    struct mmu_update *r = (void *)fake_buffer;

    (void)state;
    setup();
    r->ptr = (mfn_to_maddr(t.page[0]).a + 0x128) | MMU_MACHPHYS_UPDATE;
    r->val = ~0ull - 1;
    assert_int_equal(mm_mmu_update(v, fake_va(r), 1, 0, DOMID_SELF), 0);
    assert_int_equal(m2p_table[t.page[0].n], ~0ull - 1);
    assert_int_equal(mm_mmu_update(fake_v(2, 0), fake_va(r), 1, 0, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(mm_mmu_update(fake_v(0, 0), fake_va(r), 1, 0, 1), 0);
    r->ptr = mfn_to_maddr(mfn(BIT(50))).a | MMU_MACHPHYS_UPDATE;
    assert_int_equal(mm_mmu_update(v, fake_va(r), 1, 0, DOMID_SELF), -XEN_EINVAL);
    fake_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_a_root),
        cmocka_unit_test(flags_change_in_place),
        cmocka_unit_test(tables_are_never_mapped_writable),
        cmocka_unit_test(only_own_frames),
        cmocka_unit_test(upper_entries_take_and_release_tables),
        cmocka_unit_test(plain_frames_are_plain_stores),
        cmocka_unit_test(accessed_and_dirty_are_kept_when_asked),
        cmocka_unit_test(batches_say_how_far_they_came),
        cmocka_unit_test(foreign_frames_need_authority),
        cmocka_unit_test(io_memory_by_permission),
        cmocka_unit_test(by_address),
        cmocka_unit_test(trapped_stores),
        cmocka_unit_test(machine_to_physical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
