/* SPDX-License-Identifier: MIT */
/*
 * What makes the domain that comes back the same as the one that was saved, as far as its description
 * does not say it: a name given later, an identity and addresses that were made up, how much memory
 * it was last told to have.
 */
#ifndef ENGINE_IDENTITY_H
#define ENGINE_IDENTITY_H

#include "image/reader.h"
#include "libpal/domain.h"

int identity_save(struct image_writer *w, struct pal *p, const struct pal_domain *d,
                  const struct pal_config *c, struct pal_error *e);
/* Put it into the description that was read. *target_kib: what it was told to have; 0: not known. */
int identity_restore(const struct image_reader *r, struct pal_config *c, uint64_t *target_kib,
                     struct pal_error *e);

#endif
