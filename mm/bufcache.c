/* SPDX-License-Identifier: MIT */
/*
 * The buffer cache's pages. A page lies in a free frame, which stays on the allocator's lists: the frame is *captured*, that is, marked
 * (FRAME_CACHED) and described by an entry, until the allocator hands it out (bufcache_taken) or the cache lets go of it
 * (release). Entries are found by frame number, in chunks that exist while one of their frames is captured; pages are found by
 * (object, page) in a hash table.
 *
 * A page's bytes are written once, before it can be found, by who captured the frame, after the flush that the allocator would have done;
 * and read by copies that pin the entry. Nobody who pins waits for anything but TLB flushes, so who takes the frame may spin for it.
 */
#include "bufcache_internal.h"

#define LOOK        512 /* frames looked at for a free one at a time */
#define CHAIN_LEAST 32  /* a bucket never refuses so many pages */

struct bufcache bufcache = {.lock = SPINLOCK_INIT, .limit = ~0ull};

/* ---- tables ---- */

static unsigned chunk_count(void)
{
    return (unsigned)DIV_ROUND_UP(frame_count, CACHE_CHUNK);
}

/* As many buckets as half of the frames, rounded up, or fewer where that is not to be had in one piece. */
static struct cache_bucket *new_buckets(unsigned *bits)
{
    struct cache_bucket *b = NULL;

    for (*bits = highest_bit(frame_count | 2); !b && *bits >= 4; --*bits)
        b = heap_alloc(sizeof(*b) << *bits);
    ++*bits;
    for (uint64_t i = 0; b && i < BIT(*bits); i++) {
        b[i].first = CACHE_END;
        if (i % 4096 == 4095)
            env_preempt_point();
    }
    return b;
}

int cache_start(void)
{
    struct cache_chunk *chunks;
    struct cache_bucket *buckets;
    uint64_t seed[2];
    unsigned bits;

    if (load_acquire(&bufcache.chunks))
        return 0;
    chunks = heap_alloc(chunk_count() * sizeof(*chunks));
    buckets = new_buckets(&bits);
    seed[0] = env_random();
    seed[1] = env_random() | 1;
    if (!chunks || !buckets) {
        heap_free(chunks);
        heap_free(buckets);
        return -XEN_ENOMEM;
    }
    spin_lock(&bufcache.lock);
    if (!bufcache.chunks) {
        bufcache.buckets = buckets;
        bufcache.bucket_bits = bits;
        /* So many never meet by chance. */
        bufcache.chain_most = (unsigned)(CHAIN_LEAST + 4 * (frame_count >> bits));
        bufcache.seed[0] = seed[0];
        bufcache.seed[1] = seed[1];
        store_release(&bufcache.chunks, chunks);
        chunks = NULL;
        buckets = NULL;
    }
    spin_unlock(&bufcache.lock);
    heap_free(chunks);
    heap_free(buckets);
    return 0;
}

void cache_stop_if_unused(void)
{
    struct cache_chunk *chunks = NULL;
    struct cache_bucket *buckets = NULL;
    struct cache_entry *spare = NULL;
    bool used;

    spin_lock(&bufcache.lock);
    used = bufcache.captured;
    for (unsigned i = 0; i < PAL_CACHE_OBJECTS && !used; i++)
        used = bufcache.object[i];
    if (!used) {
        chunks = bufcache.chunks;
        buckets = bufcache.buckets;
        spare = bufcache.spare;
        bufcache.chunks = NULL;
        bufcache.buckets = NULL;
        bufcache.spare = NULL;
    }
    spin_unlock(&bufcache.lock);
    heap_free(chunks);
    heap_free(buckets);
    heap_free(spare);
}

/* A chunk at hand for the next captured frame, which may need one: nothing is allocated under the lock. */
static void provide_spare(void)
{
    struct cache_entry *entries;

    if (load_relaxed(&bufcache.spare))
        return;
    entries = heap_alloc(PAGE_SIZE);
    spin_lock(&bufcache.lock);
    if (!bufcache.spare && bufcache.chunks) {
        bufcache.spare = entries;
        entries = NULL;
    }
    spin_unlock(&bufcache.lock);
    heap_free(entries);
}

/* ---- frames; the lock is held ---- */

/* Free frames that are not captured. Nearly: some may be on their way to their taker. */
static uint64_t uncaptured(void)
{
    uint64_t free = palloc_free_frames();

    return free > bufcache.captured ? free - bufcache.captured : 0;
}

/* Capture a free frame for filling; CACHE_END. */
static uint32_t capture(uint64_t *stamp)
{
    struct cache_chunk *c;
    struct cache_entry *e;
    mfn_t m;

    if (!bufcache.spare)
        return CACHE_END;
    m = palloc_capture(&bufcache.cursor, LOOK, stamp);
    if (mfn_eq(m, MFN_NONE))
        return CACHE_END;
    c = &bufcache.chunks[m.n / CACHE_CHUNK];
    if (!c->entries) {
        c->entries = bufcache.spare;
        bufcache.spare = NULL;
    }
    c->used++;
    bufcache.captured++;
    e = cache_entry((uint32_t)m.n);
    CHECK_EQ(e->state, CACHE_NONE);
    *e = (struct cache_entry){.state = CACHE_FILLING, .pins = 1};
    return (uint32_t)m.n;
}

/* So many entries of a chunk have ended: they are CACHE_NONE, in no queue, and nobody has them pinned. */
static void end_entries(struct cache_chunk *c, uint64_t count)
{
    bufcache.captured -= count;
    c->used -= (uint32_t)count;
    if (c->used)
        return;
    if (!bufcache.spare)
        bufcache.spare = c->entries;
    else
        heap_free(c->entries);
    c->entries = NULL;
}

static void release(uint32_t n)
{
    palloc_release(mfn(n));
    cache_entry(n)->state = CACHE_NONE;
    end_entries(&bufcache.chunks[n / CACHE_CHUNK], 1);
}

/* The page of an entry can be found no more. Its bytes stay until they are overwritten or scrubbed. The counters are the caller's. */
static inline void unchain(struct cache_entry *e, uint32_t n)
{
    uint32_t *link = &bufcache.buckets[e->bucket].first;

    while (*link != n)
        link = &cache_entry(*link)->chain;
    *link = e->chain;
}

static void unlink_page(struct cache_entry *e, uint32_t n)
{
    unchain(e, n);
    cache_queue_unlink(&bufcache.queue[e->state], n);
    bufcache.counts.pages--;
    bufcache.object[e->object]->counts.pages--;
    cache_account_less(e->account, 1);
}

/* Replace a page: its frame, for filling. */
static uint32_t evict(void)
{
    uint32_t n = cache_victim();
    struct cache_entry *e;

    if (n == CACHE_END)
        return n;
    e = cache_entry(n);
    bufcache.counts.evictions++;
    bufcache.object[e->object]->counts.evictions++;
    if (e->account)
        cache_account(e->account)->counts.evictions++;
    unlink_page(e, n);
    e->state = CACHE_FILLING;
    e->pins = 1;
    return n;
}

/* A captured frame without a page that nobody copies from any more. */
static uint32_t reuse_empty(void)
{
    struct cache_queue *q = &bufcache.queue[CACHE_EMPTY];
    uint32_t n = q->count ? q->last : CACHE_END;

    if (n == CACHE_END || load_acquire(&cache_entry(n)->pins))
        return CACHE_END;
    cache_queue_unlink(q, n);
    cache_entry(n)->state = CACHE_FILLING;
    cache_entry(n)->pins = 1;
    return n;
}

/* Worth looking on for a free frame instead of replacing a page? A few that lie far away are not. */
static bool many_uncaptured(void)
{
    return uncaptured() > bufcache.counts.pages / 16;
}

/* A frame to fill, and the stamp up to which it is to be flushed first (others were flushed when they were captured). */
static uint32_t obtain(uint64_t *stamp, bool look_on)
{
    uint32_t n;

    *stamp = 0;
    if (bufcache.counts.pages >= bufcache.limit)
        return evict();
    n = reuse_empty();
    if (n == CACHE_END && uncaptured())
        n = capture(stamp);
    return n == CACHE_END && !(look_on && many_uncaptured()) ? evict() : n;
}

static void let_go(uint32_t n)
{
    struct cache_entry *e = cache_entry(n);

    if (e->state == CACHE_EMPTY)
        cache_queue_unlink(&bufcache.queue[CACHE_EMPTY], n);
    else
        unlink_page(e, n);
    if (load_acquire(&e->pins)) {
        e->state = CACHE_EMPTY;
        cache_queue_push(&bufcache.queue[CACHE_EMPTY], n);
    } else {
        release(n);
    }
}

/* ---- inserting ---- */

static int may_insert(uint32_t number, uint64_t page, const struct mm_domain *d)
{
    const struct cache_object *o = cache_object(number);
    const struct cache_account *a = d ? cache_account(d->cache) : NULL;
    unsigned steps = 0;

    if (!o)
        return -XEN_ENOENT;
    if (page >= o->pages)
        return -XEN_EINVAL;
    if (cache_find(number % PAL_CACHE_OBJECTS, (uint32_t)page, &steps) != CACHE_END)
        return -XEN_EEXIST;
    if (steps >= bufcache.chain_most || bufcache.off || !bufcache.limit ||
        (a && (a->off || a->counts.pages >= a->limit)))
        return -XEN_ENOMEM;
    return 0;
}

/* A frame that is being filled; 0 or why not. Looks at all of the machine for it, in pieces, if that is worth it. */
static int prepare_frame(uint32_t number, uint64_t page, const struct mm_domain *d, uint32_t *n,
                         uint64_t *stamp)
{
    int rc = -XEN_EAGAIN;

    for (uint64_t looked = 0; rc == -XEN_EAGAIN; looked += LOOK) {
        if (looked)
            env_preempt_point();
        provide_spare();
        spin_lock(&bufcache.lock);
        rc = may_insert(number, page, d);
        if (!rc) {
            bool look_on = looked < frame_count && bufcache.spare;

            *n = obtain(stamp, look_on);
            if (*n == CACHE_END)
                rc = look_on && many_uncaptured() ? -XEN_EAGAIN : -XEN_ENOMEM;
        }
        spin_unlock(&bufcache.lock);
    }
    return rc;
}

static void publish(struct cache_entry *e, uint32_t n, unsigned object, uint32_t page,
                    unsigned account)
{
    struct cache_bucket *b = cache_bucket(cache_hash(object, page));

    *e = (struct cache_entry){
        .chain = b->first,
        .bucket = (uint32_t)(b - bufcache.buckets),
        .page = page,
        .object = (uint16_t)object,
        .account = (uint16_t)account,
        .state = (uint8_t)cache_first_queue(object, page),
    };
    b->first = n;
    cache_queue_push(&bufcache.queue[e->state], n);
    bufcache.counts.pages++;
    bufcache.counts.inserts++;
    bufcache.object[object]->counts.pages++;
    bufcache.object[object]->counts.inserts++;
    if (account) {
        cache_account(account)->counts.pages++;
        cache_account(account)->counts.inserts++;
    }
}

int cache_insert(uint32_t number, uint64_t page, uint64_t from, const struct mm_domain *d)
{
    struct cache_entry *e;
    uint64_t stamp;
    uint32_t n;
    int rc = prepare_frame(number, page, d, &n, &stamp);

    if (rc)
        return rc;
    /* The frame's last owner may still reach it through what a CPU remembers. */
    env_flush_since(stamp);
    if (env_copy_from_guest(env_frame(mfn(n)), from, PAGE_SIZE))
        rc = -XEN_EFAULT;
    spin_lock(&bufcache.lock);
    e = cache_entry(n);
    if (e->state == CACHE_TAKEN) {
        rc = -XEN_ENOMEM;
        store_release(&e->pins, 0); /* its taker waits for this */
    } else {
        /* Much may have happened meanwhile. */
        if (!rc)
            rc = may_insert(number, page, d);
        if (!rc)
            publish(e, n, number % PAL_CACHE_OBJECTS, (uint32_t)page, d ? d->cache : 0);
        else
            release(n);
    }
    spin_unlock(&bufcache.lock);
    return rc;
}

/* ---- copying out ---- */

struct cache_entry *cache_pin(uint32_t number, uint64_t page, const struct mm_domain *d, bool again,
                              const void **bytes, int *error)
{
    struct cache_entry *e = NULL;
    uint32_t n = CACHE_END;

    spin_lock(&bufcache.lock);
    struct cache_object *o = cache_object(number);

    if (!o || !cache_allowed(o, d)) {
        *error = o ? -XEN_EPERM : -XEN_ESRCH;
    } else if (page >= o->pages) {
        *error = -XEN_EINVAL;
    } else {
        n = cache_find(number % PAL_CACHE_OBJECTS, (uint32_t)page, NULL);
        *error = -XEN_ENOENT;
    }
    if (n != CACHE_END) {
        e = cache_entry(n);
        fetch_add(&e->pins, 1);
        if (!again && e->uses < CACHE_USES)
            e->uses++;
        *bytes = env_frame(mfn(n));
    }
    spin_unlock(&bufcache.lock);
    return e;
}

void cache_unpin(struct cache_entry *e)
{
    fetch_sub(&e->pins, 1);
}

/* ---- letting go ---- */

/*
 * Frames that were taken, one after the other, whose pages are of one object and account and stand one after the other in one queue: as
 * they do when they were read one after the other. They are out of their buckets; queue and counters follow for all of them.
 */
struct taken {
    uint32_t low, high; /* frames; the higher stands nearer to the queue's front */
    uint32_t pages;
    uint16_t object, account;
    uint8_t state;
};

static void end_run(struct taken *t)
{
    struct cache_queue *q = &bufcache.queue[t->state];
    struct cache_account *a;
    uint32_t next, prev;

    if (!t->pages)
        return;
    next = cache_entry(t->low)->next;
    prev = cache_entry(t->high)->prev;
    *(prev != CACHE_END ? &cache_entry(prev)->next : &q->first) = next;
    *(next != CACHE_END ? &cache_entry(next)->prev : &q->last) = prev;
    q->count -= t->pages;
    bufcache.counts.pages -= t->pages;
    bufcache.counts.taken += t->pages;
    bufcache.object[t->object]->counts.pages -= t->pages;
    bufcache.object[t->object]->counts.taken += t->pages;
    a = cache_account(t->account);
    if (a)
        a->counts.taken += t->pages;
    cache_account_less(t->account, t->pages);
    t->pages = 0;
}

/* Does a page that nobody copies from go on with the run? */
static inline bool goes_on(const struct taken *t, const struct cache_entry *e, uint32_t n)
{
    return t->pages && e->next == t->high && n == t->high + 1 && e->state == t->state &&
           e->object == t->object && e->account == t->account;
}

/* A frame with an entry that is empty, being filled, or copied from: the lock is let go of meanwhile. */
static void wait_for(struct cache_entry *e, uint32_t n)
{
    if (e->state == CACHE_EMPTY) {
        cache_queue_unlink(&bufcache.queue[CACHE_EMPTY], n);
    } else if (e->state != CACHE_FILLING) {
        bufcache.counts.taken++;
        bufcache.object[e->object]->counts.taken++;
        if (e->account)
            cache_account(e->account)->counts.taken++;
        unlink_page(e, n);
    }
    e->state = CACHE_TAKEN;
    spin_unlock(&bufcache.lock);
    while (load_acquire(&e->pins))
        spin_wait();
    spin_lock(&bufcache.lock);
}

/* Few instructions a page: this is what an allocation pays for the cache. */
void bufcache_taken(mfn_t first, uint64_t count)
{
    struct taken t = {0};
    uint64_t ended = 0;

    spin_lock(&bufcache.lock);
    /* All are of one chunk, which stays as long as one of its entries is not ended; it may be gone already. */
    struct cache_chunk *c = bufcache.chunks ? &bufcache.chunks[first.n / CACHE_CHUNK] : NULL;
    struct cache_entry *e = c && c->entries ? &c->entries[first.n % CACHE_CHUNK] : NULL;

    for (uint32_t n = (uint32_t)first.n; e && n < first.n + count; n++, e++) {
        if (e->state == CACHE_NONE)
            continue;
        if (likely((e->state == CACHE_SMALL || e->state == CACHE_MAIN) &&
                   !load_acquire(&e->pins))) {
            unchain(e, n);
            if (!goes_on(&t, e, n)) {
                end_run(&t);
                t = (struct taken){n, n, 0, e->object, e->account, e->state};
            }
            t.high = n;
            t.pages++;
        } else {
            end_run(&t);
            wait_for(e, n);
        }
        e->state = CACHE_NONE;
        ended++;
    }
    end_run(&t);
    if (ended)
        end_entries(c, ended);
    spin_unlock(&bufcache.lock);
}

struct meant {
    uint32_t object, account;
    uint64_t keep;
};

/* Those of a chunk that are meant. */
static void forget_in(unsigned chunk, const struct meant *all)
{
    for (unsigned i = 0; i < CACHE_CHUNK && bufcache.chunks[chunk].entries; i++) {
        uint32_t n = chunk * CACHE_CHUNK + i;
        const struct cache_entry *e = cache_entry(n);
        bool meant = e->state == CACHE_SMALL || e->state == CACHE_MAIN;

        if (meant && all->object != CACHE_END)
            meant = e->object == all->object;
        if (meant && all->account != CACHE_END)
            meant =
                e->account == all->account && cache_account(all->account)->counts.pages > all->keep;
        if (meant || (e->state == CACHE_EMPTY && !load_acquire(&e->pins)))
            let_go(n);
    }
}

/* Those of a chunk whose domains are gone. */
static void disown_in(unsigned chunk, const struct meant *unused)
{
    struct cache_entry *e = bufcache.chunks[chunk].entries;

    (void)unused;
    for (unsigned i = 0; i < CACHE_CHUNK; i++, e++) {
        unsigned account = e->account;

        if ((e->state != CACHE_SMALL && e->state != CACHE_MAIN) || !cache_of_the_gone(e))
            continue;
        e->account = 0;
        cache_account_less(account, 1);
    }
}

/* For each chunk that there is, with the lock held, which is let go of in between. */
static void each_chunk(void (*look)(unsigned chunk, const struct meant *),
                       const struct meant *meant)
{
    for (unsigned chunk = 0; chunk < chunk_count();) {
        unsigned empty = 0;

        spin_lock(&bufcache.lock);
        if (!bufcache.chunks)
            chunk = chunk_count();
        while (chunk < chunk_count() && empty < CACHE_CHUNK) {
            if (bufcache.chunks[chunk].entries) {
                look(chunk++, meant);
                break;
            }
            chunk++;
            empty++;
        }
        spin_unlock(&bufcache.lock);
        env_preempt_point();
    }
}

void cache_forget(uint32_t object, uint32_t account, uint64_t keep)
{
    struct meant meant = {object, account, keep};

    each_chunk(forget_in, &meant);
}

void cache_disown(void)
{
    each_chunk(disown_in, NULL);
}

void cache_shrink(void)
{
    bool more = true;

    while (more) {
        spin_lock(&bufcache.lock);
        more = bufcache.counts.pages > bufcache.limit;
        if (more) {
            uint32_t n = evict();

            if (n != CACHE_END)
                release(n);
        }
        spin_unlock(&bufcache.lock);
        env_preempt_point();
    }
}

uint64_t bufcache_pages(void)
{
    return load_relaxed(&bufcache.counts.pages);
}
