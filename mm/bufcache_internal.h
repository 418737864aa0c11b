/* SPDX-License-Identifier: MIT */
/* What the files of the buffer cache share among themselves only. */
#ifndef MM_BUFCACHE_INTERNAL_H
#define MM_BUFCACHE_INTERNAL_H

#include "abi/pal.h"
#include "internal.h"
#include "mm/bufcache.h"

#define CACHE_END      0xffffffffu /* no frame */
#define CACHE_CHUNK    128         /* entries that are allocated together: a page's worth */
#define CACHE_ACCOUNTS 1024        /* of domains; number 0 is nobody's */

enum cache_state {
    CACHE_NONE,    /* the frame is the allocator's alone */
    CACHE_EMPTY,   /* captured, holds no page; mostly because somebody still copied from it */
    CACHE_SMALL,   /* holds a page that nobody asked for again, yet */
    CACHE_MAIN,    /* holds a page that was asked for again */
    CACHE_FILLING, /* its page is being copied in */
    CACHE_TAKEN,   /* the allocator handed the frame out and waits for the last copy from it */
};
#define CACHE_QUEUES (CACHE_MAIN + 1)

/* One captured frame. Links are frame numbers. */
struct cache_entry {
    uint32_t chain;      /* of the bucket */
    uint32_t next, prev; /* in its state's queue */
    uint32_t page;       /* which page of the object */
    uint32_t pins;       /* copies from it under way; 1 while it is filled */
    uint16_t object;     /* slot */
    uint16_t account;    /* on whose behalf it was inserted */
    uint32_t bucket;     /* where it is chained */
    uint8_t state;       /* enum cache_state */
    uint8_t uses;        /* hits since it was queued, up to CACHE_USES */
    uint16_t unused;
};
_Static_assert(sizeof(struct cache_entry) * CACHE_CHUNK == PAGE_SIZE, "a chunk is a page");
#define CACHE_USES 3

struct cache_chunk {
    struct cache_entry *entries; /* NULL: none of its frames is captured */
    uint32_t used;               /* that are not CACHE_NONE */
};

struct cache_bucket {
    uint32_t first;
    uint32_t ghost; /* a page of this bucket that was lately evicted unused (bufcache_policy.c) */
};

struct cache_queue {
    uint32_t first, last, count;
};

struct cache_object {
    uint32_t number; /* as callers know it: slot and generation; CACHE_END: being retired */
    uint32_t readers;
    uint64_t name[2], pages;
    uint64_t *may_read; /* bitmap of domains */
    struct pal_cache_counts counts;
    uint64_t seen; /* the audit's */
};

struct cache_account {
    uint16_t domain; /* DOMID_INVALID: it is gone, its pages are not */
    bool off;
    uint64_t limit;
    struct pal_cache_counts counts;
    uint64_t seen; /* the audit's */
};

/* One lock for all: holders do some ten instructions, for a range of frames some ten each. */
extern struct bufcache {
    spinlock_t lock;
    struct cache_chunk *chunks; /* NULL: no object was ever made; both go with the last object */
    struct cache_bucket *buckets;
    unsigned bucket_bits;
    unsigned chain_most;       /* pages in a bucket */
    uint64_t seed[2];          /* of the hash; the second is odd */
    struct cache_entry *spare; /* a chunk for the next that is needed */
    uint64_t cursor;           /* where to look for the next frame */
    uint64_t captured;
    struct cache_queue queue[CACHE_QUEUES];
    uint32_t unused_evictions; /* the ghosts' clock */
    bool off;
    uint64_t limit;
    struct pal_cache_counts counts;
    uint32_t generation;
    struct cache_object *object[PAL_CACHE_OBJECTS];
    struct cache_account *account[CACHE_ACCOUNTS];
    unsigned gone; /* accounts of domains that are */
} bufcache;

static inline struct cache_entry *cache_entry(uint32_t n)
{
    return &bufcache.chunks[n / CACHE_CHUNK].entries[n % CACHE_CHUNK];
}

/* Guests choose the pages: which ones meet in a bucket depends on what only the hypervisor knows. */
static inline uint64_t cache_hash(unsigned object, uint32_t page)
{
    uint64_t x = (((uint64_t)object << 32 | page) ^ bufcache.seed[0]) * 0x9e3779b97f4a7c15ull;

    return (x ^ x >> 32) * bufcache.seed[1];
}
static inline struct cache_bucket *cache_bucket(uint64_t hash)
{
    return &bufcache.buckets[hash >> (64 - bufcache.bucket_bits)];
}

/* ---- everything below to the next line: with the lock held ---- */

/* The frame that holds the page, or CACHE_END. *steps, if wanted: how many pages of the bucket were looked at. */
static inline uint32_t cache_find(unsigned object, uint32_t page, unsigned *steps)
{
    uint32_t n = cache_bucket(cache_hash(object, page))->first;

    while (n != CACHE_END) {
        const struct cache_entry *e = cache_entry(n);

        if (e->page == page && e->object == object)
            break;
        if (steps)
            ++*steps;
        n = e->chain;
    }
    return n;
}

static inline void cache_queue_unlink(struct cache_queue *q, uint32_t n)
{
    struct cache_entry *e = cache_entry(n);

    if (e->prev != CACHE_END)
        cache_entry(e->prev)->next = e->next;
    else
        q->first = e->next;
    if (e->next != CACHE_END)
        cache_entry(e->next)->prev = e->prev;
    else
        q->last = e->prev;
    q->count--;
}

/* The object of that number, not being retired. */
static inline struct cache_object *cache_object(uint32_t number)
{
    struct cache_object *o = bufcache.object[number % PAL_CACHE_OBJECTS];

    return o && o->number == number && number != CACHE_END ? o : NULL;
}
static inline struct cache_account *cache_account(unsigned slot)
{
    return bufcache.account[slot];
}
/* d may read o, and takes part. */
bool cache_allowed(const struct cache_object *o, const struct mm_domain *d);
/* An account lost pages; a domain's that is gone is freed with the last. */
void cache_account_less(unsigned slot, uint64_t pages);
/* Whether a page was inserted on behalf of a domain that is gone. */
static inline bool cache_of_the_gone(const struct cache_entry *e)
{
    return e->account && cache_account(e->account)->domain == DOMID_INVALID;
}

/* bufcache_policy.c */
void cache_queue_push(struct cache_queue *q, uint32_t n);
/* A page of the cache's choice, out of its queue, still findable: to be replaced. CACHE_END: none. */
uint32_t cache_victim(void);
/* Where a new page begins: CACHE_MAIN if it was evicted lately, else CACHE_SMALL. */
enum cache_state cache_first_queue(unsigned object, uint32_t page);

/* ---- without the lock ---- */

/* Tables for a first object; 0 or -XEN_ENOMEM. */
int cache_start(void);
/* Free them if nothing needs them any more. */
void cache_stop_if_unused(void);
/* Let go of pages: of an object (slot), or on behalf of an account, as long as it has more than `keep`; both CACHE_END: of all. May
 * be preempted. */
void cache_forget(uint32_t object, uint32_t account, uint64_t keep);
/* Pages that domains inserted which are gone become nobody's: their accounts end. May be preempted. */
void cache_disown(void);
/* Evict until the limit of the whole is kept. May be preempted. */
void cache_shrink(void);
/* May d read (or insert on its behalf; NULL: on nobody's) pages of the object? 0, -XEN_ENOENT, -XEN_EPERM. */
int cache_check(uint32_t number, const struct mm_domain *d);
/* One page from the calling vCPU's memory, on behalf of d (NULL: of nobody). May be preempted. 0, -XEN_EEXIST, -XEN_ENOMEM, -XEN_EINVAL, -XEN_EFAULT, -XEN_ENOENT. */
int cache_insert(uint32_t number, uint64_t page, uint64_t from, const struct mm_domain *d);
/* Find a page for d and keep it from being overwritten: its entry, to be given to cache_unpin without waiting for anything before.
 * `again`: this is the same reading as the last. NULL: *error is -XEN_ENOENT (a miss), -XEN_EINVAL (beyond the end), -XEN_ESRCH (no such
 * object) or -XEN_EPERM. */
struct cache_entry *cache_pin(uint32_t number, uint64_t page, const struct mm_domain *d, bool again,
                              const void **bytes, int *error);
void cache_unpin(struct cache_entry *e);

/* Let d have an account if it can. May be preempted. */
void cache_account_open(struct mm_domain *d);
/* The commands about objects and limits (bufcache_object.c). */
long cache_object_op(uint64_t arg);
long cache_reader_op(uint64_t arg);
long cache_drop_op(uint64_t arg);
long cache_limit_op(uint64_t arg);
long cache_info_op(uint64_t arg);

#endif
