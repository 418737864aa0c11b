/* SPDX-License-Identifier: MIT */
/*
 * The frame allocator: a buddy system. Free blocks are kept by zone and order. A zone is the number
 * of bits of a block's frame numbers, so that "below 2^n bytes" is a choice of zones and never a
 * search; the highest zone is used first, which keeps low memory for those that need it.
 *
 * A freed block remembers the TLB clock (the latest of its parts); it is flushed and scrubbed when
 * handed out, not when freed: freeing must be cheap, and most flushes have happened by then.
 */
#include "internal.h"
#include "mm/bufcache.h"

#define ZONES 33 /* frame numbers have at most 32 bits (struct frame.next) */

static struct {
    spinlock_t lock;
    uint32_t orders[ZONES]; /* bit o: head[zone][o] is a block */
    uint32_t head[ZONES][PALLOC_MAX_ORDER + 1];
    uint64_t zones; /* bit z: orders[z] is not 0 */
    uint64_t free, total, heap;
    bool booted;
} pool;

static inline unsigned zone_of(uint64_t base, unsigned order)
{
    return base ? highest_bit(base) + 1 : order;
}

/* ---- free lists; the pool's lock is held ---- */

static void insert(uint64_t base, unsigned order, uint64_t stamp, uint8_t dirty)
{
    struct frame *f = &frame_table[base];
    unsigned zone = zone_of(base, order);
    uint32_t *head = &pool.head[zone][order];
    bool empty = !(pool.orders[zone] & BIT(order));

    f->owner = OWNER_FREE;
    f->order = (uint8_t)order;
    f->flags = FRAME_RAM | FRAME_HEAD | dirty | (f->flags & FRAME_CACHED);
    f->prev = FRAME_LIST_END;
    f->next = empty ? FRAME_LIST_END : *head;
    if (!empty)
        frame_table[*head].prev = (uint32_t)base;
    *head = (uint32_t)base;
    frame_set_stamp(f, stamp);
    pool.orders[zone] |= (uint32_t)BIT(order);
    pool.zones |= BIT(zone);
}

static void take_out(uint64_t base, unsigned order)
{
    struct frame *f = &frame_table[base];
    unsigned zone = zone_of(base, order);

    if (f->next != FRAME_LIST_END)
        frame_table[f->next].prev = f->prev;
    if (f->prev != FRAME_LIST_END) {
        frame_table[f->prev].next = f->next;
    } else if (f->next != FRAME_LIST_END) {
        pool.head[zone][order] = f->next;
    } else {
        pool.orders[zone] &= ~(uint32_t)BIT(order);
        if (!pool.orders[zone])
            pool.zones &= ~BIT(zone);
    }
    f->flags &= (uint8_t)~FRAME_HEAD;
}

static bool is_free_block(uint64_t base, unsigned order)
{
    const struct frame *f;

    if (base >= frame_count)
        return false;
    f = &frame_table[base];
    return (f->flags & FRAME_HEAD) && f->order == order;
}

static void give_back(uint64_t base, unsigned order, uint64_t stamp, uint8_t dirty)
{
    pool.free += BIT(order);
    while (order < PALLOC_MAX_ORDER) {
        uint64_t buddy = base ^ BIT(order);

        if (!is_free_block(buddy, order))
            break;
        stamp = max(stamp, frame_stamp(&frame_table[buddy]));
        dirty |= frame_table[buddy].flags & FRAME_DIRTY;
        take_out(buddy, order);
        base &= ~BIT(order);
        order++;
    }
    insert(base, order, stamp, dirty);
}

/* Zones that have blocks, all of whose bytes lie below 2^address_bits (0: anywhere). */
static inline uint64_t zones_below(unsigned address_bits)
{
    if (!address_bits || address_bits >= PAGE_SHIFT + ZONES)
        return pool.zones;
    return address_bits < PAGE_SHIFT ? 0 : pool.zones & (BIT(address_bits - PAGE_SHIFT + 1) - 1);
}

/* A block of that order from the highest zone that has one. */
static mfn_t take(unsigned order, unsigned address_bits)
{
    uint64_t zones = zones_below(address_bits);

    for (; zones; zones &= ~BIT(highest_bit(zones))) {
        unsigned zone = highest_bit(zones), found;
        uint64_t base, stamp;
        uint8_t dirty;

        if (!(pool.orders[zone] >> order))
            continue;
        found = order + lowest_bit(pool.orders[zone] >> order);
        base = pool.head[zone][found];
        stamp = frame_stamp(&frame_table[base]);
        dirty = frame_table[base].flags & FRAME_DIRTY;
        take_out(base, found);
        while (found > order) {
            found--;
            insert(base + BIT(found), found, stamp, dirty);
        }
        pool.free -= BIT(order);
        return mfn(base);
    }
    return MFN_NONE;
}

/* A block of at most that order, whole where there is one, from the highest zone that has anything: whoever
 * wants frames, not blocks, takes the pieces that lie about first. *order: how large it is. */
static mfn_t take_any(unsigned *order, unsigned address_bits)
{
    uint64_t zones = zones_below(address_bits);
    unsigned most = *order;
    uint32_t small;

    if (!zones)
        return MFN_NONE;
    small = pool.orders[highest_bit(zones)] & (uint32_t)(BIT(most + 1) - 1);
    *order = small ? highest_bit(small) : most;
    return take(*order, address_bits);
}

/* ---- handing out ---- */

/* These frames are the hypervisor's; what the buffer cache had in them is gone. */
static void own(mfn_t m, uint64_t count)
{
    uint8_t flags = 0;

    for (uint64_t i = 0; i < count; i++) {
        struct frame *f = &frame_table[m.n + i];

        flags |= f->flags;
        f->role = 0;
        f->refs = 0;
        f->owner = OWNER_HV;
        f->flags = FRAME_RAM;
        f->order = 0;
    }
    if (flags & FRAME_CACHED)
        bufcache_taken(m, count);
}

/* A block just taken: nobody can use a stale translation of it, and it is zeroed (if scrub). */
static void prepare(mfn_t m, unsigned order, bool scrub)
{
    uint64_t count = BIT(order), some = min(count, (uint64_t)MM_STRIDE);

    env_flush_since(frame_stamp(frame_of(m)));
    for (uint64_t i = 0; i < count; i += some) {
        if (i)
            env_preempt_point();
        own(mfn(m.n + i), some);
        if (scrub)
            memset(env_frame(mfn(m.n + i)), 0, some << PAGE_SHIFT);
    }
}

/* The block, with its dirty flag still to be read; MFN_NONE. */
static mfn_t take_locked(unsigned order, unsigned address_bits, uint64_t *account)
{
    mfn_t m = MFN_NONE;

    if (order > PALLOC_MAX_ORDER)
        return m;
    spin_lock(&pool.lock);
    m = take(order, address_bits);
    if (account && !mfn_eq(m, MFN_NONE))
        *account += BIT(order);
    spin_unlock(&pool.lock);
    return m;
}

static void free_block(mfn_t m, unsigned order, uint64_t *account)
{
    uint64_t stamp = env_tlb_now();

    spin_lock(&pool.lock);
    if (account)
        *account -= BIT(order);
    give_back(m.n, order, stamp, FRAME_DIRTY);
    spin_unlock(&pool.lock);
}

mfn_t palloc_hv(unsigned order, unsigned address_bits)
{
    mfn_t m = take_locked(order, address_bits, &pool.heap);

    if (!mfn_eq(m, MFN_NONE))
        prepare(m, order, true);
    return m;
}

/* Frames of a block on their way to the free lists have no owner and no references. */
static void disown_block(mfn_t m, unsigned order)
{
    for (uint64_t i = 0; i < BIT(order); i++) {
        struct frame *f = &frame_table[m.n + i];

        CHECK(f->owner == OWNER_HV || f->owner == OWNER_FREE);
        CHECK_EQ(f->refs, 0);
        f->owner = OWNER_FREE;
        f->flags = FRAME_RAM;
    }
}

void palloc_free_hv(mfn_t m, unsigned order)
{
    disown_block(m, order);
    free_block(m, order, &pool.heap);
}

mfn_t palloc_detached(unsigned order, unsigned address_bits)
{
    mfn_t m = take_locked(order, address_bits, NULL);

    if (!mfn_eq(m, MFN_NONE))
        prepare(m, order, true);
    return m;
}

void palloc_free_detached(mfn_t m, unsigned order)
{
    disown_block(m, order);
    free_block(m, order, NULL);
}

void palloc_attach_locked(struct mm_domain *d, mfn_t m)
{
    struct frame *f = frame_of(m);

    f->owner = d->id;
    domain_link_locked(d, f);
    store_release(&f->refs, (uint32_t)REF_OWNED | 1);
}

void palloc_detach_locked(struct mm_domain *d, mfn_t m)
{
    struct frame *f = frame_of(m);

    domain_unlink_locked(d, f);
    if (m2p_table)
        m2p_set(m, M2P_INVALID);
    f->refs = 0;
    f->owner = OWNER_FREE;
}

/* Charge n frames to d before they are there: the maximum holds at every moment. */
static bool charge(struct mm_domain *d, uint64_t n)
{
    bool ok;

    spin_lock(&d->lock);
    ok = !d->dying && d->tot_pages <= d->max_pages && n <= d->max_pages - d->tot_pages;
    if (ok)
        d->tot_pages += n;
    spin_unlock(&d->lock);
    return ok;
}

/* The same for as many of n as it may have; returns how many. */
static unsigned charge_some(struct mm_domain *d, unsigned n)
{
    spin_lock(&d->lock);
    if (d->dying || d->tot_pages >= d->max_pages)
        n = 0;
    else
        n = (unsigned)min((uint64_t)n, d->max_pages - d->tot_pages);
    d->tot_pages += n;
    spin_unlock(&d->lock);
    return n;
}

/* False if d has begun to die since the charge: then what is not attached yet is free again, and the rest goes with d. */
static bool attach_block(struct mm_domain *d, mfn_t m, uint64_t count)
{
    bool dying = false;

    for (uint64_t i = 0; i < count; i += MM_STRIDE) {
        uint64_t end = min(count, i + MM_STRIDE);

        if (i)
            env_preempt_point();
        spin_lock(&d->lock);
        dying = d->dying; /* for good */
        if (unlikely(dying))
            d->tot_pages -= end - i;
        for (uint64_t k = i; k < end && !dying; k++)
            palloc_attach_locked(d, mfn(m.n + k));
        spin_unlock(&d->lock);
        for (uint64_t k = i; k < end && dying; k++)
            palloc_free_detached(mfn(m.n + k), 0);
    }
    return !dying;
}

mfn_t palloc_domain(struct mm_domain *d, unsigned order, unsigned address_bits, int *error)
{
    bool scrub;
    mfn_t m;

    if (order > PALLOC_MAX_ORDER || !charge(d, BIT(order))) {
        *error = -XEN_EPERM;
        return MFN_NONE;
    }
    m = take_locked(order, address_bits, NULL);
    if (mfn_eq(m, MFN_NONE)) {
        spin_lock(&d->lock);
        d->tot_pages -= BIT(order);
        spin_unlock(&d->lock);
        *error = -XEN_ENOMEM;
        return MFN_NONE;
    }
    scrub = pool.booted || !d->privileged || (frame_of(m)->flags & FRAME_DIRTY);
    prepare(m, order, scrub);
    if (attach_block(d, m, BIT(order)))
        return m;
    *error = -XEN_EPERM;
    return MFN_NONE;
}

unsigned palloc_domain_frames(struct mm_domain *d, mfn_t *m, unsigned n, unsigned address_bits)
{
    unsigned charged = charge_some(d, min(n, (unsigned)PALLOC_FRAMES_MAX)), got = 0, blocks = 0;
    unsigned order[PALLOC_FRAMES_MAX];
    mfn_t block[PALLOC_FRAMES_MAX];
    bool dying;

    spin_lock(&pool.lock);
    while (got < charged) {
        order[blocks] = highest_bit(charged - got);
        block[blocks] = take_any(&order[blocks], address_bits);
        if (mfn_eq(block[blocks], MFN_NONE))
            break;
        got += (unsigned)BIT(order[blocks++]);
    }
    spin_unlock(&pool.lock);
    for (unsigned b = 0, i = 0; b < blocks; b++) {
        prepare(block[b], order[b], true);
        for (unsigned k = 0; k < BIT(order[b]); k++)
            m[i++] = mfn(block[b].n + k);
    }
    spin_lock(&d->lock);
    dying = d->dying;
    d->tot_pages -= dying ? charged : charged - got;
    for (unsigned i = 0; i < got && !dying; i++)
        palloc_attach_locked(d, m[i]);
    spin_unlock(&d->lock);
    for (unsigned b = 0; b < blocks && unlikely(dying); b++)
        palloc_free_detached(block[b], order[b]);
    return dying ? 0 : got;
}

void palloc_free_frame(struct frame *f)
{
    mfn_t m = frame_mfn(f);

    CHECK_EQ(role_count(f->role), 0);
    CHECK(!(f->role & (ROLE_BUSY | ROLE_PINNED | ROLE_LOCKED)));
    if (f->owner == OWNER_XEN) {
        f->owner = OWNER_HV;
        palloc_free_hv(m, 0);
        return;
    }
    bool of_region = f->owner == mm_domain_region.id;
    struct mm_domain *d = of_region ? &mm_domain_region : env_domain_get(f->owner);

    CHECK(d != NULL);
    spin_lock(&d->lock);
    palloc_detach_locked(d, m);
    d->tot_pages--;
    spin_unlock(&d->lock);
    if (!of_region)
        env_domain_put(d);
    f->flags = FRAME_RAM;
    free_block(m, 0, NULL);
}

/* ---- the buffer cache's hold on free frames ---- */

/* The first frame of the free block that n lies in, or NULL; the pool's lock is held. */
static struct frame *block_of(uint64_t n)
{
    for (unsigned order = 0; order <= PALLOC_MAX_ORDER; order++) {
        struct frame *f = &frame_table[n & ~(BIT(order) - 1)];

        if (f->flags & FRAME_HEAD)
            return f->order >= order ? f : NULL;
    }
    return NULL;
}

mfn_t palloc_capture(uint64_t *cursor, unsigned look, uint64_t *stamp)
{
    mfn_t found = MFN_NONE;

    spin_lock(&pool.lock);
    for (; look && mfn_eq(found, MFN_NONE); look--) {
        uint64_t n = *cursor < frame_count ? *cursor : 0;
        struct frame *f = &frame_table[n], *head;

        *cursor = n + 1;
        if (f->owner != OWNER_FREE || (f->flags & (FRAME_RAM | FRAME_CACHED)) != FRAME_RAM)
            continue;
        head = block_of(n);
        if (!head)
            continue; /* on its way out or in */
        f->flags |= FRAME_CACHED;
        head->flags |= FRAME_DIRTY;
        *stamp = frame_stamp(head);
        found = mfn(n);
    }
    spin_unlock(&pool.lock);
    return found;
}

/* Atomic, for whoever took the frame meanwhile writes the flags without the lock. */
void palloc_release(mfn_t m)
{
    spin_lock(&pool.lock);
    (void)fetch_and(&frame_of(m)->flags, (uint8_t)~FRAME_CACHED);
    spin_unlock(&pool.lock);
}

/* ---- pages that the hypervisor shares ---- */

void palloc_share(struct mm_domain *d, mfn_t m, bool read_only)
{
    struct frame *f = frame_of(m);

    CHECK_EQ(f->owner, OWNER_HV);
    f->next = d->id;
    if (read_only)
        f->flags |= FRAME_SHARED_RO;
    f->owner = OWNER_XEN;
    store_release(&f->refs, (uint32_t)REF_OWNED | 1);
    spin_lock(&d->lock);
    d->xen_pages++;
    spin_unlock(&d->lock);
}

void palloc_unshare(struct mm_domain *d, mfn_t m)
{
    struct frame *f = frame_of(m);

    CHECK(f->owner == OWNER_XEN && f->next == d->id);
    spin_lock(&d->lock);
    d->xen_pages--;
    spin_unlock(&d->lock);
    CHECK(frame_get_again(f));
    CHECK(frame_disown(f));
    frame_put(f);
}

/* ---- boot and figures ---- */

void palloc_add(mfn_t start, mfn_t end)
{
    uint64_t at = max(start.n, (uint64_t)1); /* frame 0 is nobody's: 0 says "none" in many places */

    CHECK_LE(end.n, frame_count);
    for (uint64_t i = at; i < end.n; i++) {
        frame_table[i].owner = OWNER_FREE;
        frame_table[i].flags = FRAME_RAM;
    }
    spin_lock(&pool.lock);
    while (at < end.n) {
        unsigned order = min(highest_bit(end.n - at), lowest_bit(at));

        order = min(order, (unsigned)PALLOC_MAX_ORDER);
        give_back(at, order, 0, 0);
        pool.total += BIT(order);
        at += BIT(order);
    }
    spin_unlock(&pool.lock);
}

void palloc_reserve_hv(mfn_t start, mfn_t end)
{
    CHECK_LE(end.n, frame_count);
    for (uint64_t i = start.n; i < end.n; i++) {
        frame_table[i].owner = OWNER_HV;
        frame_table[i].flags = FRAME_RAM;
    }
    spin_lock(&pool.lock);
    pool.total += end.n - start.n;
    pool.heap += end.n - start.n;
    spin_unlock(&pool.lock);
}

void palloc_boot_done(void)
{
    pool.booted = true;
}

uint64_t palloc_free_frames(void)
{
    return load_relaxed(&pool.free);
}

uint64_t palloc_total_frames(void)
{
    return load_relaxed(&pool.total);
}

uint64_t palloc_heap_frames(void)
{
    return load_relaxed(&pool.heap);
}
