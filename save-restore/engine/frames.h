/* SPDX-License-Identifier: MIT */
/*
 * The frames of a domain by both their numbers. While saving they come from the hypervisor, which
 * knows what belongs to the domain and what is a table; the number that the guest gives a frame is
 * its own affair, as long as no other frame has the same. While restoring they are those that the
 * hypervisor gave. What it costs: 3 bits and at most 1 byte a frame, and 8 bytes (while restoring 4) for those that lie scattered.
 */
#ifndef ENGINE_FRAMES_H
#define ENGINE_FRAMES_H

#include "image/rewrite.h"
#include "image/writer.h"
#include "libpal/hv_state.h"

#define FRAMES_A_BLOCK 512u
/* What 512 numbers stand for. Mostly they stand for a row, and then one number says all of it. */
struct frames_block {
    uint32_t count; /* that stand for something; which ones is known elsewhere */
    uint32_t base;  /* what the first one would stand for, modulo 2^32 */
    uint32_t *list; /* each of them, if it is no row */
};

struct frames {
    uint64_t count;           /* gfns are below it */
    uint64_t room;            /* for how many there is memory */
    uint64_t pages;           /* populated ones */
    uint64_t machine;         /* mfns are below it; only while saving */
    struct frames_block *mfn; /* by gfn */
    struct frames_block *gfn; /* by mfn; only while saving */
    uint8_t *type;            /* by gfn: enum image_type */
    uint8_t *bitmap;          /* populated gfns */
};

/* Room for gfns below count, all of them holes. */
int frames_make(struct frames *f, uint64_t count, struct pal_error *e);
/* gfn, a hole until now, is machine frame mfn. */
int frames_set(struct frames *f, uint64_t gfn, uint64_t mfn, struct pal_error *e);
/* Of a domain that stands still; `least` is the least size, as the guest has it. */
int frames_read(struct frames *f, struct pal_hv *hv, uint32_t domain, uint64_t least,
                struct pal_error *e);
void frames_free(struct frames *f);

static inline bool frames_has(const struct frames *f, uint64_t gfn)
{
    return gfn < f->count && f->bitmap[gfn / 8] >> gfn % 8 & 1;
}
static inline uint32_t frames_block_get(const struct frames_block *blocks, uint64_t number)
{
    const struct frames_block *b = &blocks[number / FRAMES_A_BLOCK];
    uint32_t offset = number % FRAMES_A_BLOCK;

    return b->list ? b->list[offset] : b->base + offset;
}
/* Of a populated gfn. */
static inline uint32_t frames_mfn(const struct frames *f, uint64_t gfn)
{
    return frames_block_get(f->mfn, gfn);
}
/* For rewrite.h, context: the frames. REWRITE_NONE: not of the domain. */
uint64_t frames_to_gfn(void *f, uint64_t mfn);
uint64_t frames_to_mfn(void *f, uint64_t gfn);
unsigned frames_level(void *f, uint64_t gfn);

/* Map count frames of the domain, given by gfns that are populated. To be unmapped with
 * xenforeignmemory_unmap. */
void *frames_map(const struct frames *f, struct pal_hv *hv, uint32_t domain, int protection,
                 const uint32_t *gfns, unsigned count, struct pal_error *e);
/* The same for one frame by its machine frame number. */
void *frames_map_mfn(struct pal_hv *hv, uint32_t domain, int protection, uint64_t mfn,
                     struct pal_error *e);

#endif
