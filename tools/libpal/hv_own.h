/* SPDX-License-Identifier: MIT */
/* What only our hypervisor tells of its memory (abi/pal.h). */
#ifndef LIBPAL_HV_OWN_H
#define LIBPAL_HV_OWN_H

#include "libpal/hv.h"

/* All in KiB. */
struct pal_hv_memory {
    uint64_t machine; /* RAM of the machine */
    uint64_t tables;  /* frame table and other tables made at boot */
    uint64_t image;   /* the hypervisor's image, and what it leaves to the firmware */
    uint64_t heap;    /* its heap: vCPUs, grant tables, pages shared with guests */
    uint64_t regions; /* memory that domains share (libpal/region.h) */
    uint64_t managed; /* what goes to domains and comes back: heap, regions, domains and free */
    uint64_t free;
    uint64_t cached; /* of free: it holds pages of images, and is there for whoever needs memory */
};
int pal_hv_memory(struct pal_hv *hv, struct pal_hv_memory *m, struct pal_error *e);

#endif
