/* SPDX-License-Identifier: MIT */
/* Regions as the hypervisor has them (abi/pal.h). */
#ifndef LIBPAL_HV_REGION_H
#define LIBPAL_HV_REGION_H

#include "libpal/hv.h"

#define PAL_REGION_NOBODY UINT32_MAX

struct pal_member {
    uint32_t domain;
    bool write;
    uint64_t mappings; /* of pages */
};
struct pal_region {
    uint32_t slot, creator; /* PAL_REGION_NOBODY: it is gone */
    uint64_t pages, generation;
    char name[32];
    unsigned members;
    struct pal_member member[32];
};

/* All; *list is to be freed. Returns how many. */
int pal_hv_regions(struct pal_hv *hv, struct pal_region **list, struct pal_error *e);
/* The one of this slot and generation, as it is now. */
int pal_hv_region_look(struct pal_hv *hv, struct pal_region *r, struct pal_error *e);
/* Returns its slot. */
int pal_hv_region_create(struct pal_hv *hv, const char *name, uint64_t pages, struct pal_error *e);
enum pal_region_access { PAL_REGION_OFF, PAL_REGION_READS, PAL_REGION_WRITES };
int pal_hv_region_allow(struct pal_hv *hv, const struct pal_region *r, uint32_t domain,
                        enum pal_region_access access, struct pal_error *e);
int pal_hv_region_destroy(struct pal_hv *hv, const struct pal_region *r, struct pal_error *e);
int pal_hv_region_quota(struct pal_hv *hv, uint32_t domain, unsigned regions, uint64_t pages,
                        struct pal_error *e);

#endif
