/* SPDX-License-Identifier: MIT */
/* States of virtual CPUs in an image: their frame numbers are the guest's. */
#ifndef ENGINE_STATE_H
#define ENGINE_STATE_H

#include "engine/frames.h"
#include "image/reader.h"

/* The frame of the start information, which its kernel named when it suspended. */
int state_start_info(const struct frames *f, struct pal_hv *hv, uint32_t domain, uint64_t *gfn,
                     struct pal_error *e);
/* Write the states of all virtual CPUs of a suspended domain. */
int state_save(struct image_writer *w, const struct frames *f, struct pal_hv *hv, uint32_t domain,
               unsigned vcpus, uint64_t start_info, struct pal_error *e);
/* Give the virtual CPUs of a new domain, whose tables are pinned, their states. */
int state_restore(const struct image_reader *r, const struct frames *f, struct pal_hv *hv,
                  uint32_t domain, unsigned vcpus, uint64_t start_info, struct pal_error *e);

#endif
