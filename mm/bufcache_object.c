/* SPDX-License-Identifier: MIT */
/*
 * What pages are pages of, and who may read them: objects, their readers, domains' accounts, limits.
 *
 * An object's number names its slot and a generation, so that a number is not used again for another object when the first is
 * retired: a call that is late with an old number finds nothing.
 */
#include "bufcache_internal.h"

#define GENERATIONS (1u << 21) /* a number is below 2^31 */

/* ---- the lock is held ---- */

bool cache_allowed(const struct cache_object *o, const struct mm_domain *d)
{
    const struct cache_account *a = cache_account(d->cache);

    return !bufcache.off && !(a && a->off) && bit_test(o->may_read, d->id);
}

static void close_account(unsigned slot)
{
    bufcache.gone -= bufcache.account[slot]->domain == DOMID_INVALID;
    heap_free(bufcache.account[slot]);
    bufcache.account[slot] = NULL;
}

void cache_account_less(unsigned slot, uint64_t pages)
{
    struct cache_account *a = cache_account(slot);

    if (!a)
        return;
    a->counts.pages -= pages;
    if (!a->counts.pages && a->domain == DOMID_INVALID)
        close_account(slot);
}

static struct cache_object *object_by_name(const uint64_t *name)
{
    for (unsigned i = 0; i < PAL_CACHE_OBJECTS; i++) {
        struct cache_object *o = bufcache.object[i];

        if (o && o->number != CACHE_END && o->name[0] == name[0] && o->name[1] == name[1])
            return o;
    }
    return NULL;
}

/* ---- accounts ---- */

int cache_check(uint32_t number, const struct mm_domain *d)
{
    const struct cache_object *o;
    int rc = 0;

    spin_lock(&bufcache.lock);
    o = cache_object(number);
    if (!o)
        rc = -XEN_ENOENT;
    else if (d ? !cache_allowed(o, d) : bufcache.off)
        rc = -XEN_EPERM;
    spin_unlock(&bufcache.lock);
    return rc;
}

/* *a is d's, and NULL then, if there is a slot. Returns whether there would be one without the accounts of the gone. */
static bool open_account(struct mm_domain *d, struct cache_account **a)
{
    bool in_the_way;

    spin_lock(&bufcache.lock);
    for (unsigned i = 1; i < CACHE_ACCOUNTS && !d->cache && !load_relaxed(&d->dying); i++) {
        if (!bufcache.account[i]) {
            bufcache.account[i] = *a;
            store_relaxed(&d->cache, (uint16_t)i);
            *a = NULL;
        }
    }
    in_the_way = !d->cache && !load_relaxed(&d->dying) && bufcache.gone;
    spin_unlock(&bufcache.lock);
    return in_the_way;
}

void cache_account_open(struct mm_domain *d)
{
    struct cache_account *a = load_relaxed(&d->cache) ? NULL : heap_alloc(sizeof(*a));

    if (!a)
        return;
    *a = (struct cache_account){.domain = d->id, .limit = ~0ull};
    if (open_account(d, &a)) {
        cache_disown();
        (void)open_account(d, &a);
    }
    heap_free(a);
}

void bufcache_domain_end(struct mm_domain *d)
{
    struct cache_account *a;

    spin_lock(&bufcache.lock);
    for (unsigned i = 0; i < PAL_CACHE_OBJECTS; i++) {
        struct cache_object *o = bufcache.object[i];

        if (o && bit_test_and_clear(o->may_read, d->id))
            o->readers--;
    }
    a = cache_account(d->cache);
    if (a && a->counts.pages) {
        a->domain = DOMID_INVALID;
        bufcache.gone++;
    } else if (a) {
        close_account(d->cache);
    }
    d->cache = 0;
    spin_unlock(&bufcache.lock);
}

/* ---- objects ---- */

static struct cache_object *new_object(const struct pal_cache_object *arg)
{
    struct cache_object *o = heap_alloc(sizeof(*o));

    if (!o)
        return NULL;
    o->may_read = heap_alloc(PAGE_SIZE); /* a bit for each number that a domain may have */
    _Static_assert(DOMID_FIRST_RESERVED <= PAGE_SIZE * 8, "a page of readers");
    o->name[0] = arg->name[0];
    o->name[1] = arg->name[1];
    o->pages = arg->pages;
    if (!o->may_read) {
        heap_free(o);
        return NULL;
    }
    return o;
}

static void free_object(struct cache_object *o)
{
    if (o)
        heap_free(o->may_read);
    heap_free(o);
}

/* The number of the object of that name; `o`, if there is none, which is NULL on return if it was used. */
static long find_or_add(const struct pal_cache_object *arg, struct cache_object **o)
{
    const struct cache_object *known = object_by_name(arg->name);

    if (known)
        return known->pages == arg->pages ? (long)known->number : -XEN_EINVAL;
    if (!bufcache.chunks)
        return -XEN_EAGAIN; /* the last object went just now, and the tables with it */
    for (unsigned i = 0; i < PAL_CACHE_OBJECTS; i++) {
        if (bufcache.object[i])
            continue;
        (*o)->number = bufcache.generation++ % GENERATIONS * PAL_CACHE_OBJECTS + i;
        bufcache.object[i] = *o;
        *o = NULL;
        return (long)bufcache.object[i]->number;
    }
    return -XEN_ENOSPC;
}

long cache_object_op(uint64_t arg)
{
    struct pal_cache_object a;
    long rc;

    if (env_copy_from_guest(&a, arg, sizeof(a)))
        return -XEN_EFAULT;
    if (!a.pages || a.pages > PAL_CACHE_MAX_PAGES)
        return -XEN_EINVAL;
    do {
        struct cache_object *o = cache_start() ? NULL : new_object(&a);

        if (!o)
            return -XEN_ENOMEM;
        spin_lock(&bufcache.lock);
        rc = find_or_add(&a, &o);
        spin_unlock(&bufcache.lock);
        free_object(o);
        env_preempt_point();
    } while (rc == -XEN_EAGAIN);
    return rc;
}

/* On or off the list; the lock is held. d dies: then it is on no list any more, or will not be. */
static long set_reader(struct cache_object *o, const struct mm_domain *d, bool allow)
{
    if (!o)
        return -XEN_ENOENT;
    if (allow && load_relaxed(&d->dying))
        return -XEN_ESRCH;
    if (allow)
        o->readers += !bit_test_and_set(o->may_read, d->id);
    else
        o->readers -= bit_test_and_clear(o->may_read, d->id);
    return 0;
}

long cache_reader_op(uint64_t arg)
{
    struct pal_cache_reader a;
    struct mm_domain *d;
    long rc;

    if (env_copy_from_guest(&a, arg, sizeof(a)))
        return -XEN_EFAULT;
    if (a.allow > 1)
        return -XEN_EINVAL;
    d = a.domain < DOMID_FIRST_RESERVED ? env_domain_get(a.domain) : NULL;
    if (!d)
        return -XEN_ESRCH;
    spin_lock(&bufcache.lock);
    rc = set_reader(cache_object(a.object), d, a.allow);
    spin_unlock(&bufcache.lock);
    env_domain_put(d);
    return rc;
}

/* Its number is gone; its pages go; then its slot is free. */
static void retire(struct cache_object *o, unsigned slot)
{
    cache_forget(slot, CACHE_END, 0);
    spin_lock(&bufcache.lock);
    bufcache.object[slot] = NULL;
    spin_unlock(&bufcache.lock);
    free_object(o);
}

static long drop(uint32_t number, bool with_object)
{
    unsigned slot = number % PAL_CACHE_OBJECTS;
    struct cache_object *o;

    spin_lock(&bufcache.lock);
    o = cache_object(number);
    if (o && with_object)
        o->number = CACHE_END; /* nobody finds it any more, nobody inserts */
    spin_unlock(&bufcache.lock);
    if (!o)
        return -XEN_ENOENT;
    if (with_object)
        retire(o, slot);
    else
        cache_forget(slot, CACHE_END, 0);
    return 0;
}

/* The number in a slot, or CACHE_END. */
static uint32_t number_in(unsigned slot)
{
    uint32_t number = CACHE_END;

    spin_lock(&bufcache.lock);
    if (bufcache.object[slot])
        number = bufcache.object[slot]->number;
    spin_unlock(&bufcache.lock);
    return number;
}

long cache_drop_op(uint64_t arg)
{
    struct pal_cache_drop a;
    long rc = 0;

    if (env_copy_from_guest(&a, arg, sizeof(a)))
        return -XEN_EFAULT;
    if (a.retire > 1)
        return -XEN_EINVAL;
    if (a.object != CACHE_END) {
        rc = drop(a.object, a.retire);
    } else if (!a.retire) {
        cache_forget(CACHE_END, CACHE_END, 0);
    } else {
        for (unsigned i = 0; i < PAL_CACHE_OBJECTS; i++) {
            uint32_t number = number_in(i);

            if (number != CACHE_END)
                (void)drop(number, true);
        }
    }
    cache_stop_if_unused();
    return rc;
}

/* ---- limits ---- */

static long limit_domain(const struct pal_cache_limit *a)
{
    struct mm_domain *d = a->domain < DOMID_FIRST_RESERVED ? env_domain_get(a->domain) : NULL;
    struct cache_account *account;
    unsigned slot;

    if (!d)
        return -XEN_ESRCH;
    cache_account_open(d);
    spin_lock(&bufcache.lock);
    slot = d->cache;
    account = cache_account(slot);
    if (account) {
        account->off = a->off;
        account->limit = a->pages;
    }
    spin_unlock(&bufcache.lock);
    if (account)
        cache_forget(CACHE_END, slot, a->off ? 0 : a->pages);
    env_domain_put(d);
    return account ? 0 : load_relaxed(&d->dying) ? -XEN_ESRCH : -XEN_ENOMEM;
}

long cache_limit_op(uint64_t arg)
{
    struct pal_cache_limit a;

    if (env_copy_from_guest(&a, arg, sizeof(a)))
        return -XEN_EFAULT;
    if (a.off > 1)
        return -XEN_EINVAL;
    if (a.domain != PAL_CACHE_NOBODY)
        return limit_domain(&a);
    spin_lock(&bufcache.lock);
    bufcache.off = a.off;
    bufcache.limit = a.pages;
    spin_unlock(&bufcache.lock);
    if (a.off)
        cache_forget(CACHE_END, CACHE_END, 0);
    else
        cache_shrink();
    return 0;
}

/* ---- figures ---- */

static long info_of_object(struct pal_cache_info *a)
{
    const struct cache_object *found = NULL;

    for (unsigned i = 0; i < PAL_CACHE_OBJECTS; i++) {
        const struct cache_object *o = bufcache.object[i];

        if (o && o->number != CACHE_END && o->number >= a->object &&
            (!found || o->number < found->number))
            found = o;
    }
    if (!found)
        return -XEN_ENOENT;
    *a = (struct pal_cache_info){
        .object = found->number,
        .domain = CACHE_END,
        .name = {found->name[0], found->name[1]},
        .object_pages = found->pages,
        .readers = found->readers,
        .counts = found->counts,
    };
    return 0;
}

static long info_of_domain(struct pal_cache_info *a)
{
    const struct cache_account *found = NULL;

    for (unsigned i = 1; i < CACHE_ACCOUNTS; i++) {
        const struct cache_account *x = bufcache.account[i];

        if (x && x->domain != DOMID_INVALID && x->domain >= a->domain &&
            (!found || x->domain < found->domain))
            found = x;
    }
    if (!found)
        return -XEN_ENOENT;
    *a = (struct pal_cache_info){
        .object = CACHE_END,
        .domain = found->domain,
        .off = found->off,
        .limit = found->limit,
        .counts = found->counts,
    };
    return 0;
}

static long info_of_all(struct pal_cache_info *a)
{
    *a = (struct pal_cache_info){
        .object = CACHE_END,
        .domain = CACHE_END,
        .off = bufcache.off,
        .limit = bufcache.limit,
        .counts = bufcache.counts,
    };
    return 0;
}

long cache_info_op(uint64_t arg)
{
    struct pal_cache_info a;
    long rc = -XEN_EINVAL;

    if (env_copy_from_guest(&a, arg, sizeof(a)))
        return -XEN_EFAULT;
    spin_lock(&bufcache.lock);
    if (a.object == CACHE_END && a.domain == CACHE_END)
        rc = info_of_all(&a);
    else if (a.domain == CACHE_END)
        rc = info_of_object(&a);
    else if (a.object == CACHE_END)
        rc = info_of_domain(&a);
    spin_unlock(&bufcache.lock);
    return !rc && env_copy_to_guest(arg, &a, sizeof(a)) ? -XEN_EFAULT : rc;
}
