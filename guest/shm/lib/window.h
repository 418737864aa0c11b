/* SPDX-License-Identifier: MIT */
/* Who has which bytes of a listener's area: first fit, in pages. Knows nothing else. */
#ifndef SHM_WINDOW_H
#define SHM_WINDOW_H

#include <stdint.h>

#define WINDOWS     256u /* at a time */
#define WINDOW_PAGE 4096u
#define WINDOW_MIN  (2 * WINDOW_PAGE)

struct windows {
    uint64_t offset, length; /* of the area */
    unsigned n;
    struct window {
        uint64_t offset, length;
        uint32_t domain;
    } taken[WINDOWS]; /* by offset */
};

/*
 * A window for a domain: `size` bytes, or fewer (at least WINDOW_MIN) where there is no room for so many. No domain gets more than half
 * of the area. Returns the length, 0: there is none.
 */
uint64_t window_take(struct windows *w, uint32_t domain, uint64_t size, uint64_t *offset);
void window_free(struct windows *w, uint64_t offset);

#endif
