/* SPDX-License-Identifier: MIT */
#include "libpal/room.h"

#define MIB 1024u /* KiB */

static uint64_t spare(const struct pal_giver *g)
{
    return g->current_kib > g->floor_kib ? (g->current_kib - g->floor_kib) / MIB * MIB : 0;
}

uint64_t pal_room_divide(struct pal_giver *g, unsigned count, uint64_t missing_kib)
{
    uint64_t all = 0, left = (missing_kib + MIB - 1) / MIB * MIB, wanted = left;

    for (unsigned i = 0; i < count; i++) {
        g[i].give_kib = 0;
        all += spare(&g[i]);
    }
    if (all < wanted)
        return wanted - all;
    for (unsigned i = 0; i < count && left; i++) {
        uint64_t due = (uint64_t)((unsigned __int128)wanted * spare(&g[i]) / all);

        due = (due + MIB - 1) / MIB * MIB;
        due = due < left ? due : left;
        g[i].give_kib = due < spare(&g[i]) ? due : spare(&g[i]);
        left -= g[i].give_kib;
    }
    for (unsigned i = 0; i < count && left; i++) { /* what rounding left over */
        uint64_t more = spare(&g[i]) - g[i].give_kib;

        more = more < left ? more : left;
        g[i].give_kib += more;
        left -= more;
    }
    return 0;
}
