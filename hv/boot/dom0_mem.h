/* SPDX-License-Identifier: MIT */
/* The option dom0_mem, and how much memory domain 0 gets by it. Pure. */
#ifndef HV_BOOT_DOM0_MEM_H
#define HV_BOOT_DOM0_MEM_H

#include "base/types.h"

/* No kernel starts with less. */
#define DOM0_MEM_LEAST MiB(16)

struct dom0_mem {
    bool has_size, has_min, has_max;
    uint64_t size, min, max; /* bytes */
};

/*
 * text: pieces separated by commas, each "SIZE", "min:SIZE" or "max:SIZE", each kind at most once;
 * SIZE as options_parse_size takes it. Empty: all by default. False when it is not that.
 */
bool dom0_mem_parse(const char *text, struct dom0_mem *out);

enum dom0_mem_verdict { DOM0_MEM_GOOD, DOM0_MEM_TOO_MUCH, DOM0_MEM_TOO_SMALL };

/*
 * available: frames that are free now. *pages: what domain 0 starts with, *max_pages: what it may
 * grow to. Without a size it gets all but what stays with the hypervisor: a sixteenth, at most 128
 * MiB. Without "max:" it does not grow: a kernel that could would set up for it, at a cost that
 * small ones feel. Where the answer is not good, *pages is what was asked for and *limit the least
 * or the most it could be.
 */
enum dom0_mem_verdict dom0_mem_decide(const struct dom0_mem *wish, uint64_t available,
                                      uint64_t *pages, uint64_t *max_pages, uint64_t *limit);

#endif
