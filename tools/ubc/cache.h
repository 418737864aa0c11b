/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's buffer cache (PALOP_cache_* of abi/pal.h): a seam towards the machine. Without a cache every call
 * says so, and all reads are misses.
 */
#ifndef UBC_CACHE_H
#define UBC_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_NONE UINT32_MAX /* no object */

struct cache_piece {
    uint64_t page;
    uint32_t ref;
    uint16_t start, offset, length; /* of the cached page; of the granted page; bytes */
    int16_t status;                 /* written: 0 copied, else a negative errno of <xen/errno.h> */
};

/* The object with that name, CACHE_NONE: there is no cache, or no number free. */
uint32_t cache_object(const uint64_t name[2], uint64_t pages);
/* Forget the object and its pages. */
void cache_retire(uint32_t object);
void cache_reader(uint32_t object, uint32_t domain, bool allow);
/* Copy what is cached into the domain's granted pages; count <= CACHE_BATCH. Returns how many of the list have a status, or a
 * negative errno; -ENOENT: the object is no more. */
#define CACHE_BATCH 128u
int cache_copy(uint32_t object, uint32_t domain, struct cache_piece *list, unsigned count);
/* Insert consecutive pages that lie at `data`, on the domain's behalf. Returns 0 or a negative errno, -ENOENT as above. */
int cache_insert(uint32_t object, uint32_t domain, uint64_t page, unsigned count,
                 const uint8_t *data);

#endif
