/* SPDX-License-Identifier: MIT */
/*
 * Invariant 11: work is bounded.
 *
 * The largest batches of each kind run while a timer event comes every millisecond; the
 * longest time between two of them is the gap. Time is counted in instructions, at 4 ns
 * each, so that the host's own load does not judge; the bound is about three times what is needed.
 *
 * run: smp=2 icount=2 deadline=180 mem=512M dom0_mem=128M
 */
#include <abi/pal.h>
#include <bare/test.h>

#define BATCH 65536
#define BOUND 1000000000ul /* ns */

static volatile uint64_t last, gap;

static void beat(unsigned int port)
{
    uint64_t now = event_now();

    (void)port;
    if (now - last > gap)
        gap = now - last;
    last = now;
}

static void begin(void)
{
    last = event_now();
    gap = 0;
}

static void end(const char *what)
{
    uint64_t since = last, now = event_now(); /* in this order: a beat may come in between */

    if (now - since > gap)
        gap = now - since;
    test_note("%s: longest gap %lu us", what, (unsigned long)(gap / 1000));
    test_true("11a", what, gap < BOUND);
}

/* 65536 updates in one call. */
static void updates(void)
{
    struct mmu_update *reqs = mm_va(mm_alloc_run(BATCH * sizeof(*reqs) / MM_PAGE));
    uint64_t t = mm_table(), data = mm_alloc();
    unsigned int done = 0;

    test_eq("11a", "a table", test_pin(1, t), 0);
    for (unsigned int i = 0; i < BATCH; i++)
        reqs[i] = (struct mmu_update){mm_slot(t, i & 511),
                                      i & 512 ? 0 : mm_entry(data, i & 1 ? PTE_RW : PTE_RO)};
    begin();
    test_eq("11a", "65536 updates", hc_mmu_update(reqs, BATCH, &done, DOMID_SELF), 0);
    end("one batch of updates");
    test_eq("11a", "all done", done, BATCH);
    for (unsigned int i = 0; i < BATCH; i++)
        reqs[i].val = 0;
    reqs[BATCH - 1].val = mm_entry(mm_root(), PTE_RW);
    begin();
    test_refused("11a", "the last one is invalid", hc_mmu_update(reqs, BATCH, &done, DOMID_SELF));
    end("its error path");
    test_eq("11a", "all but one done", done, BATCH - 1);
    test_eq("11a", "unpin", test_unpin(t), 0);
    mm_table_free(t);
    mm_free(data);
}

/* 65536 extended operations: flushes and clears. */
static void extended(void)
{
    unsigned int count = 16384, done = 0;
    struct mmuext_op *ops = mm_va(mm_alloc_run(count * sizeof(*ops) / MM_PAGE));
    uint64_t data = mm_alloc();

    for (unsigned int i = 0; i < count; i++) {
        ops[i].cmd = i & 1 ? MMUEXT_CLEAR_PAGE : MMUEXT_TLB_FLUSH_ALL;
        ops[i].arg1.mfn = mm_mfn(data);
    }
    begin();
    test_eq("11b", "16384 extended operations", hc_mmuext(ops, count, &done, DOMID_SELF), 0);
    end("one batch of extended operations");
    test_eq("11b", "all done", done, count);
    mm_free(data);
}

/* The widest tree: one level 2 table with 512 level 1 tables of 512 entries. */
static void tree(void)
{
    uint64_t l2 = mm_alloc(), l3 = mm_alloc(), l4 = mm_alloc(), data = mm_alloc(), first = 0;
    int held = 0;

    for (unsigned int i = 0; i < 512; i++) {
        uint64_t t = mm_alloc(), *p = mm_va(t);

        if (!first)
            first = t;
        for (unsigned int k = 0; k < 512; k++)
            p[k] = mm_entry(data, PTE_RO);
        mm_home(t, PTE_RO);
        ((uint64_t *)mm_va(l2))[i] = mm_entry(t, PTE_RW);
    }
    ((uint64_t *)mm_va(l3))[0] = mm_entry(l2, PTE_RW);
    ((uint64_t *)mm_va(l4))[0] = mm_entry(l3, PTE_RW);
    mm_home(l2, PTE_RO);
    mm_home(l3, PTE_RO);
    mm_home(l4, PTE_RO);
    begin();
    test_eq("11c", "a quarter of a million entries in one pin", test_pin(4, l4), 0);
    end("validating");
    begin();
    test_eq("11c", "and out", test_unpin(l4), 0);
    end("releasing");
    /* The error path: the last level 1 table is spoilt. */
    mm_home(l3, PTE_RW);
    ((uint64_t *)mm_va(l3))[511] = mm_entry(mm_root(), PTE_RW);
    mm_home(l3, PTE_RO);
    begin();
    test_refused("11c", "invalid at the end", test_pin(4, l4));
    end("undoing");
    test_audit("11c");
    held += mm_home(l2, PTE_RW) != 0;
    held += mm_home(first, PTE_RW) != 0;
    test_eq("11c", "tables held", held, 0);
}

/* A list of a thousand calls, each long. */
static void list(void)
{
    unsigned int n = 1024;
    struct multicall_entry *m = mm_va(mm_alloc_run(n * sizeof(*m) / MM_PAGE));
    struct mmu_update *reqs = mm_va(mm_alloc_run(2));
    uint64_t t = mm_table();
    int bad = 0;

    test_eq("11d", "a table", test_pin(1, t), 0);
    for (unsigned int i = 0; i < 512; i++)
        reqs[i] = (struct mmu_update){mm_slot(t, i), (uint64_t)i << 12};
    for (unsigned int i = 0; i < n; i++)
        m[i] = (struct multicall_entry){.op = __HYPERVISOR_mmu_update,
                                        .result = 1,
                                        .args = {HC_ADDR(reqs), 512, 0, DOMID_SELF}};
    begin();
    test_eq("11d", "1024 calls of 512 updates", hc_multicall(m, n), 0);
    end("a list of long calls");
    for (unsigned int i = 0; i < n; i++)
        bad += m[i].result != 0;
    test_eq("11d", "calls that failed", bad, 0);
    test_eq("11d", "unpin", test_unpin(t), 0);
}

/* [SMP] The other vCPU hammers while we make single calls: each comes through. */
static volatile int stop;

static void hammer(void *arg)
{
    struct mmuext_op op = {.cmd = MMUEXT_TLB_FLUSH_ALL};

    (void)arg;
    while (!stop) {
        long port = event_bind_ipi(1);

        hc_mmuext(&op, 1, NULL, DOMID_SELF);
        if (port > 0)
            event_close((unsigned int)port);
    }
}

static void fairness(void)
{
    uint64_t worst = 0;

    vcpu_run(1, hammer, NULL);
    for (unsigned int i = 0; test_race(i, 2000); i++) {
        uint64_t t0 = event_now(), took;
        long port = event_bind_ipi(0);

        event_close((unsigned int)port);
        took = event_now() - t0;
        if (took > worst)
            worst = took;
    }
    stop = 1;
    vcpu_join(1);
    test_note("worst single call under fire: %lu us", (unsigned long)(worst / 1000));
    test_true("11e", "single calls under fire", worst < BOUND);
}

int main(void)
{
    struct vcpu_set_periodic_timer p = {.period_ns = 1000000};
    struct pal_stats s = {0};
    long port;

    test_begin("bounded");
    port = event_bind_virq(VIRQ_TIMER, 0);
    event_set_handler((unsigned int)port, beat);
    hc_vcpu(VCPUOP_set_periodic_timer, 0, &p);
    updates();
    extended();
    tree();
    list();
    fairness();
    hc_vcpu(VCPUOP_stop_periodic_timer, 0, NULL);
    if (!hypercall(__HYPERVISOR_pal_op, PALOP_stats, HC_ADDR(&s), 0, 0, 0))
        test_true("11f", "interrupts off: measured, and bounded",
                  s.longest_off_ns > 0 && s.longest_off_ns < BOUND);
    test_end();
}
