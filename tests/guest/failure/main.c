/* SPDX-License-Identifier: MIT */
/*
 * Invariant 7: failure is honest and clean.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>

#define WINDOW 0xffff890000000000ul

/* mmu_update: an invalid element k of 6. */
static void updates(void)
{
    uint64_t t = mm_table(), data = mm_alloc();

    test_eq("7a", "a table", test_pin(1, t), 0);
    for (unsigned int k = 0; k < 6; k++) {
        struct mmu_update reqs[6];
        unsigned int done = 77, set = 0;
        long ret;

        for (unsigned int i = 0; i < 6; i++)
            reqs[i] = (struct mmu_update){mm_slot(t, i), mm_entry(data, PTE_RO)};
        reqs[k].val = mm_entry(mm_root(), PTE_RW);
        ret = hc_mmu_update(reqs, 6, &done, DOMID_SELF);
        test_refused("7a", "writable root as element k", ret);
        test_eq("7a", "done", done, k);
        for (unsigned int i = 0; i < 512; i++)
            set += ((uint64_t *)mm_va(t))[i] != 0;
        test_eq("7a", "entries set", set, k);
        for (unsigned int i = 0; i < 6; i++)
            mm_set(mm_slot(t, i), 0);
    }
    test_eq("7a", "unpin", test_unpin(t), 0);
    mm_table_free(t);
    mm_free(data);
}

/* mmuext_op: pins, the k-th invalid. */
static void extended(void)
{
    uint64_t t[4], data = mm_alloc();

    for (unsigned int i = 0; i < 4; i++)
        t[i] = mm_table();
    for (unsigned int k = 0; k < 4; k++) {
        struct mmuext_op ops[4];
        unsigned int done = 77;

        for (unsigned int i = 0; i < 4; i++)
            ops[i] = (struct mmuext_op){.cmd = MMUEXT_PIN_L1_TABLE, .arg1.mfn = mm_mfn(t[i])};
        ops[k].arg1.mfn = mm_mfn(data);
        test_refused("7b", "data as element k", hc_mmuext(ops, 4, &done, DOMID_SELF));
        test_eq("7b", "done", done, k);
        for (unsigned int i = 0; i < 4; i++)
            test_eq("7b", "pinned or not", test_unpin(t[i]), i < k ? 0 : -XEN_EINVAL);
    }
    for (unsigned int i = 0; i < 4; i++)
        mm_table_free(t[i]);
    mm_free(data);
}

/* Validation that fails late leaves no reference behind, at each level. */
static void late_failures(void)
{
    for (int level = 1; level <= 4; level++) {
        uint64_t t = mm_alloc(), below = mm_alloc(), *p = mm_va(t);

        if (level > 1)
            mm_home(below, PTE_RO);
        for (unsigned int i = 0; i < 511; i++)
            p[i] = level == 4 && i >= 256 ? 0 : mm_entry(below, PTE_RW);
        p[511] = mm_entry(mm_root(), PTE_RW);
        mm_home(t, PTE_RO);
        test_refused("7c", "the last entry is invalid", test_pin(level, t));
        test_audit("7c");
        test_eq("7c", "the table is data again", mm_home(t, PTE_RW), 0);
        test_eq("7c", "what it named has no role",
                level > 1 ? mm_home(below, PTE_RW) : mm_home(below, PTE_RO), 0);
        mm_home(below, PTE_RW);
        mm_free(t);
        mm_free(below);
    }
}

/* Lists of frames: the count is the number done. */
static void reservations(void)
{
    for (unsigned int k = 0; k < 4; k++) {
        struct xen_memory_reservation r = {.nr_extents = 4, .domid = DOMID_SELF};
        uint64_t pfn[4];
        xen_pfn_t list[4];

        for (unsigned int i = 0; i < 4; i++) {
            pfn[i] = mm_alloc();
            mm_home(pfn[i], 0);
            list[i] = mm_mfn(pfn[i]);
        }
        list[k] = test_hypervisor_frame();
        set_xen_guest_handle(r.extent_start, list);
        test_eq("7d", "frames given back before the k-th",
                hc_memory(XENMEM_decrease_reservation, &r), k);
        for (unsigned int i = 0; i < 4; i++)
            list[i] = pfn[i];
        r.nr_extents = k;
        test_eq("7d", "and taken again", hc_memory(XENMEM_populate_physmap, &r), k);
        for (unsigned int i = 0; i < 4; i++) {
            if (i < k)
                mm_set_p2m(pfn[i], list[i]);
            test_eq("7d", "mapped again", mm_home(pfn[i], PTE_RW), 0);
            mm_free(pfn[i]);
        }
    }
}

/* Failing to bind does not tear down an older binding. */
static volatile unsigned int ticks;

static void tick(unsigned int port)
{
    (void)port;
    ticks++;
}

static void bindings(void)
{
    struct vcpu_set_singleshot_timer once = {0};
    long port = event_bind_virq(VIRQ_TIMER, 0);
    uint64_t until;

    test_true("7e", "timer port", port > 0);
    event_set_handler((unsigned int)port, tick);
    test_eq("7e", "bound twice", event_bind_virq(VIRQ_TIMER, 0), -XEN_EEXIST);
    test_refused("7e", "on a vCPU that is not", event_bind_virq(VIRQ_TIMER, 77));
    test_refused("7e", "no such interrupt", event_bind_virq(24, 0));
    once.timeout_abs_ns = event_now() + 1000000;
    test_eq("7e", "set", hc_vcpu(VCPUOP_set_singleshot_timer, 0, &once), 0);
    until = event_now() + 30000000000;
    while (!ticks && event_now() < until)
        vcpu_yield();
    test_eq("7e", "the first binding delivers", ticks, 1);
    test_eq("7e", "close", event_close((unsigned int)port), 0);
    test_eq("7e", "close twice", event_close((unsigned int)port), -XEN_EINVAL);
    port = event_bind_virq(VIRQ_TIMER, 0);
    test_true("7e", "bound afresh", port > 0);
    event_close((unsigned int)port);
}

/* update_va and a refused entry: nothing changes at the address. */
static void single_update(void)
{
    uint64_t data = mm_alloc(), value;

    test_eq("7f", "map", hc_update_va(WINDOW, mm_entry(data, PTE_RW), UVMF_INVLPG), 0);
    test_refused("7f", "replace by the root",
                 hc_update_va(WINDOW, mm_entry(mm_root(), PTE_RW), UVMF_TLB_FLUSH | UVMF_ALL));
    test_eq("7f", "still there", trap_write(WINDOW, 42), -1);
    mm_walk(mm_root(), WINDOW, 1, &value);
    test_true("7f", "the same entry", test_same_entry(value, mm_entry(data, PTE_RW)));
    test_eq("7f", "no table on the path", hc_update_va(0x7f0000000000, mm_entry(data, PTE_RW), 0),
            -XEN_EINVAL);
    test_eq("7f", "unmap", hc_update_va(WINDOW, 0, UVMF_INVLPG), 0);
    mm_free(data);
}

int main(void)
{
    test_begin("failure");
    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    updates();
    extended();
    late_failures();
    reservations();
    bindings();
    single_update();
    test_end();
}
