/* SPDX-License-Identifier: MIT */
/*
 * A guest with one disk: it puts random requests into the ring and checks what comes back against what it knows. Each
 * write has a version, larger than all before it; a sector's bytes follow from its number and version (0: the base).
 */
#ifndef UBC_TEST_GUEST_H
#define UBC_TEST_GUEST_H

#include "disk.h"

#define GUEST_SLOTS 32u
#define GUEST_PAGES 32u /* of a slot: the last one is for lists of segments */

struct guest {
    struct disk disk;
    struct blkif_sring *shared;
    uint32_t consumed;
    uint64_t sectors;
    uint32_t *version; /* of each sector, as answered */
    uint8_t *state;    /* of each sector */
    struct guest_op {
        bool used;
        uint8_t operation;
        enum request_kind kind;
        uint64_t first;
        unsigned count, segments;
        uint32_t version;
        struct request_segment segment[GUEST_PAGES];
        uint32_t *
            snapshot; /* versions that will be durable with it: what was answered before a flush, asked before a barrier */
    } op[GUEST_SLOTS];
    unsigned under_way, answers, errors;
    bool may_fail; /* answers may be errors */
    /* What each version was written to. */
    struct {
        uint64_t first;
        unsigned count;
        bool failed; /* whether it was written nobody knows */
    } * written;
    /* Flushes that were answered: after so many steps of the world these versions are durable. */
    struct guest_flush {
        unsigned step;
        uint32_t *least;
    } * flushed;
    unsigned flushes;
    /* Barriers that wrote something: who finds their data finds all that was asked before them. */
    uint32_t *asked; /* of each sector */
    struct guest_barrier {
        uint32_t version, *before;
        uint64_t first;
        unsigned count;
    } * barrier;
    unsigned barriers;
};

void guest_fill(uint8_t *to, uint64_t sector, uint32_t version);
/* The version that these bytes are; ~0: none. */
uint32_t guest_version(const uint8_t *bytes, uint64_t sector);
/* A guest of that domain on a volume. */
struct guest *guest_new(uint32_t domain, struct volume *v);
void guest_free(struct guest *g);
/* Put one random request into the ring. */
void guest_ask(struct guest *g);
/* Put a request for these sectors into it; false: there is no room. */
bool guest_put(struct guest *g, enum request_kind kind, uint64_t first, unsigned count);
/* Look at what was answered. */
void guest_listen(struct guest *g);

#endif
