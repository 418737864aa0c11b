/* SPDX-License-Identifier: MIT */
/*
 * Which page gives way to another: two queues and a memory of what went (S3-FIFO). A new page waits in a small queue, a tenth of
 * all. At its end it goes, unless it was hit meanwhile: then it moves to the main queue, where hits buy another round. So a scan
 * of pages that nobody wants again passes through the small queue and leaves the rest alone. A page that comes back soon after
 * it went unused (a ghost) starts in the main queue: its distance of reuse is longer than the small queue.
 *
 * A hit only counts up in the entry: nothing is moved. All of it with the cache's lock held, in a bounded number of steps.
 */
#include "bufcache_internal.h"

#define STEPS       64 /* queue ends looked at for one victim; in the last quarter hits do not count */
#define SMALL_SHARE 10
#define GHOST_TAG   20 /* bits of the hash that tell a ghost; the rest is its time */
#define GHOST_EPOCHS                                                                               \
    16 /* a ghost lives for as many evictions as there are pages, counted in so many parts */

void cache_queue_push(struct cache_queue *q, uint32_t n)
{
    struct cache_entry *e = cache_entry(n);

    e->prev = CACHE_END;
    e->next = q->count ? q->first : CACHE_END;
    if (q->count)
        cache_entry(q->first)->prev = n;
    else
        q->last = n;
    q->first = n;
    q->count++;
}

/* ---- ghosts: one a bucket, the latest ---- */

static uint32_t epoch(void)
{
    uint64_t part = bufcache.counts.pages / GHOST_EPOCHS + 1;

    return (uint32_t)(bufcache.unused_evictions / part);
}

static uint32_t ghost_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 8) & (uint32_t)(BIT(GHOST_TAG) - 1);
}

static void ghost_note(const struct cache_entry *e)
{
    uint64_t hash = cache_hash(e->object, e->page);

    bufcache.unused_evictions++;
    cache_bucket(hash)->ghost = epoch() << GHOST_TAG | ghost_tag(hash);
}

enum cache_state cache_first_queue(unsigned object, uint32_t page)
{
    uint64_t hash = cache_hash(object, page);
    uint32_t ghost = cache_bucket(hash)->ghost;
    uint32_t age = (epoch() - (ghost >> GHOST_TAG)) & (uint32_t)(BIT(32 - GHOST_TAG) - 1);

    return (ghost & (uint32_t)(BIT(GHOST_TAG) - 1)) == ghost_tag(hash) && age <= GHOST_EPOCHS
               ? CACHE_MAIN
               : CACHE_SMALL;
}

/* ---- choosing ---- */

static enum cache_state queue_to_shrink(void)
{
    uint64_t small = bufcache.queue[CACHE_SMALL].count, main = bufcache.queue[CACHE_MAIN].count;

    return small && (!main || small * SMALL_SHARE > small + main) ? CACHE_SMALL : CACHE_MAIN;
}

/* The page at a queue's end stays: it goes to the front of the main queue. */
static void spare(struct cache_entry *e, uint32_t n)
{
    e->uses = e->state == CACHE_SMALL || !e->uses ? 0 : e->uses - 1;
    cache_queue_unlink(&bufcache.queue[e->state], n);
    e->state = CACHE_MAIN;
    cache_queue_push(&bufcache.queue[CACHE_MAIN], n);
}

uint32_t cache_victim(void)
{
    for (unsigned i = 0; i < STEPS; i++) {
        enum cache_state from = queue_to_shrink();
        uint32_t n = bufcache.queue[from].last;

        if (!bufcache.queue[from].count)
            return CACHE_END;
        struct cache_entry *e = cache_entry(n);

        if (load_acquire(&e->pins) || (e->uses && i < STEPS * 3 / 4)) {
            spare(e, n);
            continue;
        }
        if (from == CACHE_SMALL)
            ghost_note(e);
        return n;
    }
    return CACHE_END;
}
