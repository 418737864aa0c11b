/* SPDX-License-Identifier: MIT */
/*
 * PALOP_cache_*: the lists of pages to insert and to copy. The pages copied to are granted to the caller, held and marked in use as for
 * GNTTABOP_copy; what may wait (the grant) comes before a cached page is pinned.
 */
#include "bufcache_internal.h"
#include "grant_internal.h"

#define SOME    8 /* entries read from the caller at a time, and dealt with between rest points */
#define NO_PAGE (~0ull)

/* ---- copying ---- */

/* What became of some entries, for the counters. */
struct tally {
    uint64_t hits, misses, bytes;
};

struct copying {
    struct mm_vcpu *v;
    const struct pal_cache_list *list;
    struct mm_domain *d; /* who reads */
    struct grant_side to;
    uint64_t last; /* page that was copied last */
    struct tally tally;
};

static void tally_add(struct pal_cache_counts *c, const struct tally *t)
{
    c->hits += t->hits;
    c->misses += t->misses;
    c->bytes += t->bytes;
}

static void count(struct copying *c)
{
    spin_lock(&bufcache.lock);
    struct cache_object *o = cache_object(c->list->object);
    struct cache_account *a = cache_account(c->d->cache);

    tally_add(&bufcache.counts, &c->tally);
    if (o)
        tally_add(&o->counts, &c->tally);
    if (a)
        tally_add(&a->counts, &c->tally);
    spin_unlock(&bufcache.lock);
    c->tally = (struct tally){0};
}

static inline bool inside_page(unsigned first, unsigned length)
{
    return first <= PAGE_SIZE && length <= PAGE_SIZE - first;
}

/* 0, and the entry has its status; or what is wrong with the call as a whole. */
static int copy_one(struct copying *c, struct pal_cache_copy *p)
{
    const struct gnttab_copy_ptr to = {.u.ref = p->ref, .domid = (domid_t)c->list->domain};
    struct cache_entry *e;
    const void *bytes;
    int error = 0;

    p->status = -XEN_EINVAL;
    if (!inside_page(p->start, p->length) || !inside_page(p->offset, p->length))
        return 0;
    p->status = -XEN_EACCES;
    if (grant_side_take(c->v, &c->to, &to, true) != GNTST_okay)
        return 0;
    e = cache_pin(c->list->object, p->page, c->d, p->page == c->last, &bytes, &error);
    if (!e) {
        if (error == -XEN_ESRCH || error == -XEN_EPERM)
            return error == -XEN_ESRCH ? -XEN_ENOENT : error;
        p->status = (int16_t)error;
        c->tally.misses += error == -XEN_ENOENT;
        return 0;
    }
    memcpy((char *)env_frame(frame_mfn(c->to.f)) + p->offset, (const char *)bytes + p->start,
           p->length);
    cache_unpin(e);
    p->status = 0;
    c->last = p->page;
    c->tally.hits++;
    c->tally.bytes += p->length;
    return 0;
}

/* n entries; *done is how many were dealt with. */
static int copy_some(struct copying *c, struct pal_cache_copy *some, unsigned n, unsigned *done)
{
    int rc = -XEN_EPERM;

    *done = 0;
    c->d = grant_peer(&c->to.peer, c->list->domain);
    if (c->d) {
        cache_account_open(c->d);
        rc = cache_check(c->list->object, c->d);
        for (; !rc && *done < n; ++*done) {
            rc = copy_one(c, &some[*done]);
            if (rc)
                break;
        }
        count(c);
    }
    grant_side_end(&c->to);
    return rc;
}

/* ---- inserting ---- */

static int insert_some(const struct pal_cache_list *list, struct pal_cache_page *some, unsigned n,
                       unsigned *done)
{
    struct mm_domain *d = list->domain < DOMID_FIRST_RESERVED ? env_domain_get(list->domain) : NULL;
    int rc;

    *done = 0;
    if (d)
        cache_account_open(d);
    rc = cache_check(list->object, d);
    for (; !rc && *done < n; ++*done) {
        struct pal_cache_page *p = &some[*done];

        p->status = cache_insert(list->object, p->page, p->address, d);
        if (p->status == -XEN_ENOENT) {
            rc = -XEN_ENOENT;
            break;
        }
    }
    if (d)
        env_domain_put(d);
    return rc;
}

/* ---- lists of pages ---- */

union some {
    struct pal_cache_copy copy[SOME];
    struct pal_cache_page page[SOME];
};

/* c: who copies; NULL to insert. Returns how many entries were dealt with, or what is wrong with the first. */
static long walk(const struct pal_cache_list *list, struct copying *c)
{
    size_t size = c ? sizeof(struct pal_cache_copy) : sizeof(struct pal_cache_page);
    union some some;
    unsigned dealt;

    for (unsigned i = 0; i < list->count; i += dealt) {
        unsigned n = min((unsigned)SOME, list->count - i);
        uint64_t at = list->list + i * size;
        int rc;

        if (i && !env_rest_point())
            return -XEN_EINVAL;
        if (env_copy_from_guest(&some, at, n * size))
            return -XEN_EFAULT;
        rc = c ? copy_some(c, some.copy, n, &dealt) : insert_some(list, some.page, n, &dealt);
        if (dealt && env_copy_to_guest(at, &some, dealt * size))
            return -XEN_EFAULT;
        if (rc)
            return i + dealt ? (long)(i + dealt) : rc;
    }
    return list->count;
}

static long list_op(struct mm_vcpu *v, unsigned cmd, uint64_t arg)
{
    struct pal_cache_list list;
    struct copying c = {
        .v = v, .list = &list, .to = {.peer = GRANT_NO_PEER, .writable = true}, .last = NO_PAGE};

    if (env_copy_from_guest(&list, arg, sizeof(list)))
        return -XEN_EFAULT;
    if (list.count > PAL_CACHE_BATCH)
        return -XEN_EINVAL;
    return walk(&list, cmd == PALOP_cache_copy ? &c : NULL);
}

/* ---- which pages are there ---- */

/* The object's pages of one chunk of entries; the lock is held. */
static unsigned pages_in(uint64_t chunk, unsigned object, uint32_t *pages)
{
    const struct cache_entry *e = bufcache.chunks[chunk].entries;
    unsigned n = 0;

    for (unsigned i = 0; e && i < CACHE_CHUNK; i++) {
        if ((e[i].state == CACHE_SMALL || e[i].state == CACHE_MAIN) && e[i].object == object)
            pages[n++] = e[i].page;
    }
    return n;
}

static long pages_op(uint64_t arg)
{
    uint64_t chunks = DIV_ROUND_UP(frame_count, CACHE_CHUNK);
    uint32_t pages[CACHE_CHUNK], done = 0;
    struct pal_cache_pages a;

    if (env_copy_from_guest(&a, arg, sizeof(a)))
        return -XEN_EFAULT;
    if (a.room < CACHE_CHUNK)
        return -XEN_EINVAL;
    for (; a.next < chunks && a.room - done >= CACHE_CHUNK; a.next++) {
        unsigned n = 0;
        bool there;

        spin_lock(&bufcache.lock);
        there = cache_object(a.object);
        if (there)
            n = pages_in(a.next, a.object % PAL_CACHE_OBJECTS, pages);
        spin_unlock(&bufcache.lock);
        if (!there)
            return -XEN_ENOENT;
        if (n && env_copy_to_guest(a.list + done * sizeof(*pages), pages, n * sizeof(*pages)))
            return -XEN_EFAULT;
        done += n;
        env_preempt_point();
    }
    if (a.next >= chunks)
        a.next = ~0ull;
    return env_copy_to_guest(arg, &a, sizeof(a)) ? -XEN_EFAULT : (long)done;
}

long mm_cache_op(struct mm_vcpu *v, unsigned cmd, uint64_t arg)
{
    if (!v->d->privileged)
        return -XEN_EPERM;
    switch (cmd) {
    case PALOP_cache_object:
        return cache_object_op(arg);
    case PALOP_cache_reader:
        return cache_reader_op(arg);
    case PALOP_cache_insert:
    case PALOP_cache_copy:
        return list_op(v, cmd, arg);
    case PALOP_cache_drop:
        return cache_drop_op(arg);
    case PALOP_cache_limit:
        return cache_limit_op(arg);
    case PALOP_cache_info:
        return cache_info_op(arg);
    case PALOP_cache_pages:
        return pages_op(arg);
    default:
        return -XEN_ENOSYS;
    }
}
