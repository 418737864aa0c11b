/* SPDX-License-Identifier: MIT */
/*
 * Regions: memory that several domains share (abi/pal.h). The hypervisor keeps the memory and the lists; the store tells
 * each domain on a list of the region, at /local/domain/ID/pal/regions/NAME: slot, pages, access ("rw", "ro"),
 * generation, members. A `state` of "detach" asks the domain to let go; what it does not let go is taken by
 * force. Only regions that domain 0 made are in there: what a guest makes it tells of itself.
 */
#ifndef LIBPAL_REGION_H
#define LIBPAL_REGION_H

#include "libpal/domain.h"
#include "libpal/hv_region.h"

/* NAME: one that domain 0 made; MAKER:NAME; or a slot's number. */
int pal_region_find(struct pal *p, const char *word, struct pal_region *r, struct pal_error *e);
/* Room is made for it as for a domain. */
int pal_region_create(struct pal *p, const char *name, uint64_t kib, struct pal_region *r,
                      struct pal_error *e);
int pal_region_allow(struct pal *p, struct pal_region *r, uint32_t domain, bool write,
                     struct pal_error *e);
/* Ask the domain to let go, for at most so many seconds, then take it off the list. */
int pal_region_revoke(struct pal *p, struct pal_region *r, uint32_t domain, double seconds,
                      struct pal_error *e);
int pal_region_destroy(struct pal *p, struct pal_region *r, double seconds, struct pal_error *e);
/* What its file says: a quota, regions that it uses (made where the file gives a size). `missing_is_good`: of those that
 * are not there it is said on standard error, and that is all. */
int pal_regions_enter(struct pal *p, uint32_t domain, const struct pal_config *c,
                      bool missing_is_good, struct pal_error *e);
/* The domain has gone: the others hear of it. */
void pal_regions_forget(struct pal *p, uint32_t domain);

/* What a domain had, to give it back. */
struct pal_seat {
    struct pal_region region;
    bool write;
};
/* Take it off all lists, after it was asked to let go. *seats is to be freed. Returns how many. */
int pal_regions_detach(struct pal *p, uint32_t domain, double seconds, struct pal_seat **seats,
                       struct pal_error *e);
void pal_regions_attach(struct pal *p, uint32_t domain, const struct pal_seat *seats, int count);
/* Pages of regions that the domain has mapped; with the name of one such region. */
int pal_regions_mapped(struct pal *p, uint32_t domain, uint64_t *pages, char name[32],
                       struct pal_error *e);

#endif
