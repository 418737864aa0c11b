/* SPDX-License-Identifier: MIT */
/* The amount of memory (reserve.c, m2p.c). */
#include "world.h"

static struct mm_vcpu *v;

static long reserve(unsigned cmd, uint64_t extents, unsigned order, unsigned flags, unsigned domid)
{
    struct xen_memory_reservation *r = (void *)fake_buffer;

    r->extent_start.p = (void *)(fake_buffer + 4096);
    r->nr_extents = extents;
    r->extent_order = order;
    r->mem_flags = flags;
    r->domid = (domid_t)domid;
    return mm_memory_op(v, cmd, fake_va(r));
}

static xen_pfn_t *list(void)
{
    return (void *)(fake_buffer + 4096);
}

static void populate_and_decrease(void **state)
{
    (void)state;
    fake_reset(20);
    v = fake_v(1, 0);
    for (unsigned i = 0; i < 5; i++)
        list()[i] = 100 + 4 * i;
    assert_int_equal(reserve(XENMEM_populate_physmap, 5, 2, 0, DOMID_SELF), 5);
    assert_int_equal(v->d->tot_pages, 20);
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned k = 0; k < 4; k++)
            assert_int_equal(m2p_table[list()[i] + k], 100 + 4 * i + k);
    }
    assert_int_equal(v->d->max_gfn, 120);
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, 0, DOMID_SELF), 0); /* the maximum */
    assert_int_equal(reserve(XENMEM_decrease_reservation, 5, 2, 0, DOMID_SELF), 5);
    assert_int_equal(v->d->tot_pages, 0);
    assert_int_equal(m2p_table[list()[0]], M2P_INVALID);
    assert_int_equal(reserve(XENMEM_decrease_reservation, 5, 2, 0, DOMID_SELF), 0); /* twice */
    fake_check();
}

static void extents_done_are_told_truly(void **state)
{
    (void)state;
    fake_reset(7);
    v = fake_v(1, 0);
    assert_int_equal(reserve(XENMEM_increase_reservation, 9, 0, 0, DOMID_SELF), 7);
    list()[3] = 1; /* not ours */
    assert_int_equal(reserve(XENMEM_decrease_reservation, 7, 0, 0, DOMID_SELF), 3);
    assert_int_equal(v->d->tot_pages, 4);
    fake_check();
}

static void bounds(void **state)
{
    (void)state;
    fake_reset(20);
    v = fake_v(1, 0);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 10, 0, DOMID_SELF), 0);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 64, 0, DOMID_SELF), 0);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, ~0u, 0, DOMID_SELF), 0);
    assert_int_equal(reserve(XENMEM_increase_reservation, ~0ull, 0, 0, DOMID_SELF), 0);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, 1, DOMID_SELF), 0);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, 255, DOMID_SELF), 1);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, XENMEMF_node(77), DOMID_SELF), 1);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, 0, 2), -XEN_EPERM);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, 0, 9), -XEN_EPERM);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, 0, DOMID_IO), -XEN_EPERM);
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, XENMEMF_populate_on_demand, DOMID_SELF),
                     -XEN_EOPNOTSUPP);
    assert_int_equal(reserve(1000, 1, 0, 0, DOMID_SELF), -XEN_ENOSYS);
    assert_int_equal(reserve(XENMEM_increase_reservation | 64, 1, 0, 0, DOMID_SELF), -XEN_ENOSYS);
    fake_exhaust();
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, 0, DOMID_SELF), 0);
    fake_unexhaust();
    assert_int_equal(v->d->tot_pages, 2);
    v = fake_v(0, 0);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, 0, 1), 1);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, 0, 9), -XEN_ESRCH);
    fake_check();
}

static void unwritable_lists_cost_nothing(void **state)
{
    (void)state;
    fake_reset(20);
    v = fake_v(1, 0);
    fake_buffer_end = 4096 + 16; /* two numbers */
    list()[0] = 1;
    assert_int_equal(reserve(XENMEM_increase_reservation, 5, 0, 0, DOMID_SELF), 2);
    assert_int_equal(v->d->tot_pages, 2);
    assert_int_equal(reserve(XENMEM_populate_physmap, 5, 0, 0, DOMID_SELF), 2);
    assert_int_equal(v->d->tot_pages, 4);
    fake_check();
}

static void pinned_frames_stay_used_ones_linger(void **state)
{
    struct tree t;

    (void)state;
    fake_reset(20);
    v = fake_v(1, 0);
    t = new_tree(v->d, 1);
    assert_int_equal(mm_set_root(v, t.l[4], false), 0);
    assert_int_equal(mm_pin(v->d, t.l[1], ROLE_L1), 0);
    list()[0] = t.l[1].n;
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, 0, DOMID_SELF), 0);
    list()[0] = t.page[0].n;
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, 0, DOMID_SELF), 1);
    assert_int_equal(v->d->tot_pages, 5); /* still mapped: still charged */
    assert_int_equal(update(v, t.l[1], 0, 0), 0);
    assert_int_equal(v->d->tot_pages, 4);
    fake_check();
}

static void questions(void **state)
{
    domid_t *id = (void *)fake_buffer;
    struct xen_machphys_mapping *map = (void *)fake_buffer;
    struct xen_machphys_mfn_list *parts = (void *)fake_buffer;
    xen_pfn_t *first = (void *)(parts + 1);

    (void)state;
    fake_reset(20);
    v = fake_v(1, 0);
    (void)new_frame(v->d);
    *id = DOMID_SELF;
    assert_int_equal(mm_memory_op(v, XENMEM_current_reservation, fake_va(id)), 1);
    assert_int_equal(mm_memory_op(v, XENMEM_maximum_reservation, fake_va(id)), 20);
    assert_int_equal(mm_memory_op(v, XENMEM_maximum_gpfn, fake_va(id)), 0); /* none yet */
    *id = 2;
    assert_int_equal(mm_memory_op(v, XENMEM_current_reservation, fake_va(id)), -XEN_EPERM);
    assert_int_equal(mm_memory_op(fake_v(0, 0), XENMEM_current_reservation, fake_va(id)), 0);
    assert_int_equal(mm_memory_op(v, XENMEM_maximum_ram_page, 0), FAKE_FRAMES - 1);
    assert_int_equal(mm_memory_op(v, XENMEM_machphys_mapping, fake_va(map)), 0);
    assert_int_equal(map->v_start, MACH2PHYS_VIRT_START);
    assert_int_equal(map->max_mfn, FAKE_FRAMES - 1);
    assert_int_equal(mm_memory_op(v, XENMEM_machphys_mapping, 0x10), -XEN_EFAULT);
    assert_int_equal(mm_memory_op(v, XENMEM_machphys_mfn_list, fake_va(map)), -XEN_EPERM);
    *parts = (struct xen_machphys_mfn_list){.max_extents = 3};
    parts->extent_start.p = (void *)fake_va(first);
    assert_int_equal(mm_memory_op(fake_v(0, 0), XENMEM_machphys_mfn_list, fake_va(parts)), 0);
    assert_int_equal(parts->nr_extents, 1);
    assert_int_equal(*first, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(populate_and_decrease),
        cmocka_unit_test(extents_done_are_told_truly),
        cmocka_unit_test(bounds),
        cmocka_unit_test(unwritable_lists_cost_nothing),
        cmocka_unit_test(pinned_frames_stay_used_ones_linger),
        cmocka_unit_test(questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
