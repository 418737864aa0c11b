/* SPDX-License-Identifier: MIT */
/* What this machine's kernel says of its memory, in KiB: domain 0's here, a guest's in its agent. */
#ifndef LIBPAL_MEMINFO_H
#define LIBPAL_MEMINFO_H

#include <stdbool.h>
#include <stdint.h>

struct meminfo {
    uint64_t total, available, swap, swap_free;
};

/* False when /proc/meminfo tells nothing. */
bool meminfo_read(struct meminfo *m);

/* What is in use of `current` KiB that the domain has: pages that its kernel gave back are no longer in its total, and those that
 * it never counted are used. */
static inline uint64_t meminfo_used(const struct meminfo *m, uint64_t current)
{
    uint64_t never = current > m->total ? current - m->total : 0;

    return (m->total > m->available ? m->total - m->available : 0) + never;
}

#endif
