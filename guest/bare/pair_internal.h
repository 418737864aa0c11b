/* SPDX-License-Identifier: MIT */
/* The page (the store's) by which domain 0 and one of the two speak. */
#ifndef BARE_PAIR_INTERNAL_H
#define BARE_PAIR_INTERNAL_H

#include <abi/pal.h>
#include <bare/pair.h>
#include <xen/io/console.h>

struct pair_box {
    /* Domain 0 writes. */
    volatile uint64_t asked; /* counts what was asked */
    pair_fn *fn;
    uint64_t arg;
    volatile uint64_t stop;
    volatile uint64_t ping;
    struct pair_facts facts;
    /* The other writes. */
    volatile uint64_t done; /* the last one answered */
    volatile int64_t result;
    /* A witness's. */
    volatile uint64_t pong, events;
    volatile uint64_t rounds, beats, longest_gap_ns;
    volatile uint64_t broken; /* number of a thing that was not as it should be, 0: none */
};

#define PAIR_BOX(page) ((struct pair_box *)(page))

_Noreturn void pair_guest(void);
struct pair_box *pair_own_box(void);
/* Do what domain 0 asks next, if it does. */
void pair_serve(struct pair_box *box);

/* ---- witness.c ---- */
void witness_init(struct pair_box *box);
/* Our own doing may have changed the tables. */
void witness_changed(void);
void witness_round(struct pair_box *box);
const char *witness_complaint(uint64_t broken);

#endif
