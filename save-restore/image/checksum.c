/* SPDX-License-Identifier: MIT */
#include "image/checksum.h"

void checksum_begin(struct checksum *c, uint64_t seed)
{
    XXH64_reset(&c->state, seed);
}

void checksum_add(struct checksum *c, const void *data, size_t length)
{
    if (length)
        XXH64_update(&c->state, data, length);
}

uint64_t checksum_end(struct checksum *c, const void *data, size_t length)
{
    checksum_add(c, data, length);
    return XXH64_digest(&c->state);
}

uint64_t checksum_of(uint64_t seed, const void *data, size_t length)
{
    return length ? XXH64(data, length, seed) : XXH64("", 0, seed);
}
