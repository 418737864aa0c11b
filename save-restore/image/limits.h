/* SPDX-License-Identifier: MIT */
/* What an image must be, for its writer and its reader; bitmaps of frames. */
#ifndef IMAGE_LIMITS_H
#define IMAGE_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "image/format.h"

/* What is wrong, in words, or NULL: nothing. */
const char *state_trouble(uint32_t kind, uint32_t vcpu, uint32_t vcpus, size_t length);
const char *domain_trouble(const struct image_domain *d);
/* Of a bitmap with room for (d->frames + 7) / 8 bytes, and the frames that d names. */
const char *bitmap_trouble(const struct image_domain *d, const uint8_t *bitmap);
bool type_is_known(uint8_t type);

/* How many chunks its pages make. */
static inline uint64_t chunks_of(const struct image_domain *d)
{
    return (d->pages + IMAGE_CHUNK_PAGES - 1) / IMAGE_CHUNK_PAGES;
}
static inline bool bitmap_has(const uint8_t *bitmap, uint64_t gfn)
{
    return bitmap[gfn / 8] >> gfn % 8 & 1;
}
static inline void bitmap_set(uint8_t *bitmap, uint64_t gfn)
{
    bitmap[gfn / 8] = (uint8_t)(bitmap[gfn / 8] | 1u << gfn % 8);
}
/* Set bits below frames, which is all there are in its bytes. */
uint64_t bitmap_count(const uint8_t *bitmap, uint64_t frames);
/* The first set bit at or after `from`, or frames. */
uint64_t bitmap_next(const uint8_t *bitmap, uint64_t frames, uint64_t from);

#endif
