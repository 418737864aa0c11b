/* SPDX-License-Identifier: MIT */
/*
 * GNTTABOP_copy: bytes between two pages, each the caller's own or one granted to it. Both are held, and granted ones marked
 * in use, while the bytes move.
 */
#include "grant_internal.h"

#define COPY_STRIDE 8 /* pages copied between preemption points */

static void side_close(struct grant_side *s)
{
    if (!s->f)
        return;
    grant_release(s->f, s->writable);
    if (s->by_ref)
        grant_unpin(s->d->grant, (uint32_t)s->name, !s->writable, 1);
    s->f = NULL;
}

void grant_side_end(struct grant_side *s)
{
    side_close(s);
    grant_peer_end(&s->peer);
}

static int side_open(struct mm_vcpu *v, struct grant_side *s, const struct gnttab_copy_ptr *p)
{
    mfn_t m = mfn(s->name);
    int status;

    s->d = v->d;
    if (s->by_ref) {
        if (p->domid != DOMID_SELF)
            s->d = grant_peer(&s->peer, p->domid);
        if (!s->d || !s->d->grant)
            return GNTST_bad_domain;
        status = grant_pin(s->d->grant, (uint32_t)s->name, v->d, !s->writable, 1, &m);
        if (status)
            return status;
    } else if (p->domid != DOMID_SELF) {
        return GNTST_permission_denied;
    }
    s->f = grant_hold(s->d, m, s->writable);
    if (s->f)
        return GNTST_okay;
    if (s->by_ref)
        grant_unpin(s->d->grant, (uint32_t)s->name, !s->writable, 1);
    return GNTST_bad_page;
}

int grant_side_take(struct mm_vcpu *v, struct grant_side *s, const struct gnttab_copy_ptr *p,
                    bool by_ref)
{
    uint64_t name = by_ref ? p->u.ref : p->u.gmfn;

    if (s->f && s->by_ref == by_ref && s->domid == p->domid && s->name == name)
        return GNTST_okay;
    side_close(s);
    s->by_ref = by_ref;
    s->domid = p->domid;
    s->name = name;
    return side_open(v, s, p);
}

static inline bool inside_page(const struct gnttab_copy_ptr *p, unsigned length)
{
    return p->offset <= PAGE_SIZE && length <= PAGE_SIZE - p->offset;
}

static int copy_one(struct mm_vcpu *v, const struct gnttab_copy *op, struct grant_side *from,
                    struct grant_side *to)
{
    int status;

    if (op->flags & ~(GNTCOPY_source_gref | GNTCOPY_dest_gref))
        return GNTST_general_error;
    if (!inside_page(&op->source, op->len) || !inside_page(&op->dest, op->len))
        return GNTST_bad_copy_arg;
    status = grant_side_take(v, from, &op->source, op->flags & GNTCOPY_source_gref);
    if (status == GNTST_okay)
        status = grant_side_take(v, to, &op->dest, op->flags & GNTCOPY_dest_gref);
    if (status == GNTST_okay)
        memmove((char *)env_frame(frame_mfn(to->f)) + op->dest.offset,
                (const char *)env_frame(frame_mfn(from->f)) + op->source.offset, op->len);
    return status;
}

long grant_copy(struct mm_vcpu *v, uint64_t args, unsigned count)
{
    struct grant_side from = {.peer = GRANT_NO_PEER},
                      to = {.peer = GRANT_NO_PEER, .writable = true};
    long rc = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t at = args + i * sizeof(struct gnttab_copy);
        struct gnttab_copy op;

        if (i && i % COPY_STRIDE == 0) {
            grant_side_end(&from);
            grant_side_end(&to);
            if (!env_rest_point())
                return -XEN_EINVAL;
        }
        if (env_copy_from_guest(&op, at, sizeof(op))) {
            rc = -XEN_EFAULT;
            break;
        }
        op.status = (int16_t)copy_one(v, &op, &from, &to);
        if (env_copy_to_guest(at + offsetof(struct gnttab_copy, status), &op.status,
                              sizeof(op.status))) {
            rc = -XEN_EFAULT;
            break;
        }
    }
    grant_side_end(&from);
    grant_side_end(&to);
    return rc;
}
