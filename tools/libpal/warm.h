/* SPDX-License-Identifier: MIT */
/*
 * Lists of pages of an image that are worth having in the buffer cache, as they were there after a boot. Text: a line
 * "palimpsest-warm 1 PAGES" (pages of the image), then ranges "FIRST COUNT", ascending. The list of IMAGE stands in IMAGE.warm.
 */
#ifndef LIBPAL_WARM_H
#define LIBPAL_WARM_H

#include "libpal/hv_cache.h"
#include "libpal/identity.h"
#include "libpal/progress.h"

struct pal_base {
    int fd; /* for reading */
    struct identity identity;
    uint64_t name[2], pages;
};

/* Open an image and say which object it is. PAL_IMG_UNREADABLE. */
int pal_base_open(const char *path, struct pal_base *i, struct pal_error *e);
void pal_base_close(struct pal_base *i);

/* Write the list of what is cached of it now. Returns how many pages. */
long pal_warm_record(struct pal_hv *hv, const struct pal_base *i, const char *list,
                     struct pal_error *e);
/* Read what the list says (all of the image if list is NULL) and insert it. Returns how many pages are in the cache. */
long pal_warm_up(struct pal_hv *hv, const struct pal_base *i, const char *list,
                 struct pal_progress *progress, struct pal_error *e);

struct pal_config;
/* What a domain's file says of its part in the cache. */
int pal_cache_enter(struct pal_hv *hv, uint32_t domain, const struct pal_config *c,
                    struct pal_error *e);

#endif
