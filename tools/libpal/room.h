/* SPDX-License-Identifier: MIT */
/*
 * Making room for a domain that is to start: who gives how much. Only those give of whom it is known
 * how far they may shrink: domains whose file says <pal:minimum>, and domain 0, which knows what it uses.
 */
#ifndef LIBPAL_ROOM_H
#define LIBPAL_ROOM_H

#include "libpal/balloon.h"

/* The hypervisor's own share of a domain: tables, pages of state, rounded up. */
#define PAL_ROOM_OVERHEAD_KIB 2048u

struct pal_giver {
    struct pal_domain domain;
    uint64_t current_kib, floor_kib;
    uint64_t give_kib; /* out */
};
/* Divide missing_kib among the givers, in proportion to what each has above its floor, in whole MiB.
 * Returns what they cannot give together; then nobody gives anything. */
uint64_t pal_room_divide(struct pal_giver *g, unsigned count, uint64_t missing_kib);

/* Promise ourselves kib of memory (ledger.h). When it is not free: say on standard error who gives how
 * much, down to which floor, have them do so, and promise then. Fails with PAL_MEM_HOST, and tells what is
 * missing, when they cannot or do not; nobody is asked for anything when it could not be enough. */
int pal_room_make(struct pal *p, uint64_t kib, struct pal_error *e);

#endif
