/* SPDX-License-Identifier: MIT */
/*
 * Which pages are zero, and which have been seen before. Pages are told apart by a keyed hash (NH of
 * UMAC and VMAC: sums of 64 by 64 bit products): for any two different pages, whoever chose them, at most
 * one key in 2^64 gives them the same hash. The key is random, new for each image, and nobody learns
 * it; so contents need not be compared, and no guest can have one page taken for another.
 *
 * Most pages are like no other, and to hash all of a page costs as much as its checksum. So a page is hashed only if some
 * words of it, its sample, were seen before; of the page that had them first the hash is made up for then.
 */
#ifndef IMAGE_REPEAT_H
#define IMAGE_REPEAT_H

#include <stdbool.h>
#include <stdint.h>

struct page_hash {
    uint64_t low, high;
};

struct repeats;

/* page: on a boundary of 16 bytes. */
bool page_is_zero(const void *page);

/* A bounded memory of pages, for a guest of so many frames; NULL: no memory, or no randomness. */
struct repeats *repeats_new(uint64_t frames);
void repeats_free(struct repeats *r);
uint32_t repeats_sample(const void *page);
/*
 * May this page be equal to one that was shown here before? If so its hash is worth making, and if *first is not UINT32_MAX the
 * hash of that frame, too (nobody is told of it again): repeats_find() is to be called for both, for *first before. The
 * caller serializes calls.
 */
bool repeats_suspect(struct repeats *r, uint32_t sample, uint32_t gfn, uint32_t *first);
struct page_hash repeats_hash(const struct repeats *r, const void *page);
/*
 * The lowest known frame with this content if it is below gfn; otherwise UINT32_MAX, and gfn is
 * remembered as having it. The caller serializes calls.
 */
uint32_t repeats_find(struct repeats *r, struct page_hash hash, uint32_t gfn);

#endif
