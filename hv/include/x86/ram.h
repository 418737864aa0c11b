/* SPDX-License-Identifier: MIT */
/* RAM that nobody uses yet, while there is no allocator: a sorted list of ranges (machine
 * addresses). */
#ifndef X86_RAM_H
#define X86_RAM_H

#include "base/types.h"

#define RAM_MAX_RANGES 320

/* The first MiB is left to the firmware and to domain 0, which looks for tables there: it counts as device memory. */
#define FIRMWARE_END MiB(1)

void ram_add(uint64_t start, uint64_t end);     /* in ascending order, page aligned */
void ram_reserve(uint64_t start, uint64_t end); /* cut out; rounded outward to pages */
/* Take `size` bytes aligned to `align` (powers of two pages) ending at or below limit, as high as
 * possible; panics when there are none. Not cleared. */
uint64_t ram_take(uint64_t size, uint64_t align, uint64_t limit);
/* Give everything left to the frame allocator; the list is empty afterwards. */
void ram_release(void);

/* Bytes of RAM in the machine; of these, what ram_take gave away for good. */
uint64_t ram_total(void);
uint64_t ram_taken(void);

#endif
