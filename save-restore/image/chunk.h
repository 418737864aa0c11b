/* SPDX-License-Identifier: MIT */
/* The body of a chunk: checked against the domain and what came before, and sorted. Pure. */
#ifndef IMAGE_CHUNK_H
#define IMAGE_CHUNK_H

#include <stdbool.h>
#include <stddef.h>

#include "image/reader.h"

/* How far the pages have come. */
struct chunk_walk {
    const struct image_domain *domain;
    const uint8_t *bitmap;
    uint8_t *plain; /* bitmap of the frames a repeat may name: IMAGE_DATA, IMAGE_NORMAL; or NULL */
    uint64_t next_gfn; /* the next populated frame; domain->frames: none is left */
    struct image_end counted;
    uint64_t chunks_by[3], packed_by[3]; /* chunks and bytes, by enum image_codec */
};

/* A chunk whose body was found sound. */
struct chunk {
    enum image_codec codec;
    unsigned count; /* pages of all kinds */
    uint32_t first; /* gfn */
    unsigned data_count, zero_count, copy_count;
    struct image_page data[IMAGE_CHUNK_PAGES];
    struct image_run zero[IMAGE_CHUNK_PAGES];
    struct image_copy copy[IMAGE_CHUNK_PAGES];
};

/* The largest body. */
#define CHUNK_BODY_MAX (sizeof(struct image_chunk) + IMAGE_CHUNK_PAGES * sizeof(struct image_run))

/*
 * Check a body (aligned to 8) of body_length bytes with data_length bytes of data to come, and note its
 * pages in the walk. false: `why` (of `size` bytes) says what is wrong.
 */
bool chunk_check(struct chunk_walk *walk, const void *body, size_t body_length, size_t data_length,
                 struct chunk *chunk, char *why, size_t size);

#endif
