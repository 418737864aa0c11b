/* SPDX-License-Identifier: MIT */
/*
 * GNTTABOP_copy: bytes between two pages, each the caller's own or one granted to it. Both are held, and granted ones marked
 * in use, while the bytes move.
 */
#include "grant_internal.h"

#define COPY_STRIDE 8 /* pages copied between preemption points */

struct side {
    struct mm_domain *d;
    struct frame *f;
    bool by_ref, writable;
    uint32_t ref;
};

static int open_side(struct mm_vcpu *v, struct grant_peer *peer, const struct gnttab_copy_ptr *p,
                     struct side *s)
{
    mfn_t m = mfn(p->u.gmfn);
    int status;

    s->d = v->d;
    if (s->by_ref) {
        if (p->domid != DOMID_SELF)
            s->d = grant_peer(peer, p->domid);
        if (!s->d || !s->d->grant)
            return GNTST_bad_domain;
        s->ref = p->u.ref;
        status = grant_pin(s->d->grant, s->ref, v->d, !s->writable, 1, &m);
        if (status)
            return status;
    } else if (p->domid != DOMID_SELF) {
        return GNTST_permission_denied;
    }
    s->f = grant_hold(s->d, m, s->writable);
    if (s->f)
        return GNTST_okay;
    if (s->by_ref)
        grant_unpin(s->d->grant, s->ref, !s->writable, 1);
    return GNTST_bad_page;
}

static void close_side(const struct side *s)
{
    grant_release(s->f, s->writable);
    if (s->by_ref)
        grant_unpin(s->d->grant, s->ref, !s->writable, 1);
}

static inline bool inside_page(const struct gnttab_copy_ptr *p, unsigned length)
{
    return p->offset <= PAGE_SIZE && length <= PAGE_SIZE - p->offset;
}

static int copy_one(struct mm_vcpu *v, const struct gnttab_copy *op, struct grant_peer peers[2])
{
    struct side from = {.by_ref = op->flags & GNTCOPY_source_gref};
    struct side to = {.by_ref = op->flags & GNTCOPY_dest_gref, .writable = true};
    int status;

    if (op->flags & ~(GNTCOPY_source_gref | GNTCOPY_dest_gref))
        return GNTST_general_error;
    if (!inside_page(&op->source, op->len) || !inside_page(&op->dest, op->len))
        return GNTST_bad_copy_arg;
    status = open_side(v, &peers[0], &op->source, &from);
    if (status)
        return status;
    status = open_side(v, &peers[1], &op->dest, &to);
    if (status == GNTST_okay) {
        memmove((char *)env_frame(frame_mfn(to.f)) + op->dest.offset,
                (const char *)env_frame(frame_mfn(from.f)) + op->source.offset, op->len);
        close_side(&to);
    }
    close_side(&from);
    return status;
}

long grant_copy(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    struct grant_peer peers[2] = {GRANT_NO_PEER, GRANT_NO_PEER};
    long rc = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t at = args + i * sizeof(struct gnttab_copy);
        struct gnttab_copy op;

        if (i && i % COPY_STRIDE == 0) {
            grant_peer_end(&peers[0]);
            grant_peer_end(&peers[1]);
            if (!env_rest_point())
                return -XEN_EINVAL;
        }
        if (env_copy_from_guest(&op, at, sizeof(op))) {
            rc = -XEN_EFAULT;
            break;
        }
        op.status = (int16_t)copy_one(v, &op, peers);
        if (env_copy_to_guest(at + offsetof(struct gnttab_copy, status), &op.status,
                              sizeof(op.status))) {
            rc = -XEN_EFAULT;
            break;
        }
    }
    grant_peer_end(&peers[0]);
    grant_peer_end(&peers[1]);
    return rc;
}
