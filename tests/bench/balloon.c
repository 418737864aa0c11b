/* SPDX-License-Identifier: MIT */
/*
 * A bare guest that gives pages back and takes them again with the hypercalls that a stock kernel's balloon driver makes for
 * them, and nothing else: what is left of the driver's figures is the hypervisor's share.
 *
 * Out: the page's mapping goes (a call for each), the TLBs are flushed, PAGES are given back in one call. In: PAGES are taken in one
 * call, each is mapped.
 */
#include <bare/console.h>
#include <bare/event.h>
#include <bare/mm.h>

enum {
    PAGES = 512, /* the driver's batch */
    REPEATS = 10,
};

static xen_pfn_t pfn[PAGES], frame[PAGES];

static _Noreturn void fail(const char *what, long status)
{
    console_printf("BENCH-FAILED %s: %ld\r\n", what, status);
    console_poweroff(SHUTDOWN_poweroff);
}

static void reserve(unsigned int cmd, xen_pfn_t *list)
{
    struct xen_memory_reservation r = {.nr_extents = PAGES, .domid = DOMID_SELF};
    long done;

    set_xen_guest_handle(r.extent_start, list);
    done = hc_memory(cmd, &r);
    if (done != PAGES)
        fail("memory_op", done);
}

static void out(void)
{
    struct mmuext_op flush = {.cmd = MMUEXT_TLB_FLUSH_ALL};

    for (unsigned int i = 0; i < PAGES; i++) {
        long status = hc_update_va(HC_ADDR(mm_va(pfn[i])), 0, 0);

        if (status)
            fail("unmap", status);
    }
    hc_mmuext(&flush, 1, NULL, DOMID_SELF);
    reserve(XENMEM_decrease_reservation, frame);
}

static void in(void)
{
    for (unsigned int i = 0; i < PAGES; i++)
        frame[i] = pfn[i];
    reserve(XENMEM_populate_physmap, frame);
    for (unsigned int i = 0; i < PAGES; i++) {
        long status = hc_update_va(HC_ADDR(mm_va(pfn[i])), frame[i] << 12 | PTE_RW, 0);

        if (status)
            fail("map", status);
        mm_set_p2m(pfn[i], frame[i]);
    }
}

int main(void)
{
    uint64_t best_out = ~0ul, best_in = ~0ul;

    console_printf("BENCH-INIT\r\n");
    for (unsigned int i = 0; i < PAGES; i++) {
        pfn[i] = mm_alloc();
        frame[i] = mm_mfn(pfn[i]);
    }
    for (unsigned int i = 0; i < REPEATS; i++) {
        uint64_t start = event_now(), middle, end;

        out();
        middle = event_now();
        in();
        end = event_now();
        if (middle - start < best_out)
            best_out = middle - start;
        if (end - middle < best_in)
            best_in = end - middle;
    }
    console_printf("BENCH balloon_hv_out %lu\r\n", best_out / PAGES);
    console_printf("BENCH balloon_hv_in %lu\r\n", best_in / PAGES);
    console_printf("BENCH-END\r\n");
    console_poweroff(SHUTDOWN_poweroff);
}
