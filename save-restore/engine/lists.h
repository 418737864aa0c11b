/* SPDX-License-Identifier: MIT */
/*
 * Where a guest keeps frame numbers beside its page tables: the p2m list, the list of its frames for
 * tools, the start information, the shared page. Facts: <xen/arch-x86/xen.h>, struct
 * arch_shared_info; <xen/xen.h>, struct start_info.
 *
 * Nothing of it is believed: frames that are not the domain's are passed over, and what a guest
 * names as a list is only rewritten in the copy, so it can hurt but itself.
 */
#ifndef ENGINE_LISTS_H
#define ENGINE_LISTS_H

#include "engine/frames.h"

#include <xen/xen.h>

/* Set the type of all pages with frame numbers to IMAGE_LIST. The domain stands still. */
int lists_find(struct frames *f, struct pal_hv *hv, uint32_t domain, const struct shared_info *s,
               struct pal_error *e);

/* A page of frame numbers. What is no frame of the domain's becomes "none" (all bits set). */
void list_to_gfn(const struct frames *f, const uint64_t *in, uint64_t *out);
void list_to_mfn(const struct frames *f, uint64_t *page);

/* The shared page, as it stands in the image. */
void shared_to_gfn(const struct frames *f, const struct shared_info *in, struct shared_info *out);
/* What of it goes into the new one, which a new domain has already. */
void shared_to_mfn(const struct frames *f, const struct shared_info *image, struct shared_info *to);

#endif
