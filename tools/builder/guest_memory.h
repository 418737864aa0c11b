/* SPDX-License-Identifier: MIT */
/* The memory of a domain being built: pseudo-physical frames, and windows onto them. */
#ifndef BUILDER_GUEST_MEMORY_H
#define BUILDER_GUEST_MEMORY_H

#include "libpal/hv.h"
#include "libpal/progress.h"

struct guest_memory {
    struct pal_hv *hv;
    uint32_t domain;
    uint64_t pages;
    struct pal_progress *progress; /* counts bytes: got, then written; may be NULL */
    xen_pfn_t *mfn;                /* of each pseudo-physical frame: the p2m list itself */
};

/* Get all the memory from the hypervisor; all but mfn is filled in. */
int guest_memory_make(struct guest_memory *m, struct pal_error *e);
void guest_memory_free(struct guest_memory *m);

/* A writable window onto count frames from pfn on; NULL with the error set. */
void *guest_memory_map(struct guest_memory *m, uint64_t pfn, uint64_t count, struct pal_error *e);
void guest_memory_unmap(struct guest_memory *m, void *at, uint64_t count);

/* Copy size bytes to the byte address paddr, and zero what follows, up to room bytes in all. */
int guest_memory_write(struct guest_memory *m, uint64_t paddr, const void *data, uint64_t size,
                       uint64_t room, struct pal_error *e);

#endif
