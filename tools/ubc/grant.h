/* SPDX-License-Identifier: MIT */
/* Copies between granted pages and our own memory: a seam towards the machine. */
#ifndef UBC_GRANT_H
#define UBC_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#define GRANT_BATCH 256u

struct grant_copy {
    void *ours;
    uint32_t ref;
    uint16_t offset, length; /* within one page */
};

/* All of a list from, or to, pages that the domain granted. False: at least one was refused; others may be done. */
bool grant_copy_from(uint32_t domain, const struct grant_copy *list, unsigned count);
bool grant_copy_to(uint32_t domain, const struct grant_copy *list, unsigned count);

#endif
