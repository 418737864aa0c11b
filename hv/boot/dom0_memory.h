/* SPDX-License-Identifier: MIT */
/* Domain 0's frames while it is being built: by the list that it gets itself in the end, its p2m.
 */
#ifndef HV_BOOT_DOM0_MEMORY_H
#define HV_BOOT_DOM0_MEMORY_H

#include "core/domain.h"

struct dom0_memory {
    struct domain *d;
    uint64_t *p2m_frames; /* machine frames of the pages of the list itself (heap) */
    uint64_t p2m_pages;
    /* The unpacked kernel, in one block; given back when the memory is needed or at the end. */
    mfn_t scratch;
    unsigned scratch_order;
    bool scratch_needed; /* its content still is */
};

/* A block of at least that many bytes, NULL when there is none. */
void *dom0_memory_take_scratch(struct dom0_memory *m, uint64_t bytes);
void dom0_memory_drop_scratch(struct dom0_memory *m);

/* Frames for the list: p2m_pages of them, from pfn on. 0 or -XEN_ENOMEM. First of all. */
int dom0_memory_start(struct dom0_memory *m, uint64_t pfn, uint64_t p2m_pages);
/* Frames for pfn..end-1, in blocks as large as there are. Contents are not cleared. 0 or
 * -XEN_ENOMEM. */
int dom0_memory_populate(struct dom0_memory *m, uint64_t pfn, uint64_t end);
/* Mark the rest of the list's last page as holding no frames. */
void dom0_memory_end_list(struct dom0_memory *m, uint64_t nr_pages);
/* Forget what was only for building. */
void dom0_memory_finish(struct dom0_memory *m);

/* The machine frame of a populated page, and its content. */
mfn_t dom0_memory_frame(const struct dom0_memory *m, uint64_t pfn);
void *dom0_memory_page(const struct dom0_memory *m, uint64_t pfn);

/* Fill n bytes from pseudo-physical address paddr on, with bytes from src or with zeroes. */
void dom0_memory_copy(const struct dom0_memory *m, uint64_t paddr, const void *src, uint64_t n);
void dom0_memory_zero(const struct dom0_memory *m, uint64_t paddr, uint64_t n);

#endif
