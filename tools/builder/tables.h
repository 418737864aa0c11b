/* SPDX-License-Identifier: MIT */
/* The page tables that a domain starts on. */
#ifndef BUILDER_TABLES_H
#define BUILDER_TABLES_H

#include "builder/guest_memory.h"

#include "dom0_layout.h"

/* Write them; afterwards nothing of them is mapped here, so that they can be pinned. */
int guest_tables_make(struct guest_memory *m, const struct dom0_layout *l, uint64_t virt_base,
                      struct pal_error *e);

#endif
