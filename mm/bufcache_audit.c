/* SPDX-License-Identifier: MIT */
/* The audit of the buffer cache: frames, entries, queues, buckets and counters are the same pages. Nothing else runs. */
#include "bufcache_internal.h"

static uint64_t wrong;

static void expect(bool right)
{
    wrong += !right;
}

/* A captured frame: counted where it belongs. */
static void look_at(uint32_t n, uint64_t states[])
{
    const struct cache_entry *e = cache_entry(n);

    expect(frame_table[n].flags & FRAME_CACHED);
    expect(e->pins == 0 && e->state < CACHE_QUEUES);
    if (e->state >= CACHE_QUEUES)
        return;
    states[e->state]++;
    if (e->state == CACHE_EMPTY)
        return;
    struct cache_object *o = bufcache.object[e->object];

    expect(cache_find(e->object, e->page, NULL) == n);
    expect(o && e->page < o->pages);
    expect(!e->account || cache_account(e->account));
    if (o)
        o->seen++;
    if (e->account && cache_account(e->account))
        cache_account(e->account)->seen++;
}

static void look_at_chunks(uint64_t states[])
{
    for (uint64_t i = 0; i < DIV_ROUND_UP(frame_count, CACHE_CHUNK); i++) {
        const struct cache_chunk *c = &bufcache.chunks[i];
        uint64_t first = i * CACHE_CHUNK, used = 0;

        for (uint64_t k = 0; k < CACHE_CHUNK; k++) {
            if (c->entries && c->entries[k].state != CACHE_NONE) {
                used++;
                look_at((uint32_t)(first + k), states);
            } else if (first + k < frame_count) {
                expect(!(frame_table[first + k].flags & FRAME_CACHED));
            }
        }
        expect(used == c->used && !c->entries == !used);
        expect(bufcache.captured >= used);
    }
}

static uint64_t chained(void)
{
    uint64_t total = 0;

    for (uint64_t i = 0; i < BIT(bufcache.bucket_bits); i++) {
        uint64_t before = total;

        for (uint32_t n = bufcache.buckets[i].first;
             n != CACHE_END && total <= bufcache.counts.pages; n = cache_entry(n)->chain)
            total++;
        expect(total - before <= bufcache.chain_most);
    }
    return total;
}

static void look_at_counters(void)
{
    unsigned gone = 0;

    for (unsigned i = 0; i < PAL_CACHE_OBJECTS; i++) {
        struct cache_object *o = bufcache.object[i];
        uint64_t readers = 0;

        for (unsigned k = 0; o && k < DOMID_FIRST_RESERVED; k++)
            readers += bit_test(o->may_read, k);
        expect(!o || (o->counts.pages == o->seen && o->readers == readers));
        if (o)
            o->seen = 0;
    }
    for (unsigned i = 1; i < CACHE_ACCOUNTS; i++) {
        struct cache_account *a = cache_account(i);

        expect(!a || (a->counts.pages == a->seen && (a->domain != DOMID_INVALID || a->seen)));
        if (a) {
            gone += a->domain == DOMID_INVALID;
            a->seen = 0;
        }
    }
    expect(gone == bufcache.gone);
}

uint64_t bufcache_audit(void)
{
    uint64_t states[CACHE_QUEUES] = {0};

    wrong = 0;
    if (bufcache.chunks) {
        look_at_chunks(states);
        expect(chained() == bufcache.counts.pages);
    }
    for (unsigned i = CACHE_EMPTY; i < CACHE_QUEUES; i++)
        expect(states[i] == bufcache.queue[i].count);
    expect(states[CACHE_SMALL] + states[CACHE_MAIN] == bufcache.counts.pages);
    expect(states[CACHE_EMPTY] + bufcache.counts.pages == bufcache.captured);
    expect(bufcache.captured <= palloc_free_frames());
    look_at_counters();
    return wrong;
}
