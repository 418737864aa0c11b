/* SPDX-License-Identifier: MIT */
/* Domain 0's first page tables. */
#ifndef HV_BOOT_DOM0_TABLES_H
#define HV_BOOT_DOM0_TABLES_H

#include "dom0_layout.h"
#include "dom0_memory.h"

/* Write them to the frames that the layout has for them; returns the top-level table's frame. They
 * are as a guest would write them itself: nothing is validated yet. */
mfn_t dom0_tables_make(const struct dom0_memory *m, const struct dom0_layout *l,
                       uint64_t virt_base);

#endif
