/* SPDX-License-Identifier: MIT */
/*
 * The frames of a domain by both their numbers. While saving they come from the hypervisor, which
 * knows what belongs to the domain and what is a table; the number that the guest gives a frame is
 * its own affair, as long as no other frame has the same. While restoring they are those that the
 * hypervisor gave.
 */
#ifndef ENGINE_FRAMES_H
#define ENGINE_FRAMES_H

#include "image/rewrite.h"
#include "image/writer.h"
#include "libpal/hv_state.h"

struct frames {
    uint64_t count;  /* gfns are below it */
    uint64_t pages;  /* populated ones */
    uint32_t *mfn;   /* by gfn; FRAMES_NONE: a hole */
    uint8_t *type;   /* by gfn: enum image_type */
    uint8_t *bitmap; /* populated gfns */
    uint32_t *gfn;   /* by mfn; only while saving */
    uint64_t machine;
};
#define FRAMES_NONE UINT32_MAX

/* Room for gfns below count, all of them holes. */
int frames_make(struct frames *f, uint64_t count, struct pal_error *e);
/* Of a domain that stands still; `least` is the least size, as the guest has it. */
int frames_read(struct frames *f, struct pal_hv *hv, uint32_t domain, uint64_t least,
                struct pal_error *e);
void frames_free(struct frames *f);

static inline bool frames_has(const struct frames *f, uint64_t gfn)
{
    return gfn < f->count && f->mfn[gfn] != FRAMES_NONE;
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
