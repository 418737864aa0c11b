/* SPDX-License-Identifier: MIT */
#include "image/repeat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define WORDS 512u
#define WAYS  4u

struct known {
    struct page_hash hash;
    uint32_t gfn;
    uint32_t used; /* 0: free; otherwise when it was last of use */
};

/* A page by its sample. */
struct seen {
    uint32_t sample;
    uint32_t gfn : 31, hashed : 1;
};
#define NOBODY 0x7fffffffu /* no guest has so many frames */

struct repeats {
    uint64_t key[WORDS];
    uint64_t sets; /* a power of two */
    uint32_t clock;
    struct seen *seen; /* sets of WAYS, the latest first */
    struct known known[];
};

typedef uint64_t pair __attribute__((vector_size(16), may_alias));

/* Mostly the first look is enough, for a page that is not. */
bool page_is_zero(const void *page)
{
    const pair *p = page;
    const uint64_t *first = page;

    if (first[0] | first[1])
        return false;
    for (unsigned i = 0; i < WORDS / 2; i += 32) {
        pair any = p[i];

#pragma GCC unroll 31
        for (unsigned k = 1; k < 32; k++)
            any |= p[i + k];
        if (any[0] | any[1])
            return false;
    }
    return true;
}

static bool fill_random(void *at, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = getrandom((char *)at + done, size - done, 0);

        if (got < 0 && errno != EINTR)
            return false;
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

struct repeats *repeats_new(uint64_t frames)
{
    uint64_t sets = 64;
    struct repeats *r;

    while (sets * WAYS < frames && sets * WAYS < 1u << 18) /* 8 MiB at most */
        sets *= 2;
    r = calloc(1, sizeof(*r) + sets * WAYS * sizeof(struct known));
    if (!r)
        return NULL;
    r->sets = sets;
    r->seen = malloc(sets * WAYS * sizeof(*r->seen));
    if (!r->seen || !fill_random(r->key, sizeof(r->key))) {
        repeats_free(r);
        return NULL;
    }
    for (uint64_t i = 0; i < sets * WAYS; i++)
        r->seen[i] = (struct seen){.gfn = NOBODY};
    return r;
}

void repeats_free(struct repeats *r)
{
    if (!r)
        return;
    explicit_bzero(r->key, sizeof(r->key));
    free(r->seen);
    free(r);
}

/* One word of each 128 bytes, at differing places. */
uint32_t repeats_sample(const void *page)
{
    const uint64_t *m = page;
    uint64_t sum = 0;

#pragma GCC unroll 32
    for (unsigned i = 0; i < WORDS / 16; i++)
        sum = (sum + m[16 * i + 7 * i % 16]) * 0x9e3779b97f4a7c15ull;
    return (uint32_t)(sum >> 32);
}

bool repeats_suspect(struct repeats *r, uint32_t sample, uint32_t gfn, uint32_t *first)
{
    struct seen *set = &r->seen[(sample & (r->sets - 1)) * WAYS];

    *first = UINT32_MAX;
    for (unsigned i = 0; i < WAYS && set[i].gfn != NOBODY; i++) {
        if (set[i].sample != sample)
            continue;
        if (!set[i].hashed)
            *first = set[i].gfn;
        set[i].hashed = 1;
        return true;
    }
    memmove(set + 1, set, (WAYS - 1) * sizeof(*set));
    *set = (struct seen){sample, gfn & NOBODY, 0};
    return false;
}

struct page_hash repeats_hash(const struct repeats *r, const void *page)
{
    const uint64_t *m = page, *k = r->key;
    unsigned __int128 sum = 0;

#pragma GCC unroll 8
    for (unsigned i = 0; i < WORDS; i += 4) {
        sum += (unsigned __int128)(m[i] + k[i]) * (m[i + 1] + k[i + 1]);
        sum += (unsigned __int128)(m[i + 2] + k[i + 2]) * (m[i + 3] + k[i + 3]);
    }
    return (struct page_hash){(uint64_t)sum, (uint64_t)(sum >> 64)};
}

static void keep(struct repeats *r, struct known *set, struct page_hash hash, uint32_t gfn)
{
    struct known *at = set;

    for (unsigned i = 1; i < WAYS; i++)
        if (set[i].used < at->used)
            at = &set[i];
    *at = (struct known){hash, gfn, ++r->clock};
}

uint32_t repeats_find(struct repeats *r, struct page_hash hash, uint32_t gfn)
{
    struct known *set = &r->known[((hash.low ^ hash.high) & (r->sets - 1)) * WAYS];

    for (unsigned i = 0; i < WAYS; i++) {
        struct known *k = &set[i];

        if (!k->used || k->hash.low != hash.low || k->hash.high != hash.high)
            continue;
        k->used = ++r->clock;
        if (k->gfn < gfn)
            return k->gfn;
        k->gfn = gfn; /* the lower one serves more of those to come */
        return UINT32_MAX;
    }
    keep(r, set, hash, gfn);
    return UINT32_MAX;
}
