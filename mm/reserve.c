/* SPDX-License-Identifier: MIT */
/* HYPERVISOR_memory_op, the part about the amount of a domain's memory. */
#include "internal.h"

struct request {
    struct mm_domain *d;
    uint64_t list; /* guest address of the extents' frame numbers, or 0 */
    uint64_t extents;
    unsigned order;
    unsigned address_bits;
};

/* Give 2^order frames back, those from `m` on; false where one is not to be had. */
static bool release_extent(struct mm_domain *d, mfn_t m, unsigned order)
{
    for (uint64_t i = 0; i < BIT(order); i++) {
        struct frame *f = frame_get(d, mfn(m.n + i));
        bool ok;

        if (!f)
            return false;
        /* A pinned table is the owner's own promise; what else holds the frame defers its end. */
        ok = f->owner == d->id && !(load_relaxed(&f->role) & ROLE_PINNED) && frame_disown(f);
        frame_put(f);
        if (!ok)
            return false;
        if (i % MM_STRIDE == MM_STRIDE - 1)
            env_preempt_point();
    }
    return true;
}

static void undo_extent(struct mm_domain *d, mfn_t m, unsigned order)
{
    if (!release_extent(d, m, order))
        log_guest(d->id, "frames of a fresh extent were taken");
}

#define BATCH PALLOC_FRAMES_MAX /* extents of one frame that are handled at a time */

/* Extents' numbers from i on: up to BATCH, fewer when not all are readable, 0: none is. */
static unsigned fetch(const struct request *r, uint64_t i, xen_pfn_t *n)
{
    uint64_t where = r->list + i * sizeof(*n);
    unsigned count = r->order ? 1 : (unsigned)min(r->extents - i, (uint64_t)BATCH);

    if (likely(env_copy_from_guest(n, where, count * sizeof(*n)) == 0))
        return count;
    return count > 1 && env_copy_from_guest(n, where, sizeof(*n)) == 0 ? 1 : 0;
}

/* Extents from i on; how many were done. The same of the next two; none: it is over. */
static unsigned decrease_some(const struct request *r, uint64_t i)
{
    xen_pfn_t n[BATCH];
    unsigned count = fetch(r, i, n);

    for (unsigned k = 0; k < count; k++)
        if (!release_extent(r->d, mfn(n[k]), r->order))
            return k;
    return count;
}

static unsigned increase_some(const struct request *r, uint64_t i)
{
    int error;
    mfn_t m = palloc_domain(r->d, r->order, r->address_bits, &error);
    xen_pfn_t n = m.n;

    if (mfn_eq(m, MFN_NONE))
        return 0;
    if (r->list && env_copy_to_guest(r->list + i * sizeof(n), &n, sizeof(n))) {
        undo_extent(r->d, m, r->order);
        return 0;
    }
    return 1;
}

static void note_max_gfn(struct mm_domain *d, uint64_t end)
{
    uint64_t old = load_relaxed(&d->max_gfn);

    while (old < end && !compare_exchange(&d->max_gfn, &old, end))
        ;
}

/* Frames for the extents named by n; how many there were. */
static unsigned allocate(const struct request *r, mfn_t *m, unsigned count)
{
    int error;

    if (!count)
        return 0;
    if (!r->order)
        return palloc_domain_frames(r->d, m, count, r->address_bits);
    m[0] = palloc_domain(r->d, r->order, r->address_bits, &error);
    return mfn_eq(m[0], MFN_NONE) ? 0 : 1;
}

/* Tell the guest of `count` extents; those of which it could not be told are taken back. Returns how many it knows. */
static unsigned tell(const struct request *r, uint64_t i, const mfn_t *m, unsigned count)
{
    uint64_t where = r->list + i * sizeof(xen_pfn_t);
    unsigned told = count;

    _Static_assert(sizeof(mfn_t) == sizeof(xen_pfn_t), "one list serves as the other");
    if (likely(env_copy_to_guest(where, m, count * sizeof(*m)) == 0))
        return count;
    for (told = 0; told < count; told++)
        if (env_copy_to_guest(where + told * sizeof(*m), &m[told], sizeof(*m)))
            break;
    for (unsigned k = told; k < count; k++)
        undo_extent(r->d, m[k], r->order);
    return told;
}

/* The machine-to-physical entries of new extents. A frame may have been given back since by another vCPU, which need not be
 * told its number to guess it, and be somebody else's: it is looked at under the lock under which it would leave its owner. */
static void note_places(const struct request *r, const mfn_t *m, const xen_pfn_t *n, unsigned count)
{
    uint64_t pages = (uint64_t)count << r->order;

    for (uint64_t i = 0; i < pages; i += MM_STRIDE) {
        if (i)
            env_preempt_point();
        spin_lock(&r->d->lock);
        for (uint64_t k = i; k < min(pages, i + MM_STRIDE); k++) {
            uint64_t extent = k >> r->order, page = k & (BIT(r->order) - 1);
            mfn_t one = mfn(m[extent].n + page);

            if (likely(frame_of(one)->owner == r->d->id))
                m2p_set(one, n[extent] + page);
        }
        spin_unlock(&r->d->lock);
    }
}

static unsigned populate_some(const struct request *r, uint64_t i)
{
    xen_pfn_t n[BATCH];
    mfn_t m[BATCH];
    unsigned count = allocate(r, m, fetch(r, i, n));

    note_places(r, m, n, count);
    count = tell(r, i, m, count);
    for (unsigned k = 0; k < count; k++)
        if (n[k] < frame_count * 64) /* what no guest can reach says nothing about its size */
            note_max_gfn(r->d, n[k] + BIT(r->order));
    return count;
}

/* The number of extents done; the guest asked for r->extents. */
static long all_extents(const struct request *r, unsigned cmd)
{
    uint64_t i = 0, rested = 0;

    while (i < r->extents) {
        unsigned done = cmd == XENMEM_decrease_reservation   ? decrease_some(r, i)
                        : cmd == XENMEM_increase_reservation ? increase_some(r, i)
                                                             : populate_some(r, i);

        if (!done)
            break;
        i += done;
        if ((i - rested) << r->order >= MM_STRIDE) {
            rested = i;
            if (!env_rest_point())
                break;
        }
    }
    return (long)i;
}

static long change_reservation(struct mm_vcpu *v, unsigned cmd, uint64_t arg_va)
{
    struct xen_memory_reservation arg;
    struct request r;
    int error = 0;
    long done;

    if (env_copy_from_guest(&arg, arg_va, sizeof(arg)))
        return -XEN_EFAULT;
    if (arg.mem_flags & XENMEMF_populate_on_demand)
        return -XEN_EOPNOTSUPP;
    r = (struct request){
        .list = (uint64_t)arg.extent_start.p,
        .extents = arg.nr_extents,
        .order = arg.extent_order,
        .address_bits = XENMEMF_get_address_bits(arg.mem_flags),
    };
    /* As the interface has it: what cannot even begin did none of the extents. */
    if (r.order > domain_max_order(v->d) || r.extents > ~0ull >> 12)
        return 0;
    if (r.address_bits && r.address_bits < r.order + PAGE_SHIFT)
        return 0;
    r.d = domain_resolve(v->d, arg.domid, &error);
    if (!r.d)
        return error;
    if (r.d == &mm_domain_io || r.d == &mm_domain_xen)
        return -XEN_EPERM;
    done = all_extents(&r, cmd);
    domain_release(v->d, r.d);
    return done;
}

static long query(struct mm_vcpu *v, unsigned cmd, uint64_t arg_va)
{
    struct mm_domain *d;
    domid_t id;
    int error = 0;
    long result;

    if (env_copy_from_guest(&id, arg_va, sizeof(id)))
        return -XEN_EFAULT;
    d = domain_resolve(v->d, id, &error);
    if (!d)
        return error;
    if (d == &mm_domain_io || d == &mm_domain_xen)
        return -XEN_EPERM;
    if (cmd == XENMEM_current_reservation)
        result = (long)load_relaxed(&d->tot_pages);
    else if (cmd == XENMEM_maximum_reservation)
        result = (long)min(load_relaxed(&d->max_pages), (uint64_t)INT64_MAX);
    else /* none yet: as if there were one */
        result = (long)max(load_relaxed(&d->max_gfn), (uint64_t)1) - 1;
    domain_release(v->d, d);
    return result;
}

long reserve_op(struct mm_vcpu *v, unsigned cmd, uint64_t arg_va)
{
    switch (cmd) {
    case XENMEM_increase_reservation:
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap:
        return change_reservation(v, cmd, arg_va);
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation:
    case XENMEM_maximum_gpfn:
        return query(v, cmd, arg_va);
    case XENMEM_maximum_ram_page:
        return (long)frame_count - 1;
    default:
        return -XEN_ENOSYS;
    }
}

long mm_memory_op(struct mm_vcpu *v, unsigned cmd, uint64_t arg_va)
{
    switch (cmd) {
    case XENMEM_exchange:
        return exchange_op(v, arg_va);
    case XENMEM_machphys_mfn_list:
        return m2p_mfn_list(v, arg_va);
    case XENMEM_machphys_mapping:
        return m2p_mapping(arg_va);
    default:
        return reserve_op(v, cmd, arg_va);
    }
}
