/* SPDX-License-Identifier: MIT */
/* The machine's memory before the allocator has it. */
#ifndef BOOT_MEMORY_H
#define BOOT_MEMORY_H

#include "base/boot_info.h"

/* Bring boot_info.regions into order: sorted, whole frames of RAM, nothing twice, the limits
 * applied; and note what of it is taken (image, modules). Panics when there is no usable RAM. */
void memory_init(void);

/* Hand all RAM that is not taken to the frame allocator. */
void memory_release(void);

/* Hand the modules' memory to it, when domain 0 is built. */
void memory_release_modules(void);

#endif
