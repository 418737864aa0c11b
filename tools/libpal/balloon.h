/* SPDX-License-Identifier: MIT */
/*
 * A domain's memory while it runs: how much it has, may have and should have, and asking it to give
 * or take some. The guest's own driver follows memory/target in the store; the hypervisor holds it to
 * its maximum, which is the target from the moment that is asked for.
 */
#ifndef LIBPAL_BALLOON_H
#define LIBPAL_BALLOON_H

#include "libpal/domain.h"

#define PAL_BALLOON_FLOOR_KIB  (32u << 10) /* no domain is asked for less */
#define PAL_BALLOON_NEAR_KIB   (1u << 10)  /* drivers stop so near to the target */
#define PAL_BALLOON_STALL_S    8.0 /* no movement for so long: it does not answer any more */
#define PAL_BALLOON_DEADLINE_S 60.0

struct pal_memory {
    uint64_t current_kib; /* charged to it */
    uint64_t limit_kib;   /* the hypervisor gives it no more */
    uint64_t target_kib;  /* what was asked of it last */
    uint64_t
        min_kib; /* its file's <pal:minimum>, or PAL_BALLOON_FLOOR_KIB; domain 0: what it uses */
    uint64_t max_kib; /* its file's <memory>; domain 0: what it was started with */
    bool has_minimum; /* its file says how far it may be shrunk by others than a person */
    unsigned shares;
    bool has_agent; /* used_kib, swapped_kib and pressure are known */
    uint64_t used_kib, swapped_kib;
    unsigned pressure; /* 1/10000 of the time of the last ten seconds */
};
int pal_memory_of(struct pal *p, const struct pal_domain *d, struct pal_memory *m,
                  struct pal_error *e);

/* Set what it should have, and at the same moment the most it may have, and return. Refused below its
 * minimum, above its maximum, and when it should grow and the free memory is not there or promised. */
int pal_balloon_ask(struct pal *p, const struct pal_domain *d, uint64_t kib, struct pal_error *e);

enum pal_balloon_end {
    PAL_BALLOON_DONE,
    PAL_BALLOON_FLOOR,  /* it moved, and stopped before the target */
    PAL_BALLOON_SILENT, /* it did not move at all */
    PAL_BALLOON_LATE,   /* it still moves, and the deadline is over */
    PAL_BALLOON_ENDED,  /* the domain is gone */
};
/* "done", "floor", "silent", "late", "ended" */
const char *pal_balloon_end_name(enum pal_balloon_end end);

struct pal_progress;
/* Ask, and wait for it: at most deadline seconds. At the floor and when silent its maximum is fixed
 * where it is. *reached_kib is what it has at the end. */
int pal_balloon_wait(struct pal *p, const struct pal_domain *d, uint64_t kib, double deadline,
                     struct pal_progress *progress, enum pal_balloon_end *end,
                     uint64_t *reached_kib, struct pal_error *e);

#endif
