/* SPDX-License-Identifier: MIT */
/* What a domain sees of its processor: noted when it is saved, demanded when it comes back. */
#ifndef ENGINE_POLICY_H
#define ENGINE_POLICY_H

#include "image/reader.h"
#include "libpal/hv.h"

int policy_save(struct image_writer *w, struct pal_hv *hv, uint32_t domain, struct pal_error *e);
/* Refuse an image whose guest knows features that this machine has not, and hide from the domain those
 * that the guest does not know. */
int policy_restore(const struct image_reader *r, struct pal_hv *hv, uint32_t domain,
                   struct pal_error *e);

#endif
