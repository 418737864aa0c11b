/* SPDX-License-Identifier: MIT */
/*
 * XXH64, the checksum of images: plain 64-bit multiplications, which an emulated CPU does well too
 * (the CRC instruction is not on every machine, tables cost several loads a byte).
 */
#ifndef IMAGE_CHECKSUM_H
#define IMAGE_CHECKSUM_H

#define XXH_INLINE_ALL
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

struct checksum {
    XXH64_state_t state;
};

uint64_t checksum_of(uint64_t seed, const void *data, size_t length);

/* In pieces. */
void checksum_begin(struct checksum *c, uint64_t seed);
void checksum_add(struct checksum *c, const void *data, size_t length);
/* With the last piece, which may be empty. */
uint64_t checksum_end(struct checksum *c, const void *data, size_t length);

#endif
