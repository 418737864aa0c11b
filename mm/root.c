/* SPDX-License-Identifier: MIT */
/* What keeps tables validated without an entry that names them: pins and vCPUs' roots. */
#include "internal.h"

int mm_pin(struct mm_domain *d, mfn_t m, enum frame_role level)
{
    struct frame *f;
    uint64_t old;
    int rc = frame_get_role(d, m, level, &f);

    /* Busy with another role is "not now"; pinned at another level is plainly wrong. */
    if (rc == -XEN_EBUSY && (load_relaxed(&frame_of(m)->role) & ROLE_PINNED))
        rc = -XEN_EINVAL;
    if (rc)
        return rc;
    old = fetch_or(&f->role, ROLE_PINNED);
    if (old & ROLE_PINNED) {
        frame_put_role(f);
        return -XEN_EINVAL;
    }
    /* Who ends the domain looks for pins after it set `dying`; whichever is later undoes this one.
     */
    full_fence();
    if (unlikely(d->dying) && (fetch_and(&f->role, ~ROLE_PINNED) & ROLE_PINNED)) {
        frame_put_role(f);
        return -XEN_EINVAL;
    }
    return 0;
}

int mm_unpin(struct mm_domain *d, mfn_t m)
{
    struct frame *f = frame_get_held(d->id, m);
    bool pinned;

    if (!f)
        return -XEN_EINVAL;
    pinned = fetch_and(&f->role, ~ROLE_PINNED) & ROLE_PINNED;
    if (pinned)
        frame_put_role(f);
    frame_put(f);
    return pinned ? 0 : -XEN_EINVAL;
}

/* The machine-to-physical table is for guest kernels only: a root has it while it is a kernel root.
 */
static void fit_root(const struct mm_domain *d, mfn_t m, bool user)
{
    uint64_t *l4 = env_frame(m);

    if (user) {
        if (l4[HV_SLOT_FIRST])
            WRITE_ONCE(l4[HV_SLOT_FIRST], 0);
    } else if (!l4[HV_SLOT_FIRST]) {
        env_fill_root(d, l4);
    }
}

int mm_set_root(struct mm_vcpu *v, mfn_t m, bool user)
{
    mfn_t *root = user ? &v->user_root : &v->kernel_root, old = *root;

    if (m.n == 0) {
        if (!user)
            return -XEN_EINVAL;
        m = MFN_NONE;
    } else {
        int rc = frame_get_role(v->d, m, ROLE_L4, NULL);

        if (unlikely(rc))
            return rc;
        fit_root(v->d, m, user);
    }
    *root = m;
    env_root_changed(v);
    if (!mfn_eq(old, MFN_NONE))
        frame_put_role(frame_of(old));
    return 0;
}
