/* SPDX-License-Identifier: MIT */
/* The hypervisor's buffer cache: pages of disk images in free memory (abi/pal.h). */
#ifndef LIBPAL_HV_CACHE_H
#define LIBPAL_HV_CACHE_H

#include "libpal/hv.h"

#define PAL_CACHE_ALL      UINT32_MAX
#define PAL_CACHE_NO_LIMIT UINT64_MAX
#define PAL_CACHE_PIECE    32 /* pages that are inserted at once */

/* One object, one domain's account, or the whole. Pages of 4 KiB. */
struct pal_cache {
    uint32_t object, domain; /* what it tells of; the other, or both, is PAL_CACHE_ALL */
    uint64_t name[2];        /* of the object */
    uint64_t object_pages;
    unsigned readers;
    bool off;
    uint64_t limit; /* pages; PAL_CACHE_NO_LIMIT */
    uint64_t pages, hits, misses, inserts, evictions, taken, bytes;
};

int pal_hv_cache(struct pal_hv *hv, struct pal_cache *all, struct pal_error *e);
/* *list is to be freed. Return how many. */
int pal_hv_cache_objects(struct pal_hv *hv, struct pal_cache **list, struct pal_error *e);
int pal_hv_cache_domains(struct pal_hv *hv, struct pal_cache **list, struct pal_error *e);
/* Forget an object's pages, or all (PAL_CACHE_ALL). That the object is gone is no error. */
int pal_hv_cache_drop(struct pal_hv *hv, uint32_t object, struct pal_error *e);
/* Of a domain (inserted on its behalf; takes part or not), or of all. */
int pal_hv_cache_limit(struct pal_hv *hv, uint32_t domain, bool off, uint64_t pages,
                       struct pal_error *e);
/* The number of the object, which is made if there is none. */
int pal_hv_cache_object(struct pal_hv *hv, const uint64_t name[2], uint64_t pages, uint32_t *object,
                        struct pal_error *e);
/* The object's cached pages in ascending order; *list is to be freed. Returns how many. */
long pal_hv_cache_pages(struct pal_hv *hv, uint32_t object, uint32_t **list, struct pal_error *e);
/* Insert up to PAL_CACHE_PIECE consecutive pages, on nobody's behalf. Returns how many are cached now, of these. */
int pal_hv_cache_insert(struct pal_hv *hv, uint32_t object, uint64_t first, unsigned count,
                        const void *bytes, struct pal_error *e);

#endif
