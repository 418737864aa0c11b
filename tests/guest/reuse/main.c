/* SPDX-License-Identifier: MIT */
/*
 * Invariants 23, 24, 25, as far as one domain goes: frames given back, taken, exchanged.
 *
 * run: smp=2 deadline=90
 */
#include <bare/test.h>

static long release(uint64_t mfn)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    xen_pfn_t list = mfn;

    set_xen_guest_handle(r.extent_start, &list);
    return hc_memory(XENMEM_decrease_reservation, &r);
}

static long take(uint64_t pfn)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    xen_pfn_t list = pfn;
    long ret;

    set_xen_guest_handle(r.extent_start, &list);
    ret = hc_memory(XENMEM_populate_physmap, &r);
    if (ret == 1)
        mm_set_p2m(pfn, list);
    return ret;
}

static long reservation(void)
{
    domid_t self = DOMID_SELF;

    return hc_memory(XENMEM_current_reservation, &self);
}

/* 25: a frame is given back once, and only a frame that was assigned. */
static void given_back_once(void)
{
    uint64_t pfn = mm_alloc(), mfn = mm_mfn(pfn);
    struct xen_memory_reservation r = {.nr_extents = 2, .domid = DOMID_SELF};
    xen_pfn_t list[2] = {mfn, mfn};
    long before = reservation();

    memset(mm_va(pfn), 0x5a, MM_PAGE);
    mm_home(pfn, 0);
    set_xen_guest_handle(r.extent_start, list);
    test_eq("25a", "the same frame twice in one list", hc_memory(XENMEM_decrease_reservation, &r),
            1);
    test_eq("25a", "one less", reservation(), before - 1);
    test_eq("25a", "again", release(mfn), 0);
    test_eq("25a", "never ours", release(test_hypervisor_frame()), 0);
    test_eq("25a", "beyond memory", release((1ul << 40) - 1), 0);
    test_eq("25a", "all-ones", release(~0ul), 0);
    test_refused("25a", "no longer ours to map",
                 hc_update_va(HC_ADDR(mm_va(pfn)), mfn << 12 | PTE_RO, 0));
    test_eq("25a", "taken back", take(pfn), 1);
    test_eq("25a", "as before", reservation(), before);
    mm_home(pfn, PTE_RW);
    test_true_ours("23a", "zero at first sight", string_all(mm_va(pfn), 0, MM_PAGE));
    mm_free(pfn);
}

/* 25: orders, counts and flags at their limits. */
static void populate_limits(void)
{
    static const unsigned int orders[] = {10, 20, 31, 32, 52, 63, 64, 255, 0x7fffffff, 0xffffffff};
    xen_pfn_t list[2] = {0, 0};
    long before = reservation();
    struct xen_memory_reservation r = {.domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, list);
    for (unsigned int i = 2; i < sizeof(orders) / sizeof(orders[0]); i++) {
        r.nr_extents = 1;
        r.extent_order = orders[i];
        list[0] = mm_free_frames(); /* a number that is not used: nothing to lose */
        test_true("25b", "a huge order", hc_memory(XENMEM_populate_physmap, &r) <= 0);
        test_true("25b", "a huge order given back",
                  hc_memory(XENMEM_decrease_reservation, &r) <= 0);
    }
    r.extent_order = 0;
    static const unsigned long counts[] = {1ul << 63, ~0ul, 1ul << 58, 1ul << 52};
    for (unsigned int i = 0; i < 4; i++) {
        r.nr_extents = counts[i];
        set_xen_guest_handle(r.extent_start, (xen_pfn_t *)0xffff830000000000);
        test_true("25b", "a huge count", hc_memory(XENMEM_populate_physmap, &r) <= 0);
        test_true("25b", "a huge count given back",
                  hc_memory(XENMEM_decrease_reservation, &r) <= 0);
    }
    set_xen_guest_handle(r.extent_start, list);
    r.nr_extents = 1;
    r.domid = 77;
    test_true("25b", "for a domain that is not", hc_memory(XENMEM_populate_physmap, &r) <= 0);
    test_eq("25b", "nothing changed", reservation(), before);
    domid_t nobody = 77;
    test_eq("25b", "reservation of nobody", hc_memory(XENMEM_current_reservation, &nobody),
            -XEN_ESRCH);
}

struct exchange {
    xen_pfn_t in[4], out[4];
    struct xen_memory_exchange x;
};

static long exchange(struct exchange *e, unsigned int n)
{
    e->x.in.nr_extents = n;
    e->x.out.nr_extents = n;
    e->x.in.domid = e->x.out.domid = DOMID_SELF;
    set_xen_guest_handle(e->x.in.extent_start, e->in);
    set_xen_guest_handle(e->x.out.extent_start, e->out);
    return hc_memory(XENMEM_exchange, &e->x);
}

/* 24: exchanges that must not happen; the domain keeps exactly what it had. */
static void exchange_refused(const char *what, uint64_t mfn)
{
    struct exchange e = {.in = {mfn}, .out = {1}};
    long before = reservation(), ret = exchange(&e, 1);

    test_refused("24a", what, ret);
    test_eq("24a", "none exchanged", (int64_t)e.x.nr_exchanged, 0);
    test_eq("24a", "reservation", reservation(), before);
}

/* Where the results cannot go, nothing is exchanged. (The peer has lost the frame by then.) */
static void results_unwritable(uint64_t pfn)
{
    struct exchange e = {.in = {mm_mfn(pfn)}};

    mm_home(pfn, 0);
    e.x.in.nr_extents = e.x.out.nr_extents = 1;
    e.x.in.domid = e.x.out.domid = DOMID_SELF;
    set_xen_guest_handle(e.x.in.extent_start, e.in);
    set_xen_guest_handle(e.x.out.extent_start, (xen_pfn_t *)start_info->pt_base);
    test_refused("24e", "results into a table", hc_memory(XENMEM_exchange, &e.x));
    test_eq_ours("24e", "the frame is still ours", mm_home(pfn, PTE_RW), 0);
}

static void exchanges(void)
{
    uint64_t a = mm_alloc(), b = mm_alloc(), table = mm_table();
    struct exchange e = {.in = {mm_mfn(a)}, .out = {a}};
    long ret;

    exchange_refused("the hypervisor's", test_hypervisor_frame());
    exchange_refused("beyond memory", (1ul << 40) - 1);
    test_pin(1, table);
    exchange_refused("a pinned table", mm_mfn(table));
    test_unpin(table);
    exchange_refused("the loaded root", mm_mfn(mm_root()));
    mm_table_free(table);

    mm_home(b, 0);
    e = (struct exchange){.in = {mm_mfn(b), mm_mfn(b)}, .out = {b, b}};
    test_refused("24b", "the same frame twice", exchange(&e, 2));
    test_true("24b", "the count done is true",
              e.x.nr_exchanged == 0 || (e.x.nr_exchanged == 1 && mm_pfn(e.out[0]) == b));
    if (e.x.nr_exchanged)
        mm_set_p2m(b, e.out[0]);
    /* Mismatched totals. */
    e = (struct exchange){.in = {mm_mfn(b)}, .out = {b}};
    e.x.in.nr_extents = 1;
    e.x.out.nr_extents = 2;
    e.x.in.domid = e.x.out.domid = DOMID_SELF;
    set_xen_guest_handle(e.x.in.extent_start, e.in);
    set_xen_guest_handle(e.x.out.extent_start, e.out);
    test_eq("24b", "more out than in", hc_memory(XENMEM_exchange, &e.x), -XEN_EINVAL);
    e.x.out.nr_extents = 1;
    e.x.out.extent_order = 63;
    test_refused("24b", "a huge order", hc_memory(XENMEM_exchange, &e.x));
    e.x.out.extent_order = 0;
    e.x.nr_exchanged = 2;
    test_eq("24b", "more exchanged than there are", hc_memory(XENMEM_exchange, &e.x), -XEN_EINVAL);
    e.x.nr_exchanged = 0;
    set_xen_guest_handle(e.x.in.extent_start, (xen_pfn_t *)0xffff830000000000);
    test_eq("24b", "a list in hypervisor space", hc_memory(XENMEM_exchange, &e.x), -XEN_EFAULT);
    /* And one that may. */
    e = (struct exchange){.in = {mm_mfn(b)}, .out = {b}};
    ret = exchange(&e, 1);
    test_eq("24c", "an honest exchange", ret, 0);
    if (!ret) {
        test_eq("24c", "one exchanged", (int64_t)e.x.nr_exchanged, 1);
        test_refused("24c", "the old frame is gone",
                     hc_update_va(HC_ADDR(mm_va(b)), mm_entry(b, PTE_RW), 0));
        mm_set_p2m(b, e.out[0]);
        test_eq("24c", "the new one maps", mm_home(b, PTE_RW), 0);
        test_eq("24c", "knows its number", (int64_t)mm_pfn(e.out[0]), (int64_t)b);
        test_true_ours("23b", "and is zero", string_all(mm_va(b), 0, MM_PAGE));
    }
    mm_free(a);
    results_unwritable(b);
}

/* 24: a frame still mapped is not released under the mapping. */
static void still_mapped(void)
{
    uint64_t pfn = mm_alloc(), mfn = mm_mfn(pfn);
    long ret;

    *(uint64_t *)mm_va(pfn) = 0x1234;
    ret = release(mfn);
    /* Released only when the last reference goes: until then the content is ours. */
    test_either("24d", "release of a mapped frame", ret, 0, 1);
    test_eq("24d", "its content", *(int64_t *)mm_va(pfn), 0x1234);
    test_audit("24d");
    mm_home(pfn, 0);
    if (ret == 1)
        test_eq("24d", "another one", take(pfn), 1);
    mm_home(pfn, PTE_RW);
}

/* 23 [SMP]: a stale writable translation to a frame that is given back. */
static volatile int stop;
static volatile uint64_t writes;
static uint64_t stale_pfn;

static void store(void *arg)
{
    volatile uint64_t *p = arg;

    while (!stop) {
        *p = 0xbadbadbadbadul;
        writes++;
    }
}

static void keep_writing(void *arg)
{
    /* Faults end the loop: start over until told to stop. */
    while (!stop)
        trap_run(store, arg, NULL);
}

static void stale_writers(void)
{
    int seen = 0;
    uint64_t probe = mm_alloc();

    stale_pfn = mm_alloc();
    vcpu_run(1, keep_writing, mm_va(stale_pfn));
    for (unsigned int round = 0; test_race(round, 200); round++) {
        uint64_t mfn = mm_mfn(stale_pfn), start = writes;

        while (writes == start && !(round & 1))
            vcpu_yield();
        /* Unmapped without asking for any flush, given back, and one taken at once. */
        hc_update_va(HC_ADDR(mm_va(stale_pfn)), 0, UVMF_NONE);
        if (release(mfn) != 1)
            continue;
        if (take(stale_pfn) != 1)
            console_panic("no frame to take");
        hc_update_va(HC_ADDR(mm_va(probe)), mm_entry(stale_pfn, PTE_RO), UVMF_INVLPG);
        for (int look = 0; look < 50; look++)
            seen += !string_all(mm_va(probe), 0, 64);
        mm_home(probe, PTE_RW);
        mm_home(stale_pfn, PTE_RW);
    }
    stop = 1;
    vcpu_join(1);
    test_eq_ours("23c", "stale writes seen in fresh frames", seen, 0);
    test_note("%lu stores by the other vCPU", (unsigned long)writes);
    test_audit("23c");
}

/* 25: take until refused, then give all back: the sums are exact. */
static void exhaust(void)
{
    static xen_pfn_t list[256];
    uint64_t first = MM_DIRECT_MAX; /* numbers outside the pool; the p2m is not touched */
    long before = reservation(), got, taken = 0;
    uint64_t chain = 0; /* mfns kept through copies in pool pages */
    uint64_t pages[600];
    unsigned int n = 0;
    struct xen_memory_reservation r = {.domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, list);
    do {
        r.nr_extents = 256;
        for (unsigned int i = 0; i < 256; i++)
            list[i] = first + (chain++);
        got = hc_memory(XENMEM_populate_physmap, &r);
        if (got > 0) {
            pages[n] = mm_alloc();
            memcpy(mm_va(pages[n]), list, sizeof(list));
            ((uint64_t *)mm_va(pages[n++]))[511] = (uint64_t)got;
            taken += got;
        }
    } while (got == 256 && n < 600);
    test_true("25c", "a count, never more than asked", got >= 0 && got <= 256);
    test_eq("25c", "reservation agrees", reservation(), before + taken);
    test_note("%ld more frames taken", taken);
    while (n) {
        uint64_t pfn = pages[--n];

        r.nr_extents = ((uint64_t *)mm_va(pfn))[511];
        memcpy(list, mm_va(pfn), sizeof(list));
        taken -= hc_memory(XENMEM_decrease_reservation, &r);
        mm_free(pfn);
    }
    test_eq("25c", "all given back", taken, 0);
    test_eq("25c", "as before", reservation(), before);
}

int main(void)
{
    test_begin("reuse");
    given_back_once();
    populate_limits();
    exchanges();
    still_mapped();
    stale_writers();
    exhaust();
    test_end();
}
