/* SPDX-License-Identifier: MIT */
/* The balloon daemon's last decision on a domain, in /run/pal, for `pal balloon --explain`. */
#ifndef LIBPAL_DECISION_H
#define LIBPAL_DECISION_H

#include <time.h>

#include "libpal/domain.h"

struct pal_decision {
    time_t at;
    uint64_t current_kib, target_kib, floor_kib, need_kib, comfort_kib, ideal_kib;
    uint64_t used_kib, swapped_kib;
    unsigned pressure; /* 1/10000 */
    bool has_agent;
    char reason[80];
};

void pal_decision_write(const struct pal_domain *d, const struct pal_decision *decision);
/* PAL_MEM_UNGOVERNED when there is none of this domain. */
int pal_decision_read(const struct pal_domain *d, struct pal_decision *decision,
                      struct pal_error *e);
void pal_decision_remove(uint32_t id);

#endif
