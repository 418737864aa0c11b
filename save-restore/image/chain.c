/* SPDX-License-Identifier: MIT */
#include "image/chain.h"

void chain_begin(struct chain *c, uint64_t seed)
{
    checksum_begin(&c->sum, seed);
    c->count = 0;
}

void chain_add(struct chain *c, const struct image_record *record)
{
    c->held[c->count++] = record->above_checksum;
    if (c->count == 4) {
        checksum_add(&c->sum, c->held, sizeof(c->held));
        c->count = 0;
    }
}

uint64_t chain_value(const struct chain *c)
{
    struct checksum sum = c->sum;

    return checksum_end(&sum, c->held, c->count * sizeof(c->held[0]));
}

uint64_t record_above(uint64_t seed, const struct image_record *record)
{
    return checksum_of(seed, record, offsetof(struct image_record, above_checksum));
}
