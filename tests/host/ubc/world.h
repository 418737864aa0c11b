/* SPDX-License-Identifier: MIT */
/*
 * A machine for pal-blkd's engine: guests with memory that they granted, a cache that may forget at any time, and
 * files whose transfers end in any order, fail, and are lost when power goes. Everything follows from one seed.
 */
#ifndef UBC_TEST_WORLD_H
#define UBC_TEST_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "disk.h"

#define WORLD_PAGES 1024u /* of a guest's memory; page n is granted as reference n + 8 */
#define WORLD_REF   8u

extern struct world {
    uint64_t random;
    uint8_t *memory[3];
    bool cached;                        /* there is a cache */
    unsigned fail_every;                /* one of so many transfers fails; 0: none */
    bool (*spoil)(const struct io *io); /* does this one fail? NULL: none */
    int64_t now;                        /* a clock that stands still; 0: the real one */
    unsigned later;                     /* seconds that the clock is ahead of that; stays */
    unsigned reads;                     /* transfers from files */
    unsigned inserts, misses;
    const struct io_lane *lane; /* of what was begun last */
    /* Writes and synchronisations in their order, for power cuts. */
    struct world_step {
        enum io_kind kind;
        int fd;
        uint64_t offset;
        size_t size;
        uint8_t *data;
        unsigned began; /* steps that were over when it began */
        bool failed;    /* a synchronisation; what it was to save will be saved by none */
    } * step;
    unsigned steps;
    bool record;
} world;

void world_begin(uint64_t seed);
void world_end(void);
uint64_t world_random(uint64_t below);
/* Let transfers end, and disks go on, until nothing is under way. */
void world_settle(void);
/* One thing happens. False: nothing is under way. */
bool world_advance(void);
/* Pages under way at the moment. */
unsigned world_under_way(void);

#endif
