/* SPDX-License-Identifier: MIT */
/* Regions: memory of the hypervisor that several domains share (abi/pal.h, mm/README.md). */
#ifndef MM_REGION_H
#define MM_REGION_H

#include "mm/domain.h"

/* PALOP_region_* with its structure at arg. Who may do what is decided here. May wait and be preempted; call with no lock
 * held. */
long mm_region_op(struct mm_vcpu *v, unsigned cmd, uint64_t arg);

/* d is dying, its vCPUs are off all CPUs and its mappings are gone: off all lists; what it made has no creator from now
 * on. Short; may be repeated. */
void mm_region_domain_end(struct mm_domain *d);

struct mm_region_stats {
    uint64_t regions, frames; /* frames: with those of destroyed regions that are not free yet */
};
void mm_region_stats(struct mm_region_stats *out);

#endif
