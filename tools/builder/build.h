/* SPDX-License-Identifier: MIT */
/*
 * The domain builder: fills a new, empty domain so that it can be let run: memory, kernel, initial
 * RAM disk, p2m list, start information, page tables, console and store pages and ports, their
 * grant entries, the first virtual CPU. Layout: <xen/xen.h>, "Start-of-day memory layout".
 */
#ifndef BUILDER_BUILD_H
#define BUILDER_BUILD_H

#include "libpal/hv.h"
#include "libpal/progress.h"

/* Phases of its progress, the first of whoever builds a domain. */
enum pal_build_phase { PAL_BUILD_KERNEL, PAL_BUILD_MEMORY, PAL_BUILD_CONTENTS, PAL_BUILD_PHASES };
#define PAL_BUILD_PHASE_LIST                                                                       \
    {"kernel", 15, false}, {"memory", 40, true},                                                   \
    {                                                                                              \
        "contents", 35, true                                                                       \
    }

struct pal_build {
    /* IN */
    uint64_t memory_kib, max_kib; /* at the start; ever */
    const char *kernel;
    const char *initrd; /* NULL: none */
    const char *cmdline;
    struct pal_progress *progress;
    /* OUT: what the console and store daemons must be told */
    uint64_t console_mfn, store_mfn;
    uint32_t console_port, store_port;
    bool suspend_cancel;
};

/* Is the request sound, as far as it can be told without a domain? Memory is in b. */
int pal_build_check(const struct pal_build *b, struct pal_error *e);

/* Build it into the domain. On failure (and when it is interrupted: libpal/interrupt.h) the domain
 * is to be destroyed by the caller. */
int pal_build(struct pal_hv *hv, uint32_t domain, struct pal_build *b, struct pal_error *e);

#endif
