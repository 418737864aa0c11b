/* SPDX-License-Identifier: MIT */
/*
 * XENMEM_exchange: a domain gives frames and gets as many others, contiguous or low ones. All of a
 * request or nothing: the frames given are first taken out of reach (which fails if anything refers
 * to them, or if one is listed twice), the new ones are allocated and their numbers written to the
 * guest; then both sets change hands under the domain's lock, which cannot fail.
 */
#include "internal.h"

#define MAX_FRAMES 4096 /* of one request: 16 MiB, more than drivers ask for at once */

struct exchange {
    struct mm_domain *d;
    struct xen_memory_exchange arg;
    uint64_t total; /* frames */
    uint64_t *in;   /* total numbers of frames taken out of reach */
    uint64_t *out;  /* numbers of the first frames of out.nr_extents blocks */
    uint64_t *gfn;  /* what the guest's list held in their places */
    uint64_t taken, made, told;
};

/* Only the owner's own reference: then no table, descriptor, mapping or grant knows the frame. Its
 * count becomes 0, so that nobody else can take one. */
static bool take_away(struct mm_domain *d, mfn_t m)
{
    struct frame *f;
    uint32_t alone = (uint32_t)REF_OWNED | 2; /* the owner's and ours */
    bool ok;

    f = frame_get(d, m);
    if (!f)
        return false;
    ok = f->owner == d->id && compare_exchange(&f->refs, &alone, 0);
    if (!ok)
        frame_put(f);
    return ok;
}

static void bring_back(struct mm_domain *d, mfn_t m)
{
    struct frame *f = frame_of(m);
    bool dying;

    spin_lock(&d->lock);
    dying = d->dying;
    store_release(&f->refs, dying ? 1 : (uint32_t)REF_OWNED | 1);
    spin_unlock(&d->lock);
    if (unlikely(dying)) /* it may have been passed over while it was out of reach */
        frame_put(f);
}

static int take_all(struct exchange *x)
{
    const struct xen_memory_reservation *in = &x->arg.in;

    for (uint64_t e = 0; e < in->nr_extents; e++) {
        xen_pfn_t first;

        if (env_copy_from_guest(&first, (uint64_t)in->extent_start.p + e * sizeof(first),
                                sizeof(first)))
            return -XEN_EFAULT;
        for (uint64_t i = 0; i < BIT(in->extent_order); i++) {
            if (!take_away(x->d, mfn(first + i)))
                return -XEN_EINVAL;
            x->in[x->taken++] = first + i;
            if (x->taken % MM_STRIDE == 0)
                env_preempt_point();
        }
    }
    return 0;
}

static int make_all(struct exchange *x)
{
    const struct xen_memory_reservation *out = &x->arg.out;

    for (uint64_t e = 0; e < out->nr_extents; e++) {
        mfn_t m = palloc_detached(out->extent_order, XENMEMF_get_address_bits(out->mem_flags));

        if (mfn_eq(m, MFN_NONE))
            return -XEN_ENOMEM;
        x->out[x->made++] = m.n;
        if ((x->made << out->extent_order) % MM_STRIDE == 0)
            env_preempt_point();
    }
    return 0;
}

/* Read the guest's list of places for the new frames and write the frames' numbers over it. */
static int tell_all(struct exchange *x)
{
    uint64_t list = (uint64_t)x->arg.out.extent_start.p;

    for (uint64_t e = 0; e < x->made; e++) {
        if (env_copy_from_guest(&x->gfn[e], list + e * sizeof(uint64_t), sizeof(uint64_t)) ||
            env_copy_to_guest(list + e * sizeof(uint64_t), &x->out[e], sizeof(uint64_t)))
            return -XEN_EFAULT;
        x->told++;
    }
    return 0;
}

static void undo(struct exchange *x)
{
    uint64_t list = (uint64_t)x->arg.out.extent_start.p;

    for (uint64_t e = 0; e < x->told; e++) {
        if (env_copy_to_guest(list + e * sizeof(uint64_t), &x->gfn[e], sizeof(uint64_t)))
            break; /* the guest unmapped its list: its loss */
    }
    for (uint64_t e = 0; e < x->made; e++)
        palloc_free_detached(mfn(x->out[e]), x->arg.out.extent_order);
    for (uint64_t i = 0; i < x->taken; i++)
        bring_back(x->d, mfn(x->in[i]));
}

/* -XEN_ESRCH: the domain, another's, is dying; nothing has changed. */
static int commit(struct exchange *x)
{
    unsigned order = x->arg.out.extent_order;

    /* MAX_FRAMES bounds the time under the lock. */
    spin_lock(&x->d->lock);
    if (unlikely(x->d->dying)) {
        spin_unlock(&x->d->lock);
        return -XEN_ESRCH;
    }
    for (uint64_t i = 0; i < x->total; i++)
        palloc_detach_locked(x->d, mfn(x->in[i]));
    for (uint64_t i = 0; i < x->total; i++) {
        mfn_t m = mfn(x->out[i >> order] + (i & (BIT(order) - 1)));

        m2p_set(m, x->gfn[i >> order] + (i & (BIT(order) - 1)));
        palloc_attach_locked(x->d, m);
    }
    spin_unlock(&x->d->lock);
    for (uint64_t i = 0; i < x->total; i++) {
        palloc_free_detached(mfn(x->in[i]), 0);
        if (i % MM_STRIDE == MM_STRIDE - 1)
            env_preempt_point();
    }
    return 0;
}

static int carry_out(struct exchange *x)
{
    uint64_t *room = heap_alloc(3 * x->total * sizeof(uint64_t));
    int rc;

    if (!room)
        return -XEN_ENOMEM;
    x->in = room;
    x->out = room + x->total;
    x->gfn = room + 2 * x->total;
    rc = take_all(x);
    if (!rc)
        rc = make_all(x);
    if (!rc)
        rc = tell_all(x);
    if (!rc)
        rc = commit(x);
    if (rc)
        undo(x);
    heap_free(room);
    return rc;
}

/* The rules of <xen/memory.h>, and that a fresh call has done nothing yet. */
static int check(const struct mm_vcpu *v, const struct xen_memory_exchange *a)
{
    unsigned most = min(domain_max_order(v->d), 12u);

    if (a->in.domid != a->out.domid || a->nr_exchanged)
        return -XEN_EINVAL;
    if (a->in.extent_order > most || a->out.extent_order > most)
        return -XEN_EPERM;
    if (a->in.nr_extents > MAX_FRAMES || a->out.nr_extents > MAX_FRAMES ||
        a->in.nr_extents << a->in.extent_order != a->out.nr_extents << a->out.extent_order ||
        a->in.nr_extents << a->in.extent_order > MAX_FRAMES)
        return -XEN_EINVAL;
    return 0;
}

long exchange_op(struct mm_vcpu *v, uint64_t arg_va)
{
    struct exchange x = {0};
    uint64_t done;
    int rc, error = 0;

    if (env_copy_from_guest(&x.arg, arg_va, sizeof(x.arg)))
        return -XEN_EFAULT;
    rc = check(v, &x.arg);
    if (rc)
        return rc;
    x.d = domain_resolve(v->d, x.arg.in.domid, &error);
    if (!x.d)
        return error;
    if (x.d == &mm_domain_io || x.d == &mm_domain_xen)
        return -XEN_EPERM;
    x.total = x.arg.in.nr_extents << x.arg.in.extent_order;
    rc = x.total ? carry_out(&x) : 0;
    domain_release(v->d, x.d);
    done = rc ? 0 : x.arg.in.nr_extents;
    if (env_copy_to_guest(arg_va + offsetof(struct xen_memory_exchange, nr_exchanged), &done,
                          sizeof(done)) &&
        !rc)
        rc = -XEN_EFAULT;
    return rc;
}
