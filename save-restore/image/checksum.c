/* SPDX-License-Identifier: MIT */
/* XXH64 after its public specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md). */
#include "image/checksum.h"

#include <string.h>

#define PRIME_1 0x9e3779b185ebca87ull
#define PRIME_2 0xc2b2ae3d27d4eb4full
#define PRIME_3 0x165667b19e3779f9ull
#define PRIME_4 0x85ebca77c2b2ae63ull
#define PRIME_5 0x27d4eb2f165667c5ull

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static uint64_t load64(const uint8_t *at)
{
    uint64_t x;

    memcpy(&x, at, sizeof(x));
    return x;
}

static uint64_t round_of(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * PRIME_2, 31) * PRIME_1;
}

static uint64_t merge(uint64_t h, uint64_t lane)
{
    return (h ^ round_of(0, lane)) * PRIME_1 + PRIME_4;
}

void checksum_begin(struct checksum *c, uint64_t seed)
{
    c->lane[0] = seed + PRIME_1 + PRIME_2;
    c->lane[1] = seed + PRIME_2;
    c->lane[2] = seed;
    c->lane[3] = seed - PRIME_1;
    c->seed = seed;
    c->length = 0;
}

void checksum_add(struct checksum *c, const void *data, size_t length)
{
    uint64_t a = c->lane[0], b = c->lane[1], d = c->lane[2], f = c->lane[3];

    c->length += length;
#pragma GCC unroll 4
    for (const uint8_t *p = data; length >= 32; p += 32, length -= 32) {
        a = round_of(a, load64(p));
        b = round_of(b, load64(p + 8));
        d = round_of(d, load64(p + 16));
        f = round_of(f, load64(p + 24));
    }
    c->lane[0] = a;
    c->lane[1] = b;
    c->lane[2] = d;
    c->lane[3] = f;
}

static uint64_t tail(uint64_t h, const uint8_t *p, size_t length)
{
    for (; length >= 8; p += 8, length -= 8)
        h = rotate(h ^ round_of(0, load64(p)), 27) * PRIME_1 + PRIME_4;
    if (length >= 4) {
        uint32_t x;

        memcpy(&x, p, sizeof(x));
        h = rotate(h ^ x * PRIME_1, 23) * PRIME_2 + PRIME_3;
        p += 4;
        length -= 4;
    }
    for (; length > 0; p++, length--)
        h = rotate(h ^ *p * PRIME_5, 11) * PRIME_1;
    return h;
}

uint64_t checksum_end(struct checksum *c, const void *data, size_t length)
{
    size_t bulk = length / 32 * 32;
    uint64_t h;

    checksum_add(c, data, bulk);
    if (c->length >= 32) {
        h = rotate(c->lane[0], 1) + rotate(c->lane[1], 7) + rotate(c->lane[2], 12) +
            rotate(c->lane[3], 18);
        for (unsigned i = 0; i < 4; i++)
            h = merge(h, c->lane[i]);
    } else {
        h = c->seed + PRIME_5;
    }
    h += c->length + (length - bulk);
    if (length > bulk)
        h = tail(h, (const uint8_t *)data + bulk, length - bulk);
    h = (h ^ h >> 33) * PRIME_2;
    h = (h ^ h >> 29) * PRIME_3;
    return h ^ h >> 32;
}

uint64_t checksum_of(uint64_t seed, const void *data, size_t length)
{
    struct checksum c;

    checksum_begin(&c, seed);
    return checksum_end(&c, data, length);
}
