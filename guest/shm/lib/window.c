/* SPDX-License-Identifier: MIT */
#include "window.h"

#include <string.h>

static uint64_t of_domain(const struct windows *w, uint32_t domain)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < w->n; i++)
        if (w->taken[i].domain == domain)
            sum += w->taken[i].length;
    return sum;
}

/* The gap before window i (i == n: behind the last). */
static uint64_t gap(const struct windows *w, unsigned i, uint64_t *at)
{
    *at = i ? w->taken[i - 1].offset + w->taken[i - 1].length : w->offset;
    return (i < w->n ? w->taken[i].offset : w->offset + w->length) - *at;
}

uint64_t window_take(struct windows *w, uint32_t domain, uint64_t size, uint64_t *offset)
{
    uint64_t have = of_domain(w, domain), at, room, most = 0;
    uint64_t share = w->length / 2 / WINDOW_PAGE * WINDOW_PAGE;
    unsigned place = 0;

    if (share < WINDOW_MIN)
        share = w->length; /* room for one window only */
    if (w->n == WINDOWS || have + WINDOW_MIN > share)
        return 0;
    if (size > share - have)
        size = share - have;
    size = (size + WINDOW_PAGE - 1) / WINDOW_PAGE * WINDOW_PAGE;
    if (size < WINDOW_MIN)
        size = WINDOW_MIN;
    for (unsigned i = 0; i <= w->n && most < size; i++) {
        room = gap(w, i, &at);
        if (room > most) {
            most = room;
            place = i;
        }
    }
    if (most < WINDOW_MIN)
        return 0;
    if (size > most)
        size = most / WINDOW_PAGE * WINDOW_PAGE;
    gap(w, place, &at);
    memmove(&w->taken[place + 1], &w->taken[place], (w->n - place) * sizeof(w->taken[0]));
    w->taken[place] = (struct window){at, size, domain};
    w->n++;
    *offset = at;
    return size;
}

void window_free(struct windows *w, uint64_t offset)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->taken[i].offset == offset) {
            memmove(&w->taken[i], &w->taken[i + 1], (--w->n - i) * sizeof(w->taken[0]));
            return;
        }
}
