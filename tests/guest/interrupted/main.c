/* SPDX-License-Identifier: MIT */
/*
 * Invariant 21: interrupted validation belongs to nobody and everybody.
 *
 * A deep tree whose last entry is invalid is validated again and again with a timer event
 * pending more often than not, while a second vCPU pins, unpins and references its parts.
 *
 * run: smp=2 deadline=180 dom0_mem=64M
 */
#include <bare/test.h>

#define L2S 6
#define L1S 16 /* of each level 2 table */

static uint64_t l4, l3, l2[L2S], l1[L2S][L1S], data;
static volatile int stop;
static volatile unsigned int odd, calls;

static void fill(uint64_t pfn, unsigned int from, unsigned int n, uint64_t entry)
{
    mm_home(pfn, PTE_RW);
    for (unsigned int i = from; i < from + n; i++)
        ((uint64_t *)mm_va(pfn))[i] = entry;
    mm_home(pfn, PTE_RO);
}

static void build(void)
{
    data = mm_alloc();
    l4 = mm_table();
    l3 = mm_table();
    for (unsigned int i = 0; i < L2S; i++) {
        l2[i] = mm_table();
        for (unsigned int k = 0; k < L1S; k++) {
            l1[i][k] = mm_table();
            fill(l1[i][k], 0, 512, mm_entry(data, PTE_RO));
            fill(l2[i], 30 * k, 1, mm_entry(l1[i][k], PTE_RW));
        }
        fill(l3, 80 * i, 1, mm_entry(l2[i], PTE_RW));
    }
    fill(l4, 0, 1, mm_entry(l3, PTE_RW));
}

static void spoil(bool on)
{
    /* The last entry of the last level 2 table: a frame with another role. */
    fill(l2[L2S - 1], 511, 1, on ? mm_entry(mm_root(), PTE_RW) : 0);
}

/* Refused because of what is in it or because another is at it; or done. */
static bool expected(long ret)
{
    return ret == 0 || ret == -XEN_EINVAL || ret == -XEN_EBUSY || ret == -XEN_EPERM;
}

static void meddle(void *arg)
{
    uint64_t seed = 12345;

    (void)arg;
    event_heartbeat(1000000);
    while (!stop) {
        uint64_t r = (seed = seed * 6364136223846793005ul + 1442695040888963407ul) >> 33;
        unsigned int i = r % L2S, k = (r >> 8) % L1S;
        uint64_t pfn[4] = {l1[i][k], l2[i], l3, l4};
        int level = 1 + ((r >> 16) & 3);

        odd += !expected(test_pin(level, pfn[level - 1]));
        if (r & 1 << 20)
            odd += !expected(hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, mm_mfn(l4)));
        odd += !expected(mm_set(mm_slot(l2[i], 500), mm_entry(l1[i][k], PTE_RW)));
        odd += !expected(mm_set(mm_slot(l2[i], 500), 0));
        odd += !expected(hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, 0));
        odd += !expected(test_unpin(pfn[level - 1]));
        calls++;
    }
    event_heartbeat(0);
}

static void release_everything(const char *id)
{
    int held = 0;

    test_unpin(l4);
    test_unpin(l3);
    for (unsigned int i = 0; i < L2S; i++) {
        test_unpin(l2[i]);
        for (unsigned int k = 0; k < L1S; k++)
            test_unpin(l1[i][k]);
    }
    for (unsigned int i = 0; i < L2S; i++) {
        held += mm_home(l2[i], PTE_RW) != 0;
        for (unsigned int k = 0; k < L1S; k++)
            held += mm_home(l1[i][k], PTE_RW) != 0;
    }
    held += mm_home(l3, PTE_RW) != 0;
    held += mm_home(l4, PTE_RW) != 0;
    test_eq(id, "tables still held", held, 0);
    for (unsigned int i = 0; i < L2S; i++) {
        mm_home(l2[i], PTE_RO);
        for (unsigned int k = 0; k < L1S; k++)
            mm_home(l1[i][k], PTE_RO);
    }
    mm_home(l3, PTE_RO);
    mm_home(l4, PTE_RO);
    /* A level 4 table keeps the hypervisor's slots from its last validation. */
    fill(l4, 256, 16, 0);
}

/* Alone, with events pending: refused each time, nothing left of it. */
static void alone(void)
{
    int wrong = 0;

    event_heartbeat(1000000);
    spoil(true);
    for (int i = 0; i < 60; i++)
        wrong += test_pin(4, l4) >= 0;
    test_eq("21a", "accepted with an invalid last entry", wrong, 0);
    test_audit("21a");
    release_everything("21a");
    spoil(false);
    for (int i = 0; i < 60; i++)
        wrong += test_pin(4, l4) != 0 || test_unpin(l4) != 0;
    test_eq("21b", "valid trees refused", wrong, 0);
    event_heartbeat(0);
    test_audit("21b");
    release_everything("21b");
}

/* [SMP] With the meddler. */
static void together(bool spoiled)
{
    int wrong = 0;

    spoil(spoiled);
    stop = 0;
    calls = 0;
    vcpu_run(1, meddle, NULL);
    event_heartbeat(1000000);
    for (unsigned int i = 0; test_race(i, 150); i++) {
        long ret = test_pin(4, l4);

        wrong += spoiled ? ret >= 0 : !expected(ret);
        ret = test_unpin(l4);
        wrong += !expected(ret);
        if (i % 50 == 49)
            test_audit("21c");
    }
    stop = 1;
    vcpu_join(1);
    event_heartbeat(0);
    test_eq("21c", spoiled ? "spoiled: wrong answers" : "valid: wrong answers", wrong, 0);
    test_eq("21c", "odd answers of the meddler", odd, 0);
    test_note("%u rounds of the meddler, %lu + %lu timer events", calls,
              (unsigned long)vcpu_self()->beats, 0ul);
    test_audit("21c");
    release_everything("21c");
}

int main(void)
{
    test_begin("interrupted");
    build();
    alone();
    together(true);
    together(false);
    test_end();
}
