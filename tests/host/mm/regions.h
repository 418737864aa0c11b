/* SPDX-License-Identifier: MIT */
/* What the tests of regions build of: the commands, with their structures in the caller's part of the buffer. */
#ifndef TESTS_HOST_MM_REGIONS_H
#define TESTS_HOST_MM_REGIONS_H

#include "../../../mm/region_internal.h"
#include "grants.h"

static inline long region_create(struct mm_vcpu *v, const char *name, uint64_t pages)
{
    struct pal_region_create *op = args_of(v);

    memset(op, 0, sizeof(*op));
    for (unsigned i = 0; name[i] && i < PAL_REGION_NAME; i++)
        op->name[i] = name[i];
    op->pages = pages;
    return mm_region_op(v, PALOP_region_create, fake_va(op));
}

static inline long region_allow(struct mm_vcpu *v, long slot, unsigned domain, unsigned access)
{
    struct pal_region_allow *op = args_of(v);

    *op = (struct pal_region_allow){.slot = (uint32_t)slot, .domain = domain, .access = access};
    return mm_region_op(v, PALOP_region_allow, fake_va(op));
}

static inline long region_destroy(struct mm_vcpu *v, long slot)
{
    struct pal_region_destroy *op = args_of(v);

    *op = (struct pal_region_destroy){.slot = (uint32_t)slot};
    return mm_region_op(v, PALOP_region_destroy, fake_va(op));
}

static inline long region_info(struct mm_vcpu *v, long slot, struct pal_region_info *out)
{
    struct pal_region_info *op = args_of(v);
    long rc;

    memset(op, 0xee, sizeof(*op));
    op->slot = (uint32_t)slot;
    rc = mm_region_op(v, PALOP_region_info, fake_va(op));
    *out = *op;
    return rc;
}

static inline long region_quota(struct mm_vcpu *v, unsigned domain, unsigned regions,
                                uint64_t pages)
{
    struct pal_region_quota *op = args_of(v);

    *op = (struct pal_region_quota){domain, regions, pages};
    return mm_region_op(v, PALOP_region_quota, fake_va(op));
}

static inline struct gnttab_map_grant_ref map_region(struct mm_vcpu *v, unsigned flags, uint64_t at,
                                                     long slot, uint32_t page)
{
    return map_grant(v, flags, at, PAL_DOMID_REGION, PAL_REGION_REF(slot, page));
}

/* What is mapped of the region by this domain, as the control domain sees it. */
static inline uint64_t region_mapped(long slot, unsigned domain)
{
    struct pal_region_info i;

    if (region_info(fake_v(0, 0), slot, &i) || i.slot != slot)
        return ~0ull;
    for (unsigned k = 0; k < i.members; k++) {
        if (i.member[k].domain == domain)
            return i.member[k].mappings;
    }
    return ~0ull;
}

#endif
