/* SPDX-License-Identifier: MIT */
/* The frame allocator (buddy, orders 0..20) and the hypervisor's heap over it. */
#ifndef MM_PALLOC_H
#define MM_PALLOC_H

#include "mm/domain.h"

#define PALLOC_MAX_ORDER 20

/* Boot: hand frames [start, end) of RAM to the allocator; frame_table must cover them. They count as
 * dirty (scrubbed before first use). */
void palloc_add(mfn_t start, mfn_t end);

/* 2^order frames for the hypervisor, zeroed, OWNER_HV; MFN_NONE when there are none. address_bits: every
 * byte below 2^address_bits (0: anywhere). Flushes stale translations, then scrubs. */
mfn_t palloc_hv(unsigned order, unsigned address_bits);
void palloc_free_hv(mfn_t m, unsigned order);

/* 2^order frames for d, zeroed, each with REF_OWNED and on its list, within max_pages; MFN_NONE if not
 * to be had (*error: -ENOMEM, or -EPERM/-ENOSPC class when over the maximum). */
mfn_t palloc_domain(struct mm_domain *d, unsigned order, unsigned address_bits, int *error);

/* Called by frame_put at the last reference: takes it off the owner's list and frees it. */
void palloc_free_frame(struct frame *f);

/* Give a hypervisor page (OWNER_HV, order 0) to be mapped by d: shared info, grant frames. */
void palloc_share(struct mm_domain *d, mfn_t m, bool read_only);
void palloc_unshare(struct mm_domain *d, mfn_t m);

uint64_t palloc_free_frames(void);
uint64_t palloc_total_frames(void);
uint64_t palloc_heap_frames(void);

/* The hypervisor's heap: zeroed memory, aligned to 16 (to 64 from 64 bytes on, a page from a page on).
 * NULL when there is none. heap_free(NULL) is allowed. */
void *heap_alloc(size_t bytes);
void heap_free(void *p);
uint64_t heap_bytes(void); /* handed out now */

#endif
