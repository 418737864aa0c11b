/* SPDX-License-Identifier: MIT */
/*
 * The machine-to-physical table. What guests put in it is hearsay: nothing here ever reads it. It is made of parts of
 * 2 MiB; one of them may stand in many places, where there is no RAM.
 */
#include "internal.h"

uint64_t *m2p_table;

/* MMU_MACHPHYS_UPDATE: maddr lies anywhere in a frame of pg. */
int m2p_update(struct mm_domain *pg, uint64_t maddr, uint64_t value)
{
    struct frame *f = frame_get(pg, mfn(maddr >> PAGE_SHIFT));

    if (!f)
        return -XEN_EINVAL;
    m2p_set(frame_mfn(f), value);
    frame_put(f);
    return 0;
}

static unsigned parts(void)
{
    return (unsigned)DIV_ROUND_UP(frame_count * sizeof(uint64_t), MiB(2));
}

/* Domain 0 may map it as DOMID_XEN's, for reading. */
void m2p_share(void)
{
    for (unsigned i = 0; i < parts(); i++) {
        mfn_t first = env_m2p_part(i);

        if (frame_of(first)->owner == OWNER_XEN)
            continue;
        for (unsigned k = 0; k < MiB(2) >> PAGE_SHIFT; k++)
            palloc_share(&mm_domain_xen, mfn(first.n + k), true);
    }
}

/* XENMEM_machphys_mfn_list: for who maps the table by frame numbers (saving domains). */
long m2p_mfn_list(struct mm_vcpu *v, uint64_t arg_va)
{
    struct xen_machphys_mfn_list list;

    if (!v->d->privileged)
        return -XEN_EPERM;
    if (env_copy_from_guest(&list, arg_va, sizeof(list)))
        return -XEN_EFAULT;
    list.nr_extents = min(parts(), list.max_extents);
    for (unsigned i = 0; i < list.nr_extents; i++) {
        xen_pfn_t n = env_m2p_part(i).n;

        if (env_copy_to_guest((uint64_t)list.extent_start.p + i * sizeof(n), &n, sizeof(n)))
            return -XEN_EFAULT;
    }
    return env_copy_to_guest(arg_va, &list, sizeof(list)) ? -XEN_EFAULT : 0;
}

/* XENMEM_machphys_mapping: where guests see it. */
long m2p_mapping(uint64_t arg_va)
{
    struct xen_machphys_mapping mapping = {
        .v_start = MACH2PHYS_VIRT_START,
        .v_end = MACH2PHYS_VIRT_END,
        .max_mfn = frame_count - 1,
    };

    return env_copy_to_guest(arg_va, &mapping, sizeof(mapping)) ? -XEN_EFAULT : 0;
}
