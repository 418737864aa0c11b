/* SPDX-License-Identifier: MIT */
/*
 * Mapping granted frames, and the end of it.
 *
 * A mapping for the CPUs is an entry of a level-1 table like any other: the entry holds the reference (and
 * ROLE_WRITABLE) on the granter's frame, so whatever replaces it drops them, and the books are right also when a guest
 * overwrites it by other means. The handle holds the "in use" bits in the granter's entry. A guest that lost the entry
 * cannot end the mapping any more: the granter's entry stays in use until that guest dies. A part for
 * devices has no entry; the handle holds its reference and role itself.
 *
 * The end goes entry, flush, handle: the granter learns that its frame is free only when no CPU can
 * reach it any more. Flushes are for a batch.
 */
#include "region_internal.h"

#define BATCH       16 /* operations read at once, ends with one flush; nothing is held between batches */
#define ENTRY_TRIES 8 /* the hardware's accessed and dirty bits change an entry twice */
#define PARTS       (GNTMAP_host_map | GNTMAP_device_map)

/* ---- the entry ---- */

struct frame *grant_host_table(struct mm_vcpu *v, uint64_t host_addr, bool by_entry,
                               unsigned *index)
{
    struct frame *f;

    if (by_entry) {
        if (host_addr % sizeof(pte_t) || !frame_is_ram(maddr_to_mfn(maddr(host_addr))))
            return NULL;
        f = frame_of(maddr_to_mfn(maddr(host_addr)));
        *index = (host_addr & (PAGE_SIZE - 1)) / sizeof(pte_t);
    } else {
        f = walk_table(v->kernel_root, host_addr, index);
    }
    if (!f || load_relaxed(&f->owner) != v->d->id || role_table_level(load_relaxed(&f->role)) != 1)
        return NULL;
    return f;
}

/* Put an entry for frame m of `from` there; what was there goes. */
static int enter(struct mm_vcpu *v, const struct gnttab_map_grant_ref *op, struct mm_domain *from,
                 mfn_t m)
{
    bool by_entry = op->flags & GNTMAP_contains_pte;
    struct table_store s = {.value = grant_entry_value(op->flags, m)};
    unsigned index;
    struct frame *table = grant_host_table(v, op->host_addr, by_entry, &index);

    if (!table)
        return grant_no_table_status(by_entry);
    /* Only the granter's own pages: no I/O memory, none that the hypervisor shares with it. */
    if (!frame_is_ram(m) || load_relaxed(&frame_of(m)->owner) != from->id)
        return GNTST_general_error;
    return table_update(v->d, from, table, index, &s) ? GNTST_general_error : GNTST_okay;
}

int grant_replace_entry(struct mm_vcpu *v, const struct grant_mapping *m, struct frame *table,
                        unsigned index, pte_t value)
{
    for (unsigned i = 0; i < ENTRY_TRIES; i++) {
        pte_t e = load_relaxed((pte_t *)env_frame(frame_mfn(table)) + index);
        struct table_store s = {.value = value, .compare = true, .expected = e};
        int rc;

        if (!grant_is_entry_of(e, m))
            return GNTST_general_error;
        rc = table_update(v->d, v->d, table, index, &s);
        if (rc != 1)
            return rc ? GNTST_general_error : GNTST_okay;
    }
    return GNTST_general_error;
}

/* Replace the entry at host_addr by `value`, if it is the mapping's. */
static int leave(struct mm_vcpu *v, const struct grant_mapping *m, uint64_t host_addr, pte_t value)
{
    bool by_entry = m->flags & GNTMAP_contains_pte;
    unsigned index;
    struct frame *table;

    if (m->flags & MAPPING_REVOKED) /* its place may be another's: nothing is put there */
        return value ? GNTST_general_error : GNTST_okay;
    if (m->flags & MAPPING_REGION)
        return region_leave(v, m, host_addr, value);
    table = grant_host_table(v, host_addr, by_entry, &index);
    return table ? grant_replace_entry(v, m, table, index, value) : grant_no_table_status(by_entry);
}

/* ---- the making ---- */

static int hold_parts(struct mm_vcpu *v, const struct gnttab_map_grant_ref *op,
                      struct mm_domain *from, mfn_t frame)
{
    bool writable = !(op->flags & GNTMAP_readonly);
    struct frame *f = NULL;
    int status = GNTST_okay;

    if (op->flags & GNTMAP_device_map) {
        f = grant_hold(from, frame, writable);
        if (!f)
            return GNTST_general_error;
    }
    if (op->flags & GNTMAP_host_map)
        status = enter(v, op, from, frame);
    if (status && f)
        grant_release(f, writable);
    return status;
}

static int map_one(struct mm_vcpu *v, struct gnttab_map_grant_ref *op, struct mm_domain *from)
{
    struct grant_table *t = v->d->grant;
    bool readonly = op->flags & GNTMAP_readonly;
    unsigned parts = op->flags & PARTS, times = grant_parts(parts);
    struct grant_mapping *m;
    uint32_t handle;
    mfn_t frame;
    int status;

    if (!parts)
        return GNTST_bad_gntref;
    if (!from)
        return GNTST_bad_domain;
    m = t ? grant_mapping_new(t, &handle, op->flags & MAPPING_OF_GUEST) : NULL;
    if (!m)
        return GNTST_no_space;
    status = grant_pin(from->grant, op->ref, v->d, readonly, times, &frame);
    if (status) {
        grant_mapping_unclaim(t, handle, 0);
        return status;
    }
    fetch_add(&from->grant->refs, 1);
    m->from = from->grant;
    m->ref = op->ref;
    m->frame = (uint32_t)frame.n;
    status = hold_parts(v, op, from, frame);
    if (status) {
        grant_unpin(from->grant, op->ref, readonly, times);
        grant_mapping_unclaim(t, handle, 0);
        return status;
    }
    op->handle = handle;
    op->dev_bus_addr = mfn_to_maddr(frame).a;
    grant_mapping_publish(t, m, parts);
    return GNTST_okay;
}

/* ---- the end ---- */

/* What has been taken out of a mapping but not out of the granter's books. */
struct ending {
    struct grant_mapping was;
    uint32_t handle;
    unsigned parts;
};

/* Take `parts` out; *e is then to be finished, after a flush if they have GNTMAP_host_map. CLAIM_LATER: see grant_mapping_claim. */
static int begin_end(struct mm_vcpu *v, uint32_t handle, unsigned parts, uint64_t host_addr,
                     uint64_t dev_bus_addr, pte_t value, struct ending *e)
{
    struct grant_table *t = v->d->grant;
    int status;

    if (!t)
        return GNTST_bad_handle;
    status = grant_mapping_claim(t, handle, parts, dev_bus_addr, &e->was);
    if (status)
        return status;
    e->handle = handle;
    e->parts = parts;
    if (parts & GNTMAP_host_map)
        status = leave(v, &e->was, host_addr, value);
    if (status)
        grant_mapping_unclaim(t, handle, parts);
    return status;
}

static void finish_end(struct grant_table *t, const struct ending *e)
{
    bool readonly = e->was.flags & GNTMAP_readonly;

    if ((e->parts & GNTMAP_device_map) && !(e->was.flags & MAPPING_REVOKED))
        grant_release(frame_of(mfn(e->was.frame)), !readonly);
    if (e->parts && !(e->was.flags & MAPPING_REGION))
        grant_unpin(e->was.from, e->was.ref, readonly, grant_parts(e->parts));
    grant_mapping_unclaim(t, e->handle, 0);
}

/* flush: besides, something was ended that needs it. */
static void finish_all(struct mm_vcpu *v, const struct ending *e, unsigned count, bool flush)
{
    unsigned parts = flush ? GNTMAP_host_map : 0;

    for (unsigned i = 0; i < count; i++)
        parts |= e[i].parts;
    if (parts & GNTMAP_host_map) {
        struct vcpu_set everywhere;

        memset(&everywhere, 0xff, sizeof(everywhere));
        env_flush_vcpus(v->d, &everywhere, true, 0);
    }
    for (unsigned i = 0; i < count; i++)
        finish_end(v->d->grant, &e[i]);
}

/* ---- the commands ---- */

/* As many of the n structures at `at` as can be read. */
static unsigned fetch(void *ops, uint64_t at, unsigned n, size_t size)
{
    unsigned got = 0;

    if (likely(!env_copy_from_guest(ops, at, n * size)))
        return n;
    while (got < n && !env_copy_from_guest((char *)ops + got * size, at + got * size, size))
        got++;
    return got;
}

/* A mapping that the guest cannot learn of is undone. */
static void undo_map(struct mm_vcpu *v, const struct gnttab_map_grant_ref *op)
{
    struct ending e;
    int status;

    if (op->status != GNTST_okay)
        return;
    while ((status = begin_end(v, op->handle, op->flags & PARTS, op->host_addr, 0, 0, &e)) ==
           CLAIM_LATER)
        env_wait_turn();
    if (status == GNTST_okay)
        finish_all(v, &e, 1, false);
}

/* The results to the guest. */
static int answer_maps(struct mm_vcpu *v, uint64_t at, const struct gnttab_map_grant_ref *op,
                       unsigned n)
{
    int rc = 0;

    if (likely(!env_copy_to_guest(at, op, n * sizeof(*op))))
        return 0;
    for (unsigned i = 0; i < n; i++) {
        if (rc || env_copy_to_guest(at + i * sizeof(*op), &op[i], sizeof(*op))) {
            undo_map(v, &op[i]);
            rc = -XEN_EFAULT;
        }
    }
    return rc;
}

static int map_batch(struct mm_vcpu *v, uint64_t at, unsigned n)
{
    struct gnttab_map_grant_ref op[BATCH];
    struct grant_peer peer = GRANT_NO_PEER;
    struct region_use region = REGION_NO_USE;
    unsigned got = fetch(op, at, n, sizeof(op[0]));
    int rc;

    for (unsigned i = 0; i < got; i++) {
        if (op[i].dom == PAL_DOMID_REGION)
            i += region_map_run(v, &op[i], got - i, &region);
        if (i < got)
            op[i].status = (int16_t)(op[i].dom == PAL_DOMID_REGION
                                         ? region_map(v, &op[i], &region)
                                         : map_one(v, &op[i], grant_peer(&peer, op[i].dom)));
    }
    rc = answer_maps(v, at, op, got);
    region_use_end(&region);
    grant_peer_end(&peer);
    return got < n ? -XEN_EFAULT : rc;
}

long grant_map(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    int rc = 0;

    for (unsigned base = 0; base < count && !rc; base += BATCH) {
        if (base && !env_rest_point())
            return -XEN_EINVAL;
        rc = map_batch(v, args + base * sizeof(struct gnttab_map_grant_ref),
                       min(count - base, (unsigned)BATCH));
    }
    return rc;
}

static int unmap_one(struct mm_vcpu *v, const struct gnttab_unmap_grant_ref *op, struct ending *e)
{
    unsigned parts =
        (op->host_addr ? GNTMAP_host_map : 0) | (op->dev_bus_addr ? GNTMAP_device_map : 0);

    return begin_end(v, op->handle, parts, op->host_addr, op->dev_bus_addr, 0, e);
}

/*
 * The entry at new_addr moves to host_addr. It must be one of the guest's own frame (or empty): a mapping of a grant stays
 * where it was made. The two entries change one after the other; each holds what it says at any time.
 */
static int replace_one(struct mm_vcpu *v, const struct gnttab_unmap_and_replace *op,
                       struct ending *e)
{
    struct table_store s = {.compare = true};
    unsigned index;
    struct frame *table;
    const pte_t *slot;
    int status;
    pte_t value;

    if (!op->new_addr)
        return begin_end(v, op->handle, GNTMAP_host_map, op->host_addr, 0, 0, e);
    table = grant_host_table(v, op->new_addr, false, &index);
    if (!table)
        return GNTST_bad_virt_addr;
    slot = (const pte_t *)env_frame(frame_mfn(table)) + index;
    value = load_relaxed(slot);
    if ((value & PTE_P) && (!frame_is_ram(pte_mfn(value)) ||
                            load_relaxed(&frame_of(pte_mfn(value))->owner) != v->d->id))
        return GNTST_general_error;
    status = begin_end(v, op->handle, GNTMAP_host_map, op->host_addr, 0, value, e);
    /* Empty it, unless it became another's meanwhile. */
    for (unsigned i = 0; status == GNTST_okay && i < ENTRY_TRIES; i++) {
        s.expected = load_relaxed(slot);
        if ((s.expected ^ value) & ~(PTE_A | PTE_D) ||
            table_update(v->d, v->d, table, index, &s) != 1)
            break;
    }
    return status;
}

/* Both commands that end mappings have structures of the same shape. */
union end_op {
    struct gnttab_unmap_grant_ref unmap;
    struct gnttab_unmap_and_replace replace;
};
#define END_STATUS offsetof(struct gnttab_unmap_grant_ref, status)
_Static_assert(sizeof(struct gnttab_unmap_grant_ref) == sizeof(struct gnttab_unmap_and_replace) &&
                   END_STATUS == offsetof(struct gnttab_unmap_and_replace, status),
               "one loop for both");

static int answer_ends(uint64_t at, const union end_op *op, unsigned n)
{
    int rc = 0;

    if (likely(!env_copy_to_guest(at, op, n * sizeof(*op))))
        return 0;
    for (unsigned i = 0; i < n; i++) {
        if (env_copy_to_guest(at + i * sizeof(*op) + END_STATUS, &op[i].unmap.status,
                              sizeof(op[i].unmap.status)))
            rc = -XEN_EFAULT;
    }
    return rc;
}

static int end_batch(struct mm_vcpu *v, uint64_t at, unsigned n, bool replace)
{
    union end_op op[BATCH];
    struct ending e[BATCH];
    unsigned got = fetch(op, at, n, sizeof(op[0])), begun = 0, quick = 0;
    int rc;

    /* Mappings of regions and others do not alternate: after one of the others the rest goes their way. */
    if (!replace)
        quick = region_unmap_run(v, &op[0].unmap, got);
    for (unsigned i = quick; i < got;) {
        int status = replace ? replace_one(v, &op[i].replace, &e[begun])
                             : unmap_one(v, &op[i].unmap, &e[begun]);

        if (unlikely(status == CLAIM_LATER)) { /* who takes it may wait for what we have begun */
            finish_all(v, e, begun, false);
            begun = 0;
            env_wait_turn();
            continue;
        }
        op[i++].unmap.status = (int16_t)status;
        begun += status == GNTST_okay;
    }
    finish_all(v, e, begun, quick);
    rc = answer_ends(at, op, got);
    return got < n ? -XEN_EFAULT : rc;
}

static long end_all(struct mm_vcpu *v, uint64_t args, unsigned count, bool replace)
{
    int rc = 0;

    for (unsigned base = 0; base < count && !rc; base += BATCH) {
        if (base && !env_rest_point())
            return -XEN_EINVAL;
        rc = end_batch(v, args + base * sizeof(union end_op), min(count - base, (unsigned)BATCH),
                       replace);
    }
    return rc;
}

long grant_unmap(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    return end_all(v, args, count, false);
}

long grant_unmap_and_replace(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    return end_all(v, args, count, true);
}

/* ---- death ---- */

/* The entries went with the domain's tables, and no CPU will load those again. */
void grant_mappings_end(struct mm_domain *d)
{
    struct grant_table *t = d->grant;
    unsigned handles = t->handles;

    if (!t->chunks)
        return;
    env_flush_since(env_tlb_now());
    for (uint32_t h = 0; h < handles; h++) {
        struct grant_mapping *m = grant_mapping_at(t, h);
        struct ending e;
        int status = GNTST_bad_handle;

        while (m->parts && (status = grant_mapping_claim(t, h, m->parts, 0, &e.was)) == CLAIM_LATER)
            env_wait_turn();
        if (status == GNTST_okay) {
            e.handle = h;
            e.parts = e.was.parts;
            finish_end(t, &e);
        }
        if (h % MM_STRIDE == MM_STRIDE - 1)
            env_preempt_point();
    }
    grant_mappings_free(t);
}
