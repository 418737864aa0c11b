/* SPDX-License-Identifier: MIT */
/* The frame allocator (buddy, orders 0..20) and the hypervisor's heap over it. */
#ifndef MM_PALLOC_H
#define MM_PALLOC_H

#include "mm/domain.h"

#define PALLOC_MAX_ORDER 20

/* Boot: hand frames [start, end) of RAM to the allocator; frame_table must cover them (zeroed). They are
 * scrubbed before first use, but for those given to the privileged domain before palloc_boot_done(): it
 * sees all of the machine anyway, and gigabytes are not touched for nothing. */
void palloc_add(mfn_t start, mfn_t end);
/* Frames of RAM in use by the hypervisor itself (image, modules, tables); they may be freed later by
 * palloc_free_hv. */
void palloc_reserve_hv(mfn_t start, mfn_t end);
void palloc_boot_done(void);

/* 2^order frames for the hypervisor, zeroed, OWNER_HV; MFN_NONE when there are none. address_bits: every
 * byte below 2^address_bits (0: anywhere). Flushes stale translations, then scrubs. */
mfn_t palloc_hv(unsigned order, unsigned address_bits);
void palloc_free_hv(mfn_t m, unsigned order);

/* 2^order frames for d, zeroed, each with REF_OWNED and on its list, within max_pages; MFN_NONE if not
 * to be had (*error: -XEN_ENOMEM; -XEN_EPERM over the maximum or dying). May be preempted when order > 6. */
mfn_t palloc_domain(struct mm_domain *d, unsigned order, unsigned address_bits, int *error);

/* Up to n frames for d, wherever they lie, otherwise as palloc_domain; never preempted. Returns how many are in m: fewer
 * than n and PALLOC_FRAMES_MAX when its maximum or the machine has no more. */
#define PALLOC_FRAMES_MAX 16
unsigned palloc_domain_frames(struct mm_domain *d, mfn_t *m, unsigned n, unsigned address_bits);

/* Called by frame_put at the last reference: takes it off the owner's list and frees it. */
void palloc_free_frame(struct frame *f);

/* For exchange.c: frames that belong to nobody yet (OWNER_HV, flushed and scrubbed), and giving them to d
 * without a look at its maximum (the caller holds d's lock and keeps tot_pages right). */
mfn_t palloc_detached(unsigned order, unsigned address_bits);
void palloc_free_detached(mfn_t m, unsigned order);
void palloc_attach_locked(struct mm_domain *d, mfn_t m);
void palloc_detach_locked(struct mm_domain *d, mfn_t m);

/* For bufcache.c: mark the next free frame from *cursor on (which moves; `look` frames are looked at) FRAME_CACHED; MFN_NONE if there
 * was none. Stale translations up to *stamp may still reach it. It stays free: bufcache_taken is called when it is handed out. Short. */
mfn_t palloc_capture(uint64_t *cursor, unsigned look, uint64_t *stamp);
/* End that, of a frame that bufcache_taken was not called for. Short. */
void palloc_release(mfn_t m);

/* Let d map a hypervisor page (OWNER_HV, order 0, from palloc_hv): shared info, grant frames. */
void palloc_share(struct mm_domain *d, mfn_t m, bool read_only);
/* End that: no new mapping; the page is freed when the last mapping goes. */
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
