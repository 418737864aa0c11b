/* SPDX-License-Identifier: MIT */
/*
 * A machine with guests, in numbers: enough of how a stock kernel under load answers to its balloon to
 * try the policy on. Time goes in steps; everything is deterministic.
 */
#ifndef BALLOON_FLEET_H
#define BALLOON_FLEET_H

#include "balloon/policy.h"

#define FLEET_MAX  64
#define KERNEL_KIB (48u * 1024) /* what an idle guest uses */

enum guest_manner {
    GUEST_FOLLOWS,
    GUEST_IGNORES,    /* never gives anything back */
    GUEST_LIES,       /* says that it uses all and suffers */
    GUEST_OSCILLATES, /* its load and its words turn over in every step */
};

struct guest {
    char name[16];
    struct balloon_limits limits;
    uint64_t current_kib, target_kib;
    uint64_t load_kib;  /* memory that its programs touch again and again */
    uint64_t cache_kib; /* files that it would read from memory if it could */
    uint64_t rate_kib;  /* moved by its driver in a second */
    enum guest_manner manner;
    bool agent;
    unsigned pressure; /* smoothed as the kernel does it */
    struct balloon_memory memory;
    struct balloon_domain seen; /* by the last decision */
    unsigned turns;             /* how often its target changed direction */
    int direction;
};

struct fleet {
    struct balloon_machine machine; /* free_kib is kept by fleet_step */
    struct guest guest[FLEET_MAX];
    size_t guests;
    struct balloon_outcome outcome;
};

/* Everything the machine has for guests: what they have and what is free. */
uint64_t fleet_total(const struct fleet *f);
/* Memory that it wants and does not have. */
uint64_t guest_lacks(const struct guest *g);
/* Decide, tell the guests, let ms go by. */
void fleet_step(struct fleet *f, unsigned ms);

#endif
