/* SPDX-License-Identifier: MIT */
/*
 * Regions: who has them, who is on their lists, their making and their end. region_map.c has the mappings.
 *
 * The frames belong to a domain that is none (mm_domain_region): nobody finds it by its number, so no other
 * operation reaches them. What changes a region for long has the slot's turn (a ticket, so that nobody is kept from it for
 * ever); what is short, and every look, is under regions_lock.
 *
 * Rights that are taken: first the list says so, then the calls that still go by the old word are waited for, then
 * what they and others mapped is searched and taken away, then the CPUs are flushed.
 */
#include "region_internal.h"

#define HANDLES_A_PAGE 4 /* a stock kernel maps each page twice, and two programs may have it */
#define BLOCK_ORDER    9 /* memory is taken in blocks of at most so many frames */

struct mm_domain mm_domain_region = {
    .id = PAL_DOMID_REGION,
    .frames = FRAME_LIST_END,
    .max_pages = ~0ull,
};

/* All below but the turns; outside of the lock of the list of domains. */
static spinlock_t regions_lock = SPINLOCK_INIT;
static struct {
    struct region *region;
    uint32_t next_turn, turn;
} slots[PAL_REGION_SLOTS];
static uint32_t last_slot;
static uint64_t last_generation;
static uint64_t region_count;

/* ---- turns ---- */

static void turn_take(uint32_t slot)
{
    uint32_t mine = fetch_add(&slots[slot].next_turn, 1);

    while (load_acquire(&slots[slot].turn) != mine)
        env_wait_turn();
}

static void turn_give(uint32_t slot)
{
    store_release(&slots[slot].turn, slots[slot].turn + 1);
}

/* ---- under regions_lock ---- */

static inline struct region *region_at(uint32_t slot)
{
    struct region *r = slot < PAL_REGION_SLOTS ? slots[slot].region : NULL;

    return r && r->alive ? r : NULL;
}

static inline bool may_change(const struct mm_domain *d, const struct region *r)
{
    return d->privileged || r->creator == d->id;
}

/* The member with this number; DOMID_INVALID: a free place. */
static struct region_member *member_of(struct region *r, unsigned domid)
{
    for (unsigned i = 0; i < PAL_REGION_MEMBERS; i++) {
        if (r->member[i].domain == domid)
            return &r->member[i];
    }
    return NULL;
}

static bool name_taken(const char *name, uint32_t creator)
{
    for (unsigned i = 0; i < PAL_REGION_SLOTS; i++) {
        const struct region *r = slots[i].region;

        if (r && r->creator == creator && !strcmp(r->name, name))
            return true;
    }
    return false;
}

/* A free slot, another one than lately: who comes late with an old number finds nothing there. */
static bool free_slot(uint32_t *slot)
{
    for (unsigned i = 1; i <= PAL_REGION_SLOTS; i++) {
        *slot = (last_slot + i) % PAL_REGION_SLOTS;
        if (!slots[*slot].region)
            return true;
    }
    return false;
}

/* ---- members in use ---- */

struct region_member *region_member_get(uint32_t slot, uint16_t domid, unsigned *access)
{
    struct region_member *m = NULL;
    struct region *r;

    spin_lock(&regions_lock);
    r = region_at(slot);
    if (r)
        m = member_of(r, domid);
    if (m && m->access == PAL_REGION_none)
        m = NULL;
    if (m) {
        *access = m->access;
        fetch_add(&m->users[m->access], 1);
    }
    spin_unlock(&regions_lock);
    return m;
}

void region_member_put(struct region_member *m, unsigned access)
{
    fetch_sub(&m->users[access], 1);
}

/* With the slot's turn. On return the member has no more than `access`, and no CPU more by it. */
static void limit_member(struct region_member *m, unsigned access)
{
    struct mm_domain *d = NULL;
    unsigned was;

    spin_lock(&regions_lock);
    was = m->access;
    m->access = (uint8_t)min(access, was);
    if (was > access)
        d = env_domain_get(m->domain);
    spin_unlock(&regions_lock);
    for (unsigned a = access + 1; a <= PAL_REGION_write; a++) {
        while (load_acquire(&m->users[a]))
            env_wait_turn();
    }
    if (!d)
        return; /* it had no more; or it is gone, and all that it had mapped */
    region_take_back(d, m, access == PAL_REGION_read);
    if (access == PAL_REGION_none)
        grant_handles_allow(d->grant, -(int64_t)m->region->pages * HANDLES_A_PAGE);
    env_domain_put(d);
    env_flush_since(env_tlb_now());
}

/* Off the list; unless the domain's end was quicker. */
static void remove_member(struct region_member *m)
{
    limit_member(m, PAL_REGION_none);
    CHECK_EQ(load_relaxed(&m->mappings), 0);
    spin_lock(&regions_lock);
    m->domain = DOMID_INVALID;
    spin_unlock(&regions_lock);
}

/* ---- making ---- */

static bool is_name(const char *name)
{
    unsigned i;

    for (i = 0; i < PAL_REGION_NAME && name[i]; i++) {
        char c = name[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '-')
            return false;
    }
    return i > 0 && i < PAL_REGION_NAME;
}

/* A slot, and the charge to its maker. */
static int enlist(struct mm_domain *d, struct region *r)
{
    int rc = 0;

    spin_lock(&regions_lock);
    if (!d->privileged && (d->regions >= d->max_regions || d->region_pages > d->max_region_pages ||
                           r->pages > d->max_region_pages - d->region_pages))
        rc = -XEN_EPERM;
    else if (name_taken(r->name, r->creator))
        rc = -XEN_EEXIST;
    else if (!free_slot(&r->slot))
        rc = -XEN_ENOSPC;
    if (!rc) {
        slots[r->slot].region = r;
        last_slot = r->slot;
        r->generation = ++last_generation;
        d->regions++;
        d->region_pages += r->pages;
        region_count++;
    }
    spin_unlock(&regions_lock);
    return rc;
}

/* The inverse: nobody finds it any more. */
static void delist(struct region *r)
{
    struct mm_domain *d;

    spin_lock(&regions_lock);
    slots[r->slot].region = NULL;
    region_count--;
    d = r->creator == REGION_NOBODY ? NULL : env_domain_get(r->creator);
    if (d) {
        d->regions--;
        d->region_pages -= r->pages;
    }
    spin_unlock(&regions_lock);
    if (d)
        env_domain_put(d);
}

/* Frames for pages from `page` on, as many as a block has. Returns how many; 0: there is no memory. */
static unsigned fill_block(struct region *r, uint32_t page)
{
    unsigned order = min(highest_bit(r->pages - page), (unsigned)BLOCK_ORDER);
    int error;

    for (;; order--) {
        mfn_t m = palloc_domain(&mm_domain_region, order, 0, &error);

        if (!mfn_eq(m, MFN_NONE)) {
            for (unsigned i = 0; i < BIT(order); i++)
                r->chunk[(page + i) / REGION_CHUNK][(page + i) % REGION_CHUNK] =
                    (uint32_t)(m.n + i);
            return 1u << order;
        }
        if (order == 0)
            return 0;
    }
}

/* Returns how many pages got memory; all, unless there is too little or d, for whom it is, is dying. */
static uint32_t fill(struct region *r, const struct mm_domain *d)
{
    uint32_t page = 0;

    for (unsigned i = 0; i < DIV_ROUND_UP(r->pages, REGION_CHUNK); i++) {
        r->chunk[i] = heap_alloc(PAGE_SIZE);
        if (!r->chunk[i])
            return 0;
        env_preempt_point();
    }
    while (page < r->pages && !load_relaxed(&d->dying)) {
        unsigned got = fill_block(r, page);

        if (!got)
            break;
        page += got;
        env_preempt_point();
    }
    return page;
}

/* Give back the frames of the first pages; whoever gets them gets them scrubbed. What a table holds that is just being
 * released goes with that. */
static void empty(struct region *r, uint32_t pages)
{
    for (uint32_t page = 0; page < pages; page++) {
        struct frame *f = region_frame(r, page);

        CHECK(frame_get_again(f));
        CHECK(frame_disown(f));
        frame_put(f);
        if (page % MM_STRIDE == MM_STRIDE - 1)
            env_preempt_point();
    }
    for (unsigned i = 0; i < DIV_ROUND_UP(r->pages, REGION_CHUNK); i++) {
        heap_free(r->chunk[i]);
        env_preempt_point();
    }
    heap_free(r->chunk);
    heap_free(r);
}

static long create(struct mm_vcpu *v, const struct pal_region_create *op)
{
    struct mm_domain *d = v->d;
    struct region *r;
    uint32_t filled;
    long rc;

    if (!is_name(op->name) || !op->pages || op->pages > PAL_REGION_MAX_PAGES)
        return -XEN_EINVAL;
    r = heap_alloc(sizeof(*r));
    if (r)
        r->chunk = heap_alloc(DIV_ROUND_UP(op->pages, REGION_CHUNK) * sizeof(r->chunk[0]));
    if (!r || !r->chunk) {
        heap_free(r);
        return -XEN_ENOMEM;
    }
    for (unsigned i = 0; op->name[i];
         i++) /* what stands behind the end is not for others to read */
        r->name[i] = op->name[i];
    r->pages = op->pages;
    r->creator = d->id;
    for (unsigned i = 0; i < PAL_REGION_MEMBERS; i++)
        r->member[i] = (struct region_member){.region = r, .domain = DOMID_INVALID};
    rc = enlist(d, r);
    if (rc) {
        heap_free(r->chunk);
        heap_free(r);
        return rc;
    }
    filled = fill(r, d);
    if (filled < r->pages) {
        delist(r);
        empty(r, filled);
        return -XEN_ENOMEM;
    }
    rc = r->slot; /* once alive it may go at any time */
    spin_lock(&regions_lock);
    r->alive = true;
    spin_unlock(&regions_lock);
    return rc;
}

/* ---- changing ---- */

/* The region in the slot, if d may change it. With the slot's turn it stays. */
static struct region *region_of(const struct mm_domain *d, uint32_t slot)
{
    struct region *r;

    spin_lock(&regions_lock);
    r = region_at(slot);
    if (r && !may_change(d, r))
        r = NULL;
    spin_unlock(&regions_lock);
    return r;
}

/* Put a living domain on the list, or give it more. */
static long raise_member(struct region *r, struct mm_domain *who, unsigned access)
{
    struct region_member *m;
    bool added = false;
    long rc = 0;

    spin_lock(&regions_lock);
    m = member_of(r, who->id);
    if (!m)
        m = member_of(r, DOMID_INVALID);
    if (load_relaxed(&who->dying)) {
        rc = -XEN_ESRCH;
    } else if (!m) {
        rc = -XEN_ENOSPC;
    } else {
        added = m->access == PAL_REGION_none;
        m->domain = who->id;
        m->access = (uint8_t)access;
    }
    spin_unlock(&regions_lock);
    if (added)
        grant_handles_allow(who->grant, (int64_t)r->pages * HANDLES_A_PAGE);
    return rc;
}

static long change_member(struct region *r, unsigned domid, unsigned access)
{
    struct region_member *m;
    struct mm_domain *who;
    long rc;

    spin_lock(&regions_lock);
    m = member_of(r, domid);
    spin_unlock(&regions_lock);
    if (access == PAL_REGION_none) {
        if (!m)
            return -XEN_ESRCH;
        remove_member(m);
        return 0;
    }
    who = env_domain_get(domid);
    if (!who)
        return -XEN_ESRCH;
    if (m)
        limit_member(m, access);
    rc = raise_member(r, who, access);
    env_domain_put(who);
    return rc;
}

static long allow(struct mm_vcpu *v, const struct pal_region_allow *op)
{
    unsigned domid = op->domain == DOMID_SELF ? v->d->id : op->domain;
    struct region *r;
    long rc = -XEN_ENOENT;

    if (op->slot >= PAL_REGION_SLOTS)
        return rc;
    if (op->access > PAL_REGION_write)
        return -XEN_EINVAL;
    if (domid >= DOMID_FIRST_RESERVED)
        return -XEN_ESRCH;
    if (!region_of(v->d, op->slot)) /* no turn for who has no say: others would wait for it */
        return rc;
    turn_take(op->slot);
    r = region_of(v->d, op->slot);
    if (r)
        rc = change_member(r, domid, op->access);
    turn_give(op->slot);
    return rc;
}

static long destroy(struct mm_vcpu *v, const struct pal_region_destroy *op)
{
    struct region *r;

    if (op->slot >= PAL_REGION_SLOTS || !region_of(v->d, op->slot))
        return -XEN_ENOENT;
    turn_take(op->slot);
    r = region_of(v->d, op->slot);
    if (r) {
        spin_lock(&regions_lock);
        r->alive = false;
        spin_unlock(&regions_lock);
        for (unsigned i = 0; i < PAL_REGION_MEMBERS; i++) {
            if (r->member[i].domain != DOMID_INVALID)
                remove_member(&r->member[i]);
        }
        delist(r);
    }
    turn_give(op->slot);
    if (!r)
        return -XEN_ENOENT;
    empty(r, (uint32_t)r->pages);
    return 0;
}

/* ---- looking ---- */

static void describe(const struct mm_domain *d, struct region *r, struct pal_region_info *out)
{
    bool all = may_change(d, r);

    *out = (struct pal_region_info){
        .slot = r->slot, .creator = r->creator, .pages = r->pages, .generation = r->generation};
    memcpy(out->name, r->name, sizeof(out->name));
    for (unsigned i = 0; i < PAL_REGION_MEMBERS; i++) {
        const struct region_member *m = &r->member[i];

        if (m->access == PAL_REGION_none || m->domain == DOMID_INVALID ||
            (!all && m->domain != d->id))
            continue;
        out->member[out->members++] = (struct pal_region_member){
            .domain = m->domain, .access = m->access, .mappings = load_relaxed(&m->mappings)};
    }
}

static long info(struct mm_vcpu *v, struct pal_region_info *op)
{
    for (uint32_t slot = op->slot; slot < PAL_REGION_SLOTS; slot++) {
        struct region *r;
        bool found;

        spin_lock(&regions_lock);
        r = region_at(slot);
        found = r && (may_change(v->d, r) || member_of(r, v->d->id));
        if (found)
            describe(v->d, r, op);
        spin_unlock(&regions_lock);
        if (found)
            return 0;
        if (slot % MM_STRIDE == MM_STRIDE - 1)
            env_preempt_point();
    }
    return -XEN_ENOENT;
}

static long quota(const struct pal_region_quota *op)
{
    struct mm_domain *d = op->domain < DOMID_FIRST_RESERVED ? env_domain_get(op->domain) : NULL;

    if (!d)
        return -XEN_ESRCH;
    spin_lock(&regions_lock);
    d->max_regions = op->regions;
    d->max_region_pages = op->pages;
    spin_unlock(&regions_lock);
    env_domain_put(d);
    return 0;
}

void mm_region_stats(struct mm_region_stats *out)
{
    *out = (struct mm_region_stats){load_relaxed(&region_count),
                                    load_relaxed(&mm_domain_region.tot_pages)};
}

/* ---- the end of a domain ---- */

static void forget(struct region *r, const struct mm_domain *d)
{
    struct region_member *m = member_of(r, d->id);

    if (m) {
        for (unsigned a = 0; a <= PAL_REGION_write; a++)
            CHECK_EQ(m->users[a], 0);
        CHECK_EQ(m->mappings, 0);
        m->access = PAL_REGION_none;
        m->domain = DOMID_INVALID;
    }
    if (r->creator == d->id)
        r->creator = REGION_NOBODY;
}

void mm_region_domain_end(struct mm_domain *d)
{
    for (unsigned i = 0; i < PAL_REGION_SLOTS; i++) {
        spin_lock(&regions_lock);
        if (slots[i].region)
            forget(slots[i].region, d);
        spin_unlock(&regions_lock);
        if (i % MM_STRIDE == MM_STRIDE - 1)
            env_preempt_point();
    }
}

/* ---- the audit ---- */

static uint64_t audit_region(const struct region *r, uint64_t *pages)
{
    uint64_t wrong = !r->alive;

    *pages += r->pages;
    for (uint32_t page = 0; page < r->pages; page++) {
        const struct frame *f = region_frame(r, page);

        wrong += f->owner != PAL_DOMID_REGION || !(f->refs & REF_OWNED);
    }
    for (unsigned i = 0; i < PAL_REGION_MEMBERS; i++) {
        const struct region_member *m = &r->member[i];

        wrong += m->mappings != 0 || m->users[PAL_REGION_read] || m->users[PAL_REGION_write] ||
                 (m->domain == DOMID_INVALID) != (m->access == PAL_REGION_none);
    }
    return wrong;
}

uint64_t region_audit_rest(void)
{
    uint64_t wrong = 0, pages = 0;

    for (unsigned i = 0; i < PAL_REGION_SLOTS; i++) {
        wrong += slots[i].next_turn != slots[i].turn;
        if (slots[i].region)
            wrong += audit_region(slots[i].region, &pages);
    }
    return wrong + (pages != mm_domain_region.tot_pages);
}

/* ---- the hypercall ---- */

long mm_region_op(struct mm_vcpu *v, unsigned cmd, uint64_t arg)
{
    union {
        struct pal_region_create create;
        struct pal_region_allow allow;
        struct pal_region_destroy destroy;
        struct pal_region_info info;
        struct pal_region_quota quota;
    } op;
    static const size_t sizes[] = {
        [PALOP_region_create - PALOP_region_create] = sizeof(op.create),
        [PALOP_region_allow - PALOP_region_create] = sizeof(op.allow),
        [PALOP_region_destroy - PALOP_region_create] = sizeof(op.destroy),
        [PALOP_region_info - PALOP_region_create] = sizeof(op.info),
        [PALOP_region_quota - PALOP_region_create] = sizeof(op.quota),
    };
    long rc;

    if (cmd < PALOP_region_create || cmd > PALOP_region_quota)
        return -XEN_ENOSYS;
    if (cmd == PALOP_region_quota && !v->d->privileged)
        return -XEN_EPERM;
    if (env_copy_from_guest(&op, arg, sizes[cmd - PALOP_region_create]))
        return -XEN_EFAULT;
    switch (cmd) {
    case PALOP_region_create:
        return create(v, &op.create);
    case PALOP_region_allow:
        return allow(v, &op.allow);
    case PALOP_region_destroy:
        return destroy(v, &op.destroy);
    case PALOP_region_quota:
        return quota(&op.quota);
    default:
        rc = info(v, &op.info);
        return !rc && env_copy_to_guest(arg, &op.info, sizeof(op.info)) ? -XEN_EFAULT : rc;
    }
}
