/* SPDX-License-Identifier: MIT */
#include "libpal/hv_region.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "abi/pal.h"
#include "libpal/hv_buffer.h"

_Static_assert(sizeof(((struct pal_region *)0)->name) == PAL_REGION_NAME &&
                   sizeof(((struct pal_region *)0)->member) ==
                       PAL_REGION_MEMBERS * sizeof(struct pal_member),
               "as many as the hypervisor has");

static void take(const struct pal_region_info *i, struct pal_region *r)
{
    *r = (struct pal_region){.slot = i->slot,
                             .creator = i->creator,
                             .pages = i->pages,
                             .generation = i->generation,
                             .members = i->members};
    memcpy(r->name, i->name, sizeof(r->name));
    for (unsigned k = 0; k < i->members && k < PAL_REGION_MEMBERS; k++)
        r->member[k] = (struct pal_member){
            i->member[k].domain, i->member[k].access == PAL_REGION_write, i->member[k].mappings};
}

int pal_hv_regions(struct pal_hv *hv, struct pal_region **list, struct pal_error *e)
{
    struct pal_region_info i = {0};
    int count = 0;

    *list = NULL;
    while (pal_hv_own(hv, PALOP_region_info, &i, sizeof(i), e) >= 0) {
        struct pal_region *more = realloc(*list, ((size_t)count + 1) * sizeof(**list));

        if (!more) {
            free(*list);
            return pal_fail(e, PAL_SYS_FAILED, "out of memory");
        }
        *list = more;
        take(&i, &more[count++]);
        i.slot++;
    }
    if (errno == ENOENT)
        return count;
    free(*list);
    *list = NULL;
    return pal_hv_refused(e, "to list its regions");
}

static int gone(struct pal_error *e, const struct pal_region *r)
{
    return pal_fail(e, PAL_REG_UNKNOWN, "the region \"%s\" is gone", r->name);
}

int pal_hv_region_look(struct pal_hv *hv, struct pal_region *r, struct pal_error *e)
{
    struct pal_region_info i = {.slot = r->slot};

    if (pal_hv_own(hv, PALOP_region_info, &i, sizeof(i), e) < 0)
        return errno == ENOENT ? gone(e, r) : pal_hv_refused(e, "to tell of the region");
    if (i.slot != r->slot || i.generation != r->generation)
        return gone(e, r);
    take(&i, r);
    return 0;
}

int pal_hv_region_create(struct pal_hv *hv, const char *name, uint64_t pages, struct pal_error *e)
{
    struct pal_region_create c = {.pages = pages};
    int rc;

    if (strlen(name) >= sizeof(c.name))
        return pal_fail(e, PAL_USE_ARGUMENTS, "\"%s\" is no name for a region", name);
    memcpy(c.name, name, strlen(name));
    rc = pal_hv_own(hv, PALOP_region_create, &c, sizeof(c), e);
    if (rc >= 0)
        return rc;
    switch (errno) {
    case EEXIST:
        return pal_fail(e, PAL_REG_EXISTS, "there is a region \"%s\"", name);
    case EINVAL:
        return pal_fail(e, PAL_USE_ARGUMENTS,
                        "a name has up to 31 letters, digits, '_', '-'; a region up to 4 GiB");
    case ENOSPC:
        return pal_fail(e, PAL_REG_FULL, "there are 1024 regions, as many as can be");
    case ENOMEM:
        pal_fail(e, PAL_MEM_HOST, "%" PRIu64 " MiB are not free", pages >> 8);
        return pal_remedy(e, "end a domain, destroy another region, or make this one smaller");
    default:
        return pal_hv_refused(e, "to make a region");
    }
}

int pal_hv_region_allow(struct pal_hv *hv, const struct pal_region *r, uint32_t domain,
                        enum pal_region_access access, struct pal_error *e)
{
    struct pal_region_allow a = {.slot = r->slot, .domain = domain, .access = access};

    if (pal_hv_own(hv, PALOP_region_allow, &a, sizeof(a), e) >= 0)
        return 0;
    switch (errno) {
    case ENOENT:
        return gone(e, r);
    case ESRCH:
        return access == PAL_REGION_OFF
                   ? pal_fail(e, PAL_REG_MEMBER, "domain %u is not on its list", domain)
                   : pal_fail(e, PAL_DOM_UNKNOWN, "there is no domain %u", domain);
    case ENOSPC:
        return pal_fail(e, PAL_REG_FULL, "32 domains are on its list, as many as can be");
    default:
        return pal_hv_refused(e, "to change the region's list");
    }
}

int pal_hv_region_destroy(struct pal_hv *hv, const struct pal_region *r, struct pal_error *e)
{
    struct pal_region_destroy d = {.slot = r->slot};

    if (pal_hv_own(hv, PALOP_region_destroy, &d, sizeof(d), e) >= 0)
        return 0;
    return errno == ENOENT ? gone(e, r) : pal_hv_refused(e, "to destroy the region");
}

int pal_hv_region_quota(struct pal_hv *hv, uint32_t domain, unsigned regions, uint64_t pages,
                        struct pal_error *e)
{
    struct pal_region_quota q = {domain, regions, pages};

    return pal_hv_own(hv, PALOP_region_quota, &q, sizeof(q), e) < 0
               ? pal_hv_refused(e, "to set how many regions the domain may make")
               : 0;
}
