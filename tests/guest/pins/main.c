/* SPDX-License-Identifier: MIT */
/*
 * Invariant 20: pin and unpin are exact.
 *
 * run: smp=2 deadline=90
 */
#include <bare/test.h>

#define STORM 3000

static void exactness(void)
{
    uint64_t t = mm_table(), data = mm_alloc();

    test_eq("20a", "unpin of a table never pinned", test_unpin(t), -XEN_EINVAL);
    test_eq("20a", "unpin of data", test_unpin(data), -XEN_EINVAL);
    test_refused("20a", "unpin of the hypervisor's",
                 hc_mmuext_mfn(MMUEXT_UNPIN_TABLE, test_hypervisor_frame()));
    test_refused("20a", "unpin beyond memory", hc_mmuext_mfn(MMUEXT_UNPIN_TABLE, 1ul << 40));
    for (int level = 1; level <= 4; level++) {
        test_eq("20a", "pin", test_pin(level, t), 0);
        test_eq("20a", "pin again", test_pin(level, t), -XEN_EINVAL);
        for (int other = 1; other <= 4; other++)
            if (other != level)
                test_eq("20a", "pin at another level", test_pin(other, t), -XEN_EINVAL);
        test_eq("20a", "unpin", test_unpin(t), 0);
        test_eq("20a", "unpin again", test_unpin(t), -XEN_EINVAL);
    }
    mm_table_free(t);
    mm_free(data);
}

static long release(uint64_t mfn)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    xen_pfn_t list = mfn;

    set_xen_guest_handle(r.extent_start, &list);
    return hc_memory(XENMEM_decrease_reservation, &r);
}

static void take_another(uint64_t pfn)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    xen_pfn_t list = pfn;

    set_xen_guest_handle(r.extent_start, &list);
    if (hc_memory(XENMEM_populate_physmap, &r) != 1)
        console_panic("no frame to take");
    mm_set_p2m(pfn, list);
}

/*
 * A table in use is given back: refused, or deferred until its last use ends. Until then
 * it is a table, and nothing writable.
 */
static void given_back_in_use(const char *what, uint64_t t, uint64_t holder)
{
    long ret = release(mm_mfn(t)), before;
    uint64_t value = ((uint64_t *)mm_va(t))[0];
    domid_t self = DOMID_SELF;

    test_either("20b", what, ret, 0, 1);
    test_audit("20b");
    test_refused("20b", "not writable", mm_home(t, PTE_RW));
    test_eq("20b", "its content", ((int64_t *)mm_va(t))[0], (int64_t)value);
    /* Once more: it is not given back twice. */
    before = hc_memory(XENMEM_current_reservation, &self);
    release(mm_mfn(t));
    test_eq("20b", "counted once", hc_memory(XENMEM_current_reservation, &self), before);
    test_eq("20b", "its last use ends", test_unpin(holder), 0);
    test_audit("20b");
    if (ret == 1) {
        test_eq("20b", "the last mapping goes", mm_home(t, 0), 0);
        take_another(t);
        test_eq("20b", "another frame in its place", mm_home(t, PTE_RO), 0);
    }
}

static void giving_back(void)
{
    uint64_t t = mm_table(), l2 = mm_alloc();

    test_eq("20b", "pin the table", test_pin(1, t), 0);
    given_back_in_use("a pinned table given back", t, t);
    ((uint64_t *)mm_va(l2))[0] = mm_entry(t, PTE_RW);
    mm_home(l2, PTE_RO);
    test_eq("20b", "pin the parent", test_pin(2, l2), 0);
    given_back_in_use("a referenced table given back", t, l2);
    mm_table_free(t);
    mm_table_free(l2);
}

/* Two vCPUs pin, unpin and reference the same few frames. */
static uint64_t pool[4], parent;
static volatile unsigned int gate;

static unsigned int storm(uint64_t seed)
{
    unsigned int odd = 0;

    __atomic_fetch_add(&gate, 1, __ATOMIC_SEQ_CST);
    while (gate < 2)
        vcpu_yield();
    for (unsigned int i = 0; test_race(i, STORM); i++) {
        uint64_t t = pool[(seed = seed * 6364136223846793005ul + 1) >> 62];
        long ret;

        switch (seed >> 40 & 3) {
        case 0:
            ret = test_pin(1, t);
            break;
        case 1:
            ret = test_unpin(t);
            break;
        case 2:
            ret = mm_set(mm_slot(parent, (seed >> 50) & 3), mm_entry(t, PTE_RW));
            break;
        default:
            ret = mm_set(mm_slot(parent, (seed >> 50) & 3), 0);
        }
        /* Refused because the other was first, or done; never anything else. */
        odd += ret != 0 && ret != -XEN_EINVAL && ret != -XEN_EBUSY;
    }
    return odd;
}

static void second(void *arg)
{
    *(unsigned int *)arg = storm(99);
}

static void storms(void)
{
    unsigned int odd_there = 0, odd_here;

    for (unsigned int i = 0; i < 4; i++)
        pool[i] = mm_table();
    parent = mm_table();
    test_eq("20c", "parent", test_pin(2, parent), 0);
    vcpu_run(1, second, &odd_there);
    odd_here = storm(7);
    vcpu_join(1);
    test_eq("20c", "odd answers", odd_here + odd_there, 0);
    test_audit("20c");
    for (unsigned int i = 0; i < 4; i++) {
        test_unpin(pool[i]);
        mm_set(mm_slot(parent, i), 0);
    }
    test_eq("20c", "unpin the parent", test_unpin(parent), 0);
    for (unsigned int i = 0; i < 4; i++)
        test_eq("20c", "writable at once", mm_home(pool[i], PTE_RW), 0);
    test_eq("20c", "writable at once", mm_home(parent, PTE_RW), 0);
}

int main(void)
{
    test_begin("pins");
    exactness();
    giving_back();
    storms();
    test_end();
}
