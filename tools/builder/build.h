/* SPDX-License-Identifier: MIT */
/*
 * The domain builder: fills a new, empty domain so that it can be let run: memory, kernel, initial
 * RAM disk, p2m list, start information, page tables, console and store pages and ports, their
 * grant entries, the first virtual CPU. Layout: <xen/xen.h>, "Start-of-day memory layout".
 */
#ifndef BUILDER_BUILD_H
#define BUILDER_BUILD_H

#include "libpal/hv.h"

struct pal_build {
    /* IN */
    uint64_t memory_kib, max_kib; /* at the start; ever */
    const char *kernel;
    const char *initrd; /* NULL: none */
    const char *cmdline;
    /* OUT: what the console and store daemons must be told */
    uint64_t console_mfn, store_mfn;
    uint32_t console_port, store_port;
    bool suspend_cancel;
};

/* Is the request sound, as far as it can be told without a domain? Memory is in b. */
int pal_build_check(const struct pal_build *b, struct pal_error *e);

/* Build it into the domain. On failure the domain is to be destroyed by the caller. */
int pal_build(struct pal_hv *hv, uint32_t domain, struct pal_build *b, struct pal_error *e);

#endif
