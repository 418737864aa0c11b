/* SPDX-License-Identifier: MIT */
/*
 * Invariant 5: progress kept in guest hands is a claim, not a fact.
 *
 * run: smp=2 deadline=60
 */
#include <bare/test.h>

#define PREEMPTED (1u << 31) /* the peer's flag for "this is a resumption" in counts */

/* A fresh mmu_update that says it is a resumption. */
static void forged_update(void)
{
    uint64_t t = mm_table(), data = mm_alloc();
    struct mmu_update good = {mm_slot(t, 1), mm_entry(data, PTE_RO)};
    struct mmu_update evil = {mm_slot(t, 2), mm_entry(mm_root(), PTE_RW)};
    unsigned int done = 1000000;
    long ret;

    test_eq("5a", "a table", test_pin(1, t), 0);
    test_refused("5a", "forged resumption of an illegal update",
                 hc_mmu_update(&evil, 1 | PREEMPTED, &done, DOMID_SELF));
    test_eq("5a", "not written", ((int64_t *)mm_va(t))[2], 0);
    ret = hc_mmu_update(&good, 1 | PREEMPTED, &done, DOMID_SELF);
    test_true("5a", "forged resumption of a legal one: done or refused",
              ret < 0 || ((uint64_t *)mm_va(t))[1] & PTE_P);
    ret = hc_mmu_update(NULL, PREEMPTED, NULL, DOMID_SELF);
    test_note("resumption of nothing: %ld", ret);
    test_true_ours("5a", "resumption of nothing", ret <= 0);
    test_eq("5a", "unpin", test_unpin(t), 0);
    mm_table_free(t);
    mm_free(data);
}

/* Pins and unpins with the flag: each is done once or not at all. */
static void forged_pins(void)
{
    uint64_t t = mm_table();
    struct mmuext_op pin = {.cmd = MMUEXT_PIN_L1_TABLE, .arg1.mfn = mm_mfn(t)};
    struct mmuext_op unpin = {.cmd = MMUEXT_UNPIN_TABLE, .arg1.mfn = mm_mfn(t)};
    long ret;

    ret = hc_mmuext(&pin, 1 | PREEMPTED, NULL, DOMID_SELF);
    test_true("5b", "forged pin", ret <= 0);
    if (ret)
        test_eq("5b", "then an honest one", test_pin(1, t), 0);
    test_refused("5b", "forged second pin", hc_mmuext(&pin, 1 | PREEMPTED, NULL, DOMID_SELF));
    ret = hc_mmuext(&unpin, 1 | PREEMPTED, NULL, DOMID_SELF);
    test_true("5b", "forged unpin", ret <= 0);
    if (ret)
        test_eq("5b", "then an honest one", test_unpin(t), 0);
    test_refused("5b", "forged second unpin", hc_mmuext(&unpin, 1 | PREEMPTED, NULL, DOMID_SELF));
    test_audit("5b");
    test_eq("5b", "it is data again", mm_home(t, PTE_RW), 0);
    mm_free(t);
}

static long reservation(void)
{
    domid_t self = DOMID_SELF;

    return hc_memory(XENMEM_current_reservation, &self);
}

/* A position in the command word: "three of four are done already". */
static void forged_position(void)
{
    for (unsigned int start = 1; start < 6; start++) {
        struct xen_memory_reservation r = {.nr_extents = 4, .domid = DOMID_SELF};
        xen_pfn_t list[4] = {MM_DIRECT_MAX, MM_DIRECT_MAX + 1, MM_DIRECT_MAX + 2,
                             MM_DIRECT_MAX + 3};
        long before = reservation(), ret, delta;

        set_xen_guest_handle(r.extent_start, list);
        ret = hc_memory(XENMEM_populate_physmap | start << 6, &r);
        delta = reservation() - before;
        test_true("5c", "never more than asked", delta >= 0 && delta <= 4);
        test_eq_ours("5c", "what is reported done was done", ret < 0 ? 0 : ret, delta);
        for (unsigned int i = 0; i < 4; i++) {
            struct xen_memory_reservation back = {.nr_extents = 1, .domid = DOMID_SELF};
            xen_pfn_t mfn = list[i];

            set_xen_guest_handle(back.extent_start, &mfn);
            if (mfn < MM_DIRECT_MAX || mfn > MM_DIRECT_MAX + 3)
                hc_memory(XENMEM_decrease_reservation, &back);
        }
        test_eq("5c", "given back", reservation(), before);
    }
}

/* "Already exchanged": claimed in the structure itself. */
static void forged_exchange(void)
{
    static const unsigned long claims[] = {1, 2, 3, 4, 5, 1ul << 32, 1ul << 61, ~0ul, 1ul << 63};
    xen_pfn_t in[4] = {~0ul, ~0ul, ~0ul, ~0ul}, out[4] = {9, 9, 9, 9};
    uint64_t canary[2] = {0x1111, 0x2222};

    for (unsigned int i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        struct xen_memory_exchange x = {.in = {.nr_extents = 4, .domid = DOMID_SELF},
                                        .out = {.nr_extents = 4, .domid = DOMID_SELF},
                                        .nr_exchanged = claims[i]};
        long before = reservation(), ret;

        set_xen_guest_handle(x.in.extent_start, in);
        set_xen_guest_handle(x.out.extent_start, out);
        ret = hc_memory(XENMEM_exchange, &x);
        test_true("5d", "claimed progress", ret < 0 || claims[i] == 4);
        test_eq("5d", "reservation", reservation(), before);
        test_true("5d", "nothing written",
                  out[0] == 9 && out[3] == 9 && canary[0] == 0x1111 && canary[1] == 0x2222);
        /* The historic attack: the claim makes the hypervisor write far behind the list. */
        x.nr_exchanged = (0xffff830000000000ul - HC_ADDR(out)) / 8;
        test_refused("5d", "an index into hypervisor space", hc_memory(XENMEM_exchange, &x));
    }
}

/* [SMP] Another vCPU changes the command while the call runs and is preempted. */
static struct mmuext_op ops[64];
static volatile int stop;

static void change_commands(void *arg)
{
    (void)arg;
    while (!stop)
        for (unsigned int i = 0; i < 64; i++)
            ((volatile struct mmuext_op *)ops)[i].cmd ^= MMUEXT_PIN_L1_TABLE ^ MMUEXT_UNPIN_TABLE;
}

static void changed_meanwhile(void)
{
    uint64_t t[64];
    int odd = 0;

    for (unsigned int i = 0; i < 64; i++) {
        t[i] = mm_table();
        ops[i] = (struct mmuext_op){.cmd = MMUEXT_PIN_L1_TABLE, .arg1.mfn = mm_mfn(t[i])};
    }
    event_heartbeat(1000000);
    vcpu_run(1, change_commands, NULL);
    for (unsigned int round = 0; test_race(round, 2000); round++) {
        unsigned int done = 0;
        long ret = hc_mmuext(ops, 64, &done, DOMID_SELF);

        odd += ret != 0 && ret != -XEN_EINVAL;
        odd += done > 64 || (ret == 0) != (done == 64);
    }
    stop = 1;
    vcpu_join(1);
    event_heartbeat(0);
    test_eq("5e", "odd answers", odd, 0);
    test_audit("5e");
    for (unsigned int i = 0; i < 64; i++) {
        test_unpin(t[i]);
        if (mm_home(t[i], PTE_RW))
            odd++;
    }
    test_eq("5e", "frames not released", odd, 0);
}

int main(void)
{
    test_begin("resume");
    forged_update();
    forged_pins();
    forged_position();
    forged_exchange();
    changed_meanwhile();
    test_end();
}
