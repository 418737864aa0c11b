/* SPDX-License-Identifier: MIT */
/*
 * Mapping pages of regions, by the commands of grants; and taking the mappings away by force.
 *
 * A mapping is a handle and an entry of a level-1 table, as a grant's (grant_map.c), but there is no granter's entry to keep
 * in use; instead the handle knows the place of its entry, so that others than the guest can end it. The place is right
 * for good: nothing moves such an entry. If the table went, or the guest put something else there, the entry is not
 * the handle's any more, which is seen by looking.
 *
 * What was taken by force stays as a handle without rights, until the guest unmaps it as it always does.
 */
#include "region_internal.h"

#define PARTS   (GNTMAP_host_map | GNTMAP_device_map)
#define SEARCH  64 /* handles looked at between preemption points */
#define VICTIMS 16

/* ---- making ---- */

static bool use_slot(struct mm_vcpu *v, struct region_use *u, uint32_t slot)
{
    if (likely(u->member && u->slot == slot))
        return true;
    region_use_end(u);
    u->member = region_member_get(slot, v->d->id, &u->access);
    u->slot = slot;
    return u->member;
}

static struct frame *find_table(struct mm_vcpu *v, const struct gnttab_map_grant_ref *op,
                                struct region_use *u, unsigned *index)
{
    const uint64_t span = BIT(PT_SHIFT(2));

    if (op->flags & GNTMAP_contains_pte) {
        if (!u->named || op->host_addr >> PAGE_SHIFT != frame_mfn(u->named).n ||
            op->host_addr % sizeof(pte_t))
            u->named = grant_host_table(v, op->host_addr, true, index);
        *index = (op->host_addr & (PAGE_SIZE - 1)) / sizeof(pte_t);
        return u->named;
    }
    if (!u->table || op->host_addr - u->table_va >= span) {
        u->table = grant_host_table(v, op->host_addr, false, index);
        u->table_va = op->host_addr & ~(span - 1);
    }
    *index = pt_index(op->host_addr, 1);
    return u->table;
}

/* The entry was empty, and nothing needs waiting: all but the first mapping of a frame by anybody. */
static inline bool fill_empty(const struct mm_domain *d, struct frame *table, unsigned index,
                              struct frame *f, pte_t value)
{
    pte_t *slot = (pte_t *)env_frame(frame_mfn(table)) + index;
    bool done;

    if (!table_lock(table, 1, d->id))
        return false;
    done = !(*(volatile pte_t *)slot & PTE_P) && frame_get_again(f);
    if (done && (value & PTE_RW) && !role_try_get_writable(f)) {
        frame_put(f); /* the region has another */
        done = false;
    }
    if (done)
        WRITE_ONCE(*slot, value);
    table_unlock(table);
    return done;
}

static int enter(struct mm_vcpu *v, const struct gnttab_map_grant_ref *op, struct region_use *u,
                 struct frame *f, struct grant_mapping *m)
{
    struct table_store s = {.value = grant_entry_value(op->flags, frame_mfn(f))};
    unsigned index;
    struct frame *table = find_table(v, op, u, &index);

    if (!table)
        return grant_no_table_status(op->flags & GNTMAP_contains_pte);
    m->table = (uint32_t)(table - frame_table);
    m->flags |= (uint16_t)(index << MAPPING_INDEX_SHIFT);
    if (likely(fill_empty(v->d, table, index, f, s.value)))
        return GNTST_okay;
    return table_update(v->d, &mm_domain_region, table, index, &s) ? GNTST_general_error
                                                                   : GNTST_okay;
}

static int hold_parts(struct mm_vcpu *v, const struct gnttab_map_grant_ref *op,
                      struct region_use *u, struct frame *f, struct grant_mapping *m)
{
    bool writable = !(op->flags & GNTMAP_readonly), device = op->flags & GNTMAP_device_map;
    int status = GNTST_okay;

    if (device && !grant_hold(&mm_domain_region, frame_mfn(f), writable))
        return GNTST_general_error;
    if (op->flags & GNTMAP_host_map)
        status = enter(v, op, u, f, m);
    if (status && device)
        grant_release(f, writable);
    return status;
}

int region_map(struct mm_vcpu *v, struct gnttab_map_grant_ref *op, struct region_use *u)
{
    struct grant_table *t = v->d->grant;
    unsigned parts = op->flags & PARTS;
    uint32_t page = op->ref % PAL_REGION_MAX_PAGES, handle;
    struct grant_mapping *m;
    struct frame *f;
    int status;

    if (!parts)
        return GNTST_bad_gntref;
    /* No region there and not on its list are one and the same. */
    if (!use_slot(v, u, op->ref / PAL_REGION_MAX_PAGES) ||
        (u->access < PAL_REGION_write && !(op->flags & GNTMAP_readonly)))
        return GNTST_permission_denied;
    if (page >= u->member->region->pages)
        return GNTST_bad_gntref;
    m = t ? grant_mapping_new(t, &handle, MAPPING_REGION | (op->flags & MAPPING_OF_GUEST)) : NULL;
    if (!m)
        return GNTST_no_space;
    f = region_frame(u->member->region, page);
    m->member = u->member;
    m->ref = op->ref;
    m->frame = (uint32_t)(f - frame_table);
    fetch_add(&u->member->mappings, 1);
    status = hold_parts(v, op, u, f, m);
    if (status) {
        grant_mapping_unclaim(t, handle, 0);
        return status;
    }
    op->handle = handle;
    op->dev_bus_addr = mfn_to_maddr(mfn(m->frame)).a;
    grant_mapping_publish(t, m, parts);
    return GNTST_okay;
}

/*
 * Runs: most calls map or unmap many pages, one after the other, for the CPUs only, at empty places. That needs no
 * waiting, so it is done under the lock of the handles, taken once for a run: a mapping is there or not, and nobody
 * sees it half made.
 */
static bool map_quickly(struct mm_vcpu *v, struct gnttab_map_grant_ref *op, struct region_use *u)
{
    struct grant_table *t = v->d->grant;
    uint32_t page = op->ref % PAL_REGION_MAX_PAGES;
    struct frame *table, *f;
    struct grant_mapping *m;
    unsigned index;

    if (op->dom != PAL_DOMID_REGION || op->ref / PAL_REGION_MAX_PAGES != u->slot ||
        (op->flags & PARTS) != GNTMAP_host_map || page >= u->member->region->pages ||
        (u->access < PAL_REGION_write && !(op->flags & GNTMAP_readonly)))
        return false;
    table = find_table(v, op, u, &index);
    f = region_frame(u->member->region, page);
    m = table ? grant_mapping_take_locked(t, &op->handle,
                                          MAPPING_REGION | (op->flags & MAPPING_OF_GUEST) |
                                              index << MAPPING_INDEX_SHIFT)
              : NULL;
    if (!m)
        return false;
    m->busy = 0;
    if (!fill_empty(v->d, table, index, f, grant_entry_value(op->flags, frame_mfn(f)))) {
        grant_mapping_free_locked(t, m, op->handle);
        return false;
    }
    m->member = u->member;
    m->ref = op->ref;
    m->frame = (uint32_t)(f - frame_table);
    m->table = (uint32_t)(table - frame_table);
    m->parts = GNTMAP_host_map;
    op->dev_bus_addr = mfn_to_maddr(mfn(m->frame)).a;
    op->status = GNTST_okay;
    return true;
}

unsigned region_map_run(struct mm_vcpu *v, struct gnttab_map_grant_ref *op, unsigned count,
                        struct region_use *u)
{
    struct grant_table *t = v->d->grant;
    unsigned done = 0;

    if (!t || !use_slot(v, u, op->ref / PAL_REGION_MAX_PAGES))
        return 0;
    spin_lock(&t->maps_lock);
    while (done < count && map_quickly(v, &op[done], u))
        done++;
    fetch_add(&u->member->mappings, done);
    spin_unlock(&t->maps_lock);
    return done;
}

/* ---- the end, by the guest ---- */

/* Is host_addr the mapping's? An address that is mapped is compared as far as it tells the entry. */
static bool is_place_of(const struct grant_mapping *m, uint64_t host_addr)
{
    unsigned index = m->flags >> MAPPING_INDEX_SHIFT;

    if (m->flags & GNTMAP_contains_pte)
        return host_addr == mfn_to_maddr(mfn(m->table)).a + index * sizeof(pte_t);
    return guest_address(host_addr) && pt_index(host_addr, 1) == index;
}

/* Empty the mapping's entry, if it still is that. Short. */
static inline int empty_entry(const struct mm_domain *d, const struct grant_mapping *m)
{
    struct frame *table = frame_of(mfn(m->table));
    pte_t *slot = (pte_t *)env_frame(mfn(m->table)) + (m->flags >> MAPPING_INDEX_SHIFT), old;

    if (!table_lock(table, 1, d->id))
        return grant_no_table_status(m->flags & GNTMAP_contains_pte);
    old = *(volatile pte_t *)slot;
    if (!grant_is_entry_of(old, m)) {
        table_unlock(table);
        return GNTST_general_error;
    }
    WRITE_ONCE(*slot, 0); /* what the hardware noted in it meanwhile is of no interest */
    table_unlock(table);
    entry_put(1, old);
    return GNTST_okay;
}

int region_leave(struct mm_vcpu *v, const struct grant_mapping *m, uint64_t host_addr, pte_t value)
{
    if (!is_place_of(m, host_addr))
        return grant_no_table_status(m->flags & GNTMAP_contains_pte);
    if (value)
        return grant_replace_entry(v, m, frame_of(mfn(m->table)), m->flags >> MAPPING_INDEX_SHIFT,
                                   value);
    return empty_entry(v->d, m);
}

static bool unmap_quickly(struct mm_vcpu *v, struct gnttab_unmap_grant_ref *op)
{
    struct grant_table *t = v->d->grant;
    struct grant_mapping *m;

    if (op->handle >= t->handles || op->dev_bus_addr)
        return false;
    m = grant_mapping_at(t, op->handle);
    if ((m->flags & (MAPPING_REGION | MAPPING_REVOKED)) != MAPPING_REGION ||
        m->parts != GNTMAP_host_map || m->busy || !op->host_addr ||
        !is_place_of(m, op->host_addr) || empty_entry(v->d, m))
        return false;
    fetch_sub(&m->member->mappings, 1);
    m->parts = 0;
    grant_mapping_free_locked(t, m, op->handle);
    op->status = GNTST_okay;
    return true;
}

unsigned region_unmap_run(struct mm_vcpu *v, struct gnttab_unmap_grant_ref *op, unsigned count)
{
    struct grant_table *t = v->d->grant;
    unsigned done = 0;

    if (!t || !load_relaxed(&t->region_handles)) /* it is on no list: there is nothing of ours */
        return 0;
    spin_lock(&t->maps_lock);
    while (done < count && unmap_quickly(v, &op[done]))
        done++;
    spin_unlock(&t->maps_lock);
    return done;
}

/* ---- the end, by force ---- */

/* The entry of m, if there is one still; also one that the guest made read-only since: no handle will tell of it any
 * more. */
static void clear_entry(const struct mm_domain *d, const struct grant_mapping *m)
{
    struct frame *table = frame_of(mfn(m->table));
    pte_t *slot = (pte_t *)env_frame(mfn(m->table)) + (m->flags >> MAPPING_INDEX_SHIFT), old;

    if (!table_lock(table, 1, d->id))
        return; /* torn down, or just being: who does that drops the entry */
    old = *(volatile pte_t *)slot;
    if (!(old & PTE_P) || pte_mfn(old).n != m->frame) {
        table_unlock(table);
        return;
    }
    WRITE_ONCE(*slot, 0);
    table_unlock(table);
    entry_put(1, old);
}

static void take(const struct mm_domain *d, const struct grant_mapping *m)
{
    if (m->parts & GNTMAP_host_map)
        clear_entry(d, m);
    if (m->parts & GNTMAP_device_map)
        grant_release(frame_of(mfn(m->frame)), !(m->flags & GNTMAP_readonly));
}

void region_take_back(struct mm_domain *d, struct region_member *m, bool writable_only)
{
    struct grant_mapping victim[VICTIMS];
    uint32_t at = 0, end;

    do {
        unsigned found;
        bool wait = false;

        end = at + SEARCH;
        found = grant_mappings_revoke(d->grant, m, writable_only, &at, end, victim, VICTIMS, &wait);
        for (unsigned i = 0; i < found; i++)
            take(d, &victim[i]);
        if (wait)
            env_wait_turn();
        else
            env_preempt_point();
    } while (at != NO_HANDLE);
}
