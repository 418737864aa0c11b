/* SPDX-License-Identifier: MIT */
/*
 * How much memory each domain should have: statistics in, targets out. No clock, no store, no
 * hypervisor: the same inputs give the same targets, so that a simulator and the tests run what the
 * daemon runs.
 *
 * Three levels are filled one after the other, each in proportion to the domains' shares, from what
 * the machine has for guests:
 *
 *   floor     what the domain uses, as far as its shares entitle it to that: never taken
 *   need      that, with room to breathe and what its pressure and swap say is missing
 *   comfort   a quarter above the need, for its own cache of files
 *
 * What remains stays free: it serves everybody's disk reads and the next domain. Memory that a domain
 * has beyond its comfort is idle, and is taken (a tax of all of it, collected slowly).
 *
 * Giving is quick: at once, from memory that is free now. Taking is slow, a part of the gap in each
 * step, faster when another domain or a reservation waits for it; and small differences move nothing.
 */
#ifndef BALLOON_POLICY_H
#define BALLOON_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the domain's file says. min <= max; shares > 0. */
struct balloon_limits {
    uint64_t min_kib, max_kib;
    unsigned shares;
};

/* What is known of it now. The guest's own words (used, swapped, pressure) are claims: believed only
 * between its limits, so that a lie moves nothing but its own share. */
struct balloon_sample {
    uint64_t current_kib; /* charged to it */
    uint64_t target_kib;  /* what it was last asked for */
    bool has_agent;       /* the next three are known */
    uint64_t used_kib;    /* its total less what it could free at once */
    uint64_t swapped_kib; /* in its swap */
    unsigned pressure;    /* tasks stalled on memory, of the last ten seconds, in 1/10000 */
    unsigned busy;        /* without an agent: its CPU time, in 1/1000 of one CPU */
    bool fixed;           /* paused, starting, being saved: stays where it is */
};

/* What the policy remembers of it from call to call. All zero for a new one. */
struct balloon_memory {
    uint64_t need_kib;  /* smoothed: rises at once, falls slowly */
    uint64_t hurt_kib;  /* below this it was under pressure; forgotten slowly */
    uint64_t last_kib;  /* current at the last call */
    uint64_t still_ms;  /* it should shrink, and has not, for so long */
    uint64_t resume_ms; /* silent: left alone for so long from now */
};

enum balloon_reason {
    BALLOON_KEEP,            /* near enough to where it should be */
    BALLOON_GROW_PRESSURE,   /* its tasks wait for memory */
    BALLOON_GROW_NEED,       /* it uses more */
    BALLOON_GROW_WAITS,      /* it should grow, and nothing is free yet */
    BALLOON_SHRINK_IDLE,     /* it does not use what it has */
    BALLOON_SHRINK_OTHERS,   /* others need it more, by their shares */
    BALLOON_SHRINK_RESERVED, /* a domain that is to start needs it */
    BALLOON_FIXED,           /* paused, starting, being saved */
    BALLOON_SILENT,          /* was asked to shrink and does not */
    BALLOON_REASONS
};
/* Half a sentence: "it does not use what it has". */
const char *balloon_reason_text(enum balloon_reason reason);

struct balloon_domain {
    struct balloon_limits limits;
    struct balloon_sample sample;
    struct balloon_memory memory; /* in and out */
    /* out */
    uint64_t floor_kib, need_kib, comfort_kib;
    uint64_t ideal_kib;  /* where it is going */
    uint64_t target_kib; /* what to ask for now */
    enum balloon_reason reason;
};

struct balloon_machine {
    uint64_t free_kib;     /* nobody's now (what only holds cached disk blocks counts as free) */
    uint64_t reserved_kib; /* promised to domains that are about to start */
    uint64_t slack_kib;    /* always left free */
};

struct balloon_outcome {
    uint64_t missing_kib; /* floors and reservations are more than the machine has, by this */
    uint64_t waiting_kib; /* what domains should get and is not free yet */
};

/* A domain that should shrink and does not move for so long is silent, and left alone for so long. */
#define BALLOON_SILENT_MS 10000u
#define BALLOON_REST_MS   60000u

/* Decide for all domains; elapsed_ms since the last call (capped at a minute inside). The sum of what
 * the domains have or are asked to have never grows past what the machine has less reservations and
 * slack; no target is below a domain's floor or above its maximum. */
struct balloon_outcome balloon_decide(const struct balloon_machine *m, struct balloon_domain *d,
                                      size_t domains, unsigned elapsed_ms);

#endif
