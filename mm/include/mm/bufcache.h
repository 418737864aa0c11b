/* SPDX-License-Identifier: MIT */
/*
 * The buffer cache: pages of disk images in free frames. See mm/README.md for the theory and abi/pal.h for
 * the calls.
 */
#ifndef MM_BUFCACHE_H
#define MM_BUFCACHE_H

#include "mm/domain.h"

/* PALOP_cache_*. Only for the privileged domain. May be preempted. */
long mm_cache_op(struct mm_vcpu *v, unsigned cmd, uint64_t arg);

/* Frames [first, first + count), which the allocator hands out, hold nothing of the cache on return. They lie in one
 * aligned block; count <= MM_STRIDE. Called for blocks in which a frame has FRAME_CACHED; waits for copies of single pages. */
void bufcache_taken(mfn_t first, uint64_t count);

/* d is dying: it reads nothing any more and is on no list. May be repeated. */
void bufcache_domain_end(struct mm_domain *d);

/* Free frames that hold cached pages. */
uint64_t bufcache_pages(void);

/* For the audit: what is wrong in the cache itself. */
uint64_t bufcache_audit(void);

#endif
