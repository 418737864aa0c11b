/* SPDX-License-Identifier: MIT */
/* The whole-image checksum: of the header checksums of all records, so that none is lost or moved. */
#ifndef IMAGE_CHAIN_H
#define IMAGE_CHAIN_H

#include "image/checksum.h"
#include "image/format.h"

struct chain {
    struct checksum sum;
    uint64_t held[4]; /* words that do not yet fill a round */
    unsigned count;
};

void chain_begin(struct chain *c, uint64_t seed);
void chain_add(struct chain *c, const struct image_record *record);
uint64_t chain_value(const struct chain *c);

/* The checksum of a record's own header. */
uint64_t record_above(uint64_t seed, const struct image_record *record);

#endif
