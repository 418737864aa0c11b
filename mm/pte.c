/* SPDX-License-Identifier: MIT */
/* What an entry holds. */
#include "internal.h"

/* An entry that names no RAM. Who maps with another domain's rights needs its own too. */
static int io_get(struct mm_domain *d, struct mm_domain *pg, pte_t *e)
{
    enum env_iomem access;

    if (pg == &mm_domain_xen)
        return -XEN_EINVAL;
    access = env_iomem_access(d, pte_mfn(*e));
    if (pg != d && pg != &mm_domain_io) {
        enum env_iomem theirs = env_iomem_access(pg, pte_mfn(*e));
        access = min(access, theirs);
    }
    if (access == ENV_IOMEM_DENIED)
        return -XEN_EPERM;
    /* Stock drivers map whole register banks; what is not theirs to write they get read-only. */
    if (access == ENV_IOMEM_READ_ONLY)
        *e &= ~PTE_RW;
    return 0;
}

int entry_get(struct mm_domain *d, struct mm_domain *pg, unsigned level, pte_t *e)
{
    mfn_t m = pte_mfn(*e);
    struct frame *f;
    int rc;

    if (level > 1)
        return frame_get_role(d, m, (enum frame_role)(ROLE_L1 + level - 2), NULL);
    if (unlikely(!frame_is_ram(m)))
        return io_get(d, pg, e);
    f = frame_get(pg, m);
    if (unlikely(!f))
        return -XEN_EINVAL;
    if (!(*e & PTE_RW))
        return 0;
    if (unlikely(f->owner == OWNER_XEN) && (f->flags & FRAME_SHARED_RO))
        rc = -XEN_EPERM;
    else
        rc = role_get(pg, f, ROLE_WRITABLE);
    if (unlikely(rc))
        frame_put(f);
    else if (d != pg)
        note_foreign(f);
    return rc;
}

void entry_put(unsigned level, pte_t e)
{
    mfn_t m = pte_mfn(e);
    struct frame *f;

    if (unlikely(!frame_is_ram(m)))
        return;
    f = frame_of(m);
    if (level > 1 || (e & PTE_RW))
        role_put(f);
    frame_put(f);
}
