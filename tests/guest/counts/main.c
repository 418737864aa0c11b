/* SPDX-License-Identifier: MIT */
/*
 * Invariant 19: counts refuse, they never wrap; and what was counted up is counted down.
 *
 * run: smp=1 deadline=180 mem=512M dom0_mem=128M
 */
#include <bare/test.h>

#define TABLES 2048 /* of 512 entries: a million */

static uint64_t tables[TABLES];

/* One frame in a million entries. */
static void million_mappings(uint64_t bits, const char *what)
{
    uint64_t pfn = mm_alloc(), entry = mm_entry(pfn, bits);
    unsigned int n, pinned = 0;

    for (n = 0; n < TABLES; n++) {
        uint64_t *t;

        tables[n] = mm_alloc();
        t = mm_va(tables[n]);
        for (unsigned int i = 0; i < 512; i++)
            t[i] = entry;
        mm_home(tables[n], PTE_RO);
    }
    mm_home(pfn, PTE_RO);
    for (n = 0; n < TABLES; n++) {
        long ret = test_pin(1, tables[n]);

        if (ret) {
            test_true("19a", "refused, not wrapped", ret < 0);
            break;
        }
        pinned++;
    }
    test_note("%s: %u tables of 512 references held", what, pinned);
    test_true("19a", what, pinned > 0);
    test_audit("19a");
    if (bits & PTE_W)
        test_refused("19a", "no table while one mapping is writable", test_pin(1, pfn));
    for (n = 0; n + 1 < pinned; n++)
        if (test_unpin(tables[n]))
            break;
    test_eq("19a", "all but one dropped", n, pinned - 1);
    if (bits & PTE_W)
        test_refused("19a", "still no table", test_pin(1, pfn));
    test_eq("19a", "the last dropped", test_unpin(tables[n]), 0);
    test_eq("19a", "now it may be a table", test_pin(1, pfn), 0);
    test_eq("19a", "and back", test_unpin(pfn), 0);
    for (n = 0; n < TABLES; n++)
        mm_table_free(tables[n]);
    mm_table_free(pfn);
}

/* One level 1 table under 512 x 64 level 2 entries. */
static void many_parents(void)
{
    uint64_t l1 = mm_table(), entry = mm_entry(l1, PTE_RW);
    unsigned int n, pinned = 0;

    for (n = 0; n < 64; n++) {
        uint64_t *t;

        tables[n] = mm_alloc();
        t = mm_va(tables[n]);
        for (unsigned int i = 0; i < 512; i++)
            t[i] = entry;
        mm_home(tables[n], PTE_RO);
    }
    for (n = 0; n < 64 && !test_pin(2, tables[n]); n++)
        pinned++;
    test_true("19b", "parents", pinned > 0);
    test_note("%u level 2 tables of 512 references held", pinned);
    test_eq("19b", "pinned itself beside", test_pin(1, l1), 0);
    test_refused("19b", "pinned twice", test_pin(1, l1));
    test_audit("19b");
    test_eq("19b", "unpinned, still referenced", test_unpin(l1), 0);
    test_refused("19b", "not writable", mm_home(l1, PTE_RW));
    for (n = 0; n < pinned; n++)
        if (test_unpin(tables[n]))
            break;
    test_eq("19b", "all parents gone", n, pinned);
    test_eq("19b", "writable at once", mm_home(l1, PTE_RW), 0);
    for (n = 0; n < 64; n++)
        mm_table_free(tables[n]);
    mm_free(l1);
}

/* Ports to one vCPU until there are no more: the count is honest. */
static void all_ports(void)
{
    unsigned int n = 0;
    long port, last = 0;

    while ((port = event_bind_ipi(0)) > 0 && n < 10000) {
        last = port;
        n++;
    }
    test_eq("19c", "out of ports", port, -XEN_ENOSPC);
    test_note("%u ports, the last %ld", n, last);
    while (n--)
        if (event_close((unsigned int)last--))
            break;
    test_true("19c", "a port after closing", (port = event_bind_ipi(0)) > 0);
    event_close((unsigned int)port);
}

int main(void)
{
    test_begin("counts");
    million_mappings(PTE_RO, "read-only mappings of one frame");
    million_mappings(PTE_RW, "writable mappings of one frame");
    many_parents();
    all_ports();
    test_end();
}
