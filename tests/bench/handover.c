/* SPDX-License-Identifier: MIT */
/*
 * In domain 0: how long until memory that one domain gives back is another's.
 *
 *   handover ID KIB MOVED-KIB
 *
 * Domain ID has KIB and is asked to give MOVED-KIB of them. A new domain that has taken all that was free before takes them
 * as they come: BENCH handover nanoseconds, from the asking until it has them all. Only Xen's own libraries are used, so that
 * it is the same on every hypervisor.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <xenctrl.h>
#include <xenstore.h>

#include "program.h"

enum { BATCH = 1024, NAP_NS = 1000000, LIMIT_S = 120 };

static xc_interface *hv;

static uint32_t new_domain(void)
{
    struct xen_domctl_createdomain config = {
        .max_vcpus = 1,
        .max_evtchn_port = 15,
        .max_grant_frames = 4,
        .max_maptrack_frames = 4,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
    };
    uint32_t id = 0;

    if (xc_domain_create(hv, &id, &config) || xc_domain_setmaxmem(hv, id, UINT32_MAX))
        fail("create");
    return id;
}

/* Take up to `pages`, as long as there are any; returns how many there were. */
static uint64_t take(uint32_t id, uint64_t from, uint64_t pages)
{
    static xen_pfn_t pfn[BATCH];
    uint64_t taken = 0;

    while (taken < pages) {
        unsigned count = pages - taken < BATCH ? (unsigned)(pages - taken) : BATCH;
        int got;

        for (unsigned i = 0; i < count; i++)
            pfn[i] = from + taken + i;
        got = xc_domain_populate_physmap(hv, id, count, 0, 0, pfn);
        if (got < 0)
            fail("populate");
        taken += (uint64_t)got;
        if ((unsigned)got < count)
            break;
    }
    return taken;
}

static void ask(uint32_t id, uint64_t kib)
{
    struct xs_handle *store = xs_open(0);
    char path[64], text[24];
    int length = snprintf(text, sizeof(text), "%llu", (unsigned long long)kib);

    snprintf(path, sizeof(path), "/local/domain/%u/memory/target", id);
    if (!store || !xs_write(store, XBT_NULL, path, text, (unsigned)length))
        fail(path);
    xs_close(store);
}

int main(int argc, char **argv)
{
    const struct timespec nap = {0, NAP_NS};
    uint64_t had, moved, taken = 0, start;
    uint32_t giver, taker;

    if (argc != 4)
        return 2;
    giver = (uint32_t)strtoul(argv[1], NULL, 0);
    moved = strtoull(argv[3], NULL, 0) / 4;
    hv = xc_interface_open(NULL, NULL, 0);
    if (!hv)
        fail("hypervisor");
    taker = new_domain();
    had = take(taker, 0, UINT64_MAX);
    start = now_ns();
    ask(giver, strtoull(argv[2], NULL, 0) - moved * 4);
    for (;;) {
        taken += take(taker, had + taken, moved - taken);
        if (taken == moved)
            break;
        if (now_ns() - start > LIMIT_S * 1000000000ull)
            fail("it does not give them");
        nanosleep(&nap, NULL);
    }
    printf("BENCH handover %llu\n", (unsigned long long)(now_ns() - start));
    return xc_domain_destroy(hv, taker) ? 1 : 0;
}
