/* SPDX-License-Identifier: MIT */
/*
 * The table of grants itself: its pages, what is in use of it, and the commands about it. The pages are
 * the granter's to write at any time: an entry is read once, as a whole, and what is decided on that
 * reading becomes true only by exchanging the whole entry for one with the "in use" bits.
 */
#include "grant_internal.h"

#define TRIES 4 /* a granter that changes the entry more often under our hands is refused */

/* ---- entries in use ---- */

static inline uint64_t *entry_at(struct grant_table *t, uint32_t ref)
{
    return t->frame[ref / MM_GRANT_FRAME_ENTRIES].shared + ref % MM_GRANT_FRAME_ENTRIES;
}
static inline bool in_use(const struct grant_active *a)
{
    return a->readers || a->writers;
}

/* Does the entry, read as `e`, let `user` in? If others are in already, by the same words. */
static int entry_allows(uint64_t e, const struct grant_active *a, unsigned user, bool readonly)
{
    unsigned flags = entry_flags(e);

    if ((flags & GTF_type_mask) != GTF_permit_access || (flags & GTF_sub_page))
        return GNTST_general_error;
    if (entry_domid(e) != user)
        return GNTST_general_error;
    if (!readonly && (flags & GTF_readonly))
        return GNTST_general_error;
    if (in_use(a) && (e & ~ENTRY_FLAGS) != a->entry)
        return GNTST_general_error;
    return GNTST_okay;
}

static int pin_locked(struct grant_table *t, uint32_t ref, unsigned user, bool readonly,
                      unsigned times, mfn_t *m)
{
    if (t->dead)
        return GNTST_bad_domain;
    if (ref >= t->frames * MM_GRANT_FRAME_ENTRIES)
        return GNTST_bad_gntref;

    struct grant_active *a = grant_active_at(t, ref);
    uint64_t *entry = entry_at(t, ref), seen = load_relaxed(entry);
    uint32_t *count = readonly ? &a->readers : &a->writers;

    if (*count > UINT32_MAX - times)
        return GNTST_no_space;
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t used = seen | GTF_reading | (readonly ? 0 : GTF_writing);
        int status = entry_allows(seen, a, user, readonly);

        if (status)
            return status;
        if (used != seen && !compare_exchange(entry, &seen, used))
            continue;
        a->entry = seen & ~ENTRY_FLAGS;
        *count += times;
        *m = entry_mfn(seen);
        return GNTST_okay;
    }
    return GNTST_general_error;
}

int grant_pin(struct grant_table *t, uint32_t ref, const struct mm_domain *user, bool readonly,
              unsigned times, mfn_t *m)
{
    int status;

    spin_lock(&t->lock);
    status = pin_locked(t, ref, user->id, readonly, times, m);
    spin_unlock(&t->lock);
    return status;
}

void grant_unpin(struct grant_table *t, uint32_t ref, bool readonly, unsigned times)
{
    spin_lock(&t->lock);
    if (!t->dead) {
        struct grant_active *a = grant_active_at(t, ref);
        uint32_t *count = readonly ? &a->readers : &a->writers;
        uint64_t over;

        CHECK_LE(times, *count);
        *count -= times;
        over = (a->writers ? 0 : GTF_writing) | (in_use(a) ? 0 : GTF_reading);
        if (over)
            fetch_and(entry_at(t, ref), ~over);
    }
    spin_unlock(&t->lock);
}

struct frame *grant_hold(struct mm_domain *d, mfn_t m, bool writable)
{
    struct frame *f = frame_get(d, m);

    if (!f)
        return NULL;
    /* Not the pages that the hypervisor shares with d. */
    if (f->owner == d->id && (!writable || role_get(d, f, ROLE_WRITABLE) == 0))
        return f;
    frame_put(f);
    return NULL;
}

void grant_release(struct frame *f, bool writable)
{
    if (writable)
        role_put(f);
    frame_put(f);
}

/* ---- the domain at the other end ---- */

struct mm_domain *grant_peer(struct grant_peer *p, unsigned domid)
{
    if (p->domid != domid) {
        grant_peer_end(p);
        p->domid = domid;
        p->d = domid < DOMID_FIRST_RESERVED ? env_domain_get(domid) : NULL;
    }
    return p->d && p->d->grant && !load_relaxed(&p->d->dying) ? p->d : NULL;
}

void grant_peer_end(struct grant_peer *p)
{
    if (p->d)
        env_domain_put(p->d);
    *p = GRANT_NO_PEER;
}

/* ---- pages of the table ---- */

static void free_page(struct mm_domain *d, uint64_t *shared, struct grant_active *active)
{
    palloc_unshare(d, env_mfn(shared));
    heap_free(active);
}

/* Add page number `at`, unless somebody else did. */
static int add_page(struct mm_domain *d, struct grant_table *t, unsigned at)
{
    struct grant_active *active = heap_alloc(MM_GRANT_FRAME_ENTRIES * sizeof(*active));
    mfn_t m = active ? palloc_hv(0, 0) : MFN_NONE;
    bool added;

    if (mfn_eq(m, MFN_NONE)) {
        heap_free(active);
        return -XEN_ENOMEM;
    }
    palloc_share(d, m, false);
    spin_lock(&t->lock);
    added = !t->dead && t->frames == at;
    if (added) {
        t->frame[at].shared = env_frame(m);
        t->frame[at].active = active;
        t->frames = at + 1;
    }
    spin_unlock(&t->lock);
    if (!added)
        free_page(d, env_frame(m), active);
    return 0;
}

/* Let the table have at least `frames` pages. 0; -XEN_EINVAL: more than it may; -XEN_ENOMEM. */
static int grow(struct mm_domain *d, struct grant_table *t, unsigned frames)
{
    if (frames > t->max_frames)
        return -XEN_EINVAL;
    for (unsigned n = load_relaxed(&t->frames); n < frames; n = load_relaxed(&t->frames)) {
        int rc = load_relaxed(&t->dead) ? -XEN_EINVAL : add_page(d, t, n);

        if (rc)
            return rc;
        env_preempt_point();
    }
    return 0;
}

mfn_t mm_grant_frame(struct mm_domain *d, unsigned index)
{
    struct grant_table *t = d->grant;
    mfn_t m = MFN_NONE;

    if (!t || index >= t->max_frames || grow(d, t, index + 1))
        return m;
    spin_lock(&t->lock);
    if (index < t->frames)
        m = env_mfn(t->frame[index].shared);
    spin_unlock(&t->lock);
    return m;
}

int mm_grant_preset(struct mm_domain *d, unsigned ref, unsigned to, mfn_t m)
{
    struct grant_table *t = d->grant;
    int rc = t ? grow(d, t, ref / MM_GRANT_FRAME_ENTRIES + 1) : -XEN_EINVAL;

    if (rc)
        return rc;
    spin_lock(&t->lock);
    if (t->dead || in_use(grant_active_at(t, ref)))
        rc = -XEN_EINVAL;
    else
        store_release(entry_at(t, ref),
                      m.n << 32 | (uint64_t)(to & 0xffff) << 16 | GTF_permit_access);
    spin_unlock(&t->lock);
    return rc;
}

/* ---- life ---- */

int mm_grant_domain_init(struct mm_domain *d, unsigned max_frames, unsigned max_maptrack)
{
    struct grant_table *t = heap_alloc(sizeof(*t));
    int rc;

    if (!t)
        return -XEN_ENOMEM;
    t->refs = 1;
    spin_init(&t->lock);
    spin_init(&t->maps_lock);
    t->max_frames = min(max(max_frames, 1u), (unsigned)MM_GRANT_MAX_FRAMES);
    t->max_handles = min(max_maptrack, (unsigned)MM_GRANT_MAX_MAPTRACK) * 256;
    t->free_handle = NO_HANDLE;
    d->grant = t;
    rc = grow(d, t, 1);
    if (rc)
        mm_grant_domain_free(d);
    return rc;
}

void grant_table_put(struct grant_table *t)
{
    CHECK_LT(0, load_relaxed(&t->refs));
    if (fetch_sub(&t->refs, 1) == 1)
        heap_free(t);
}

void mm_grant_teardown(struct mm_domain *d)
{
    struct grant_table *t = d->grant;
    unsigned frames;

    if (!t)
        return;
    grant_mappings_end(d);
    spin_lock(&t->lock);
    t->dead = true;
    frames = t->frames;
    t->frames = 0;
    spin_unlock(&t->lock);
    for (unsigned i = 0; i < frames; i++) {
        free_page(d, t->frame[i].shared, t->frame[i].active);
        env_preempt_point();
    }
}

void mm_grant_domain_free(struct mm_domain *d)
{
    struct grant_table *t = d->grant;

    if (!t)
        return;
    mm_grant_teardown(d);
    d->grant = NULL;
    grant_table_put(t);
}

void mm_grant_stats(struct mm_domain *d, struct mm_grant_stats *out)
{
    const struct grant_table *t = d->grant;

    *out = (struct mm_grant_stats){0};
    if (t)
        *out = (struct mm_grant_stats){
            load_relaxed(&t->frames),
            t->max_frames,
            load_relaxed(&t->mappings),
        };
}

/* ---- commands about the table ---- */

/* The domain whose table d means by domid: its own, or one that it manages. NULL: *status says why. */
static struct mm_domain *table_owner(struct mm_domain *d, unsigned domid, int16_t *status)
{
    int error = 0;
    struct mm_domain *owner = domain_resolve(d, domid, &error);

    if (owner && owner->grant)
        return owner;
    if (owner)
        domain_release(d, owner);
    *status = !owner && error == -XEN_EPERM ? GNTST_permission_denied : GNTST_bad_domain;
    return NULL;
}

/* The numbers of the table's first frames to the caller's list. */
static int put_frames(struct mm_domain *owner, uint64_t list, unsigned frames, int16_t *status)
{
    for (unsigned i = 0; i < frames; i++) {
        xen_pfn_t m = mm_grant_frame(owner, i).n;

        if (m == MFN_NONE.n) {
            *status = GNTST_general_error; /* it is dying */
            return 0;
        }
        if (env_copy_to_guest(list + i * sizeof(m), &m, sizeof(m)))
            return -XEN_EFAULT;
    }
    return 0;
}

static long setup_table(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    struct gnttab_setup_table op;
    struct mm_domain *owner;
    int rc = 0;

    if (count != 1)
        return -XEN_EINVAL;
    if (env_copy_from_guest(&op, args, sizeof(op)))
        return -XEN_EFAULT;
    op.status = GNTST_okay;
    owner = table_owner(v->d, op.dom, &op.status);
    if (owner) {
        rc = grow(owner, owner->grant, op.nr_frames);
        if (rc)
            op.status = rc == -XEN_ENOMEM ? GNTST_no_space : GNTST_general_error;
        rc = rc ? 0 : put_frames(owner, (uint64_t)op.frame_list.p, op.nr_frames, &op.status);
        domain_release(v->d, owner);
    }
    if (env_copy_to_guest(args + offsetof(struct gnttab_setup_table, status), &op.status,
                          sizeof(op.status)))
        rc = -XEN_EFAULT;
    return rc;
}

static long query_size(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    struct gnttab_query_size op;
    struct mm_domain *owner;

    if (count != 1)
        return -XEN_EINVAL;
    if (env_copy_from_guest(&op, args, sizeof(op)))
        return -XEN_EFAULT;
    owner = table_owner(v->d, op.dom, &op.status);
    if (owner) {
        op.nr_frames = load_relaxed(&owner->grant->frames);
        op.max_nr_frames = owner->grant->max_frames;
        op.status = GNTST_okay;
        domain_release(v->d, owner);
    }
    return env_copy_to_guest(args, &op, sizeof(op)) ? -XEN_EFAULT : 0;
}

/* There is only one. */
static long set_version(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    struct gnttab_set_version op;

    (void)v;
    if (count != 1)
        return -XEN_EINVAL;
    if (env_copy_from_guest(&op, args, sizeof(op)))
        return -XEN_EFAULT;
    if (op.version == 1)
        return 0;
    return op.version == 2 ? -XEN_ENOSYS : -XEN_EINVAL;
}

static long get_version(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    struct gnttab_get_version op;
    struct mm_domain *owner;
    int16_t status = GNTST_okay;

    if (count != 1)
        return -XEN_EINVAL;
    if (env_copy_from_guest(&op, args, sizeof(op)))
        return -XEN_EFAULT;
    owner = table_owner(v->d, op.dom, &status);
    if (!owner)
        return status == GNTST_permission_denied ? -XEN_EPERM : -XEN_ESRCH;
    domain_release(v->d, owner);
    op.version = 1;
    return env_copy_to_guest(args + offsetof(struct gnttab_get_version, version), &op.version,
                             sizeof(op.version))
               ? -XEN_EFAULT
               : 0;
}

/* Neither entry is in use, and the lock lets nobody in. */
static int16_t swap_entries(struct grant_table *t, uint32_t a, uint32_t b)
{
    int16_t status = GNTST_okay;

    spin_lock(&t->lock);
    if (a >= t->frames * MM_GRANT_FRAME_ENTRIES || b >= t->frames * MM_GRANT_FRAME_ENTRIES) {
        status = GNTST_bad_gntref;
    } else if (in_use(grant_active_at(t, a)) || in_use(grant_active_at(t, b))) {
        status = GNTST_eagain;
    } else if (a != b) {
        uint64_t was = load_relaxed(entry_at(t, a));

        store_release(entry_at(t, a), load_relaxed(entry_at(t, b)));
        store_release(entry_at(t, b), was);
    }
    spin_unlock(&t->lock);
    return status;
}

static long swap_grant_ref(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = args + i * sizeof(struct gnttab_swap_grant_ref);
        struct gnttab_swap_grant_ref op;

        if (env_copy_from_guest(&op, at, sizeof(op)))
            return -XEN_EFAULT;
        op.status = v->d->grant ? swap_entries(v->d->grant, op.ref_a, op.ref_b) : GNTST_bad_gntref;
        if (env_copy_to_guest(at + offsetof(struct gnttab_swap_grant_ref, status), &op.status,
                              sizeof(op.status)))
            return -XEN_EFAULT;
        if (i % MM_STRIDE == MM_STRIDE - 1 && !env_rest_point())
            return -XEN_EINVAL;
    }
    return 0;
}

/* The interface has it for machines whose devices do not see the caches; here they do. */
static long cache_flush(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    (void)v, (void)args, (void)count;
    return -XEN_EOPNOTSUPP;
}

/* What has no slot is not there: transfers, dumps, and what belongs to version 2. */
static long (*const commands[])(struct mm_vcpu *v, uint64_t args, unsigned count) = {
    [GNTTABOP_map_grant_ref] = grant_map,
    [GNTTABOP_unmap_grant_ref] = grant_unmap,
    [GNTTABOP_setup_table] = setup_table,
    [GNTTABOP_copy] = grant_copy,
    [GNTTABOP_query_size] = query_size,
    [GNTTABOP_unmap_and_replace] = grant_unmap_and_replace,
    [GNTTABOP_set_version] = set_version,
    [GNTTABOP_get_version] = get_version,
    [GNTTABOP_swap_grant_ref] = swap_grant_ref,
    [GNTTABOP_cache_flush] = cache_flush,
};

long mm_grant_op(struct mm_vcpu *v, unsigned cmd, uint64_t args_va, unsigned count)
{
    if (cmd >= ARRAY_SIZE(commands) || !commands[cmd])
        return -XEN_ENOSYS;
    if (count >> 31)
        return -XEN_EINVAL;
    return commands[cmd](v, args_va, count);
}
