/* SPDX-License-Identifier: MIT */
/*
 * Grant tables, version 1: a domain lets another one map a frame of its own, or copy from or to it. The
 * table lies in pages that the hypervisor shares with the granter; see mm/README.md for what a mapping holds.
 *
 * Life of a domain:
 *   creation   mm_domain_init, then mm_grant_domain_init
 *   death      mm_domain_teardown calls mm_grant_teardown itself, after the domain's own tables are gone
 *   end        mm_grant_domain_free, when nobody can find the domain any more, right before its structure goes
 */
#ifndef MM_GRANT_H
#define MM_GRANT_H

#include "mm/domain.h"

#define MM_GRANT_MAX_FRAMES    64   /* of the table: 512 entries each */
#define MM_GRANT_MAX_MAPTRACK  1024 /* frames' worth of mappings it may have of others: 256 each */
#define MM_GRANT_FRAME_ENTRIES 512  /* entries of version 1 in a frame */

/* Give d a table of one frame that may grow to max_frames, and room for max_maptrack * 256 mappings of others' frames
 * (both limited to the above; a table has at least one frame). 0, -XEN_ENOMEM. A domain without one grants and maps
 * nothing. */
int mm_grant_domain_init(struct mm_domain *d, unsigned max_frames, unsigned max_maptrack);

/* d is dying, its vCPUs are off all CPUs, its page tables are released: end what it mapped of others ("in use" is cleared
 * in their entries), let nobody map through its table any more, free the table. What others map of its frames stays
 * until they unmap it. May be preempted; may be repeated. */
void mm_grant_teardown(struct mm_domain *d);

/* The last: does mm_grant_teardown's work if that was never done (a creation that failed). */
void mm_grant_domain_free(struct mm_domain *d);

/* HYPERVISOR_grant_table_op: `count` structures of command `cmd` at args_va. 0 with the status of each written there, or a
 * negative error of the call as a whole: those before the failing one are done and have their status. May be preempted. */
long mm_grant_op(struct mm_vcpu *v, unsigned cmd, uint64_t args_va, unsigned count);

/* Frame `index` of d's table, grown to hold it if need be; MFN_NONE: beyond the limit, no memory, dying. For who hands
 * d's first entries out on its behalf (console, store). */
mfn_t mm_grant_frame(struct mm_domain *d, unsigned index);

/* Fill entry `ref` of d's table: domain `to` may map d's frame m, writable. For domain building. 0; -XEN_EINVAL: no such
 * entry, or in use; -XEN_ENOMEM. */
int mm_grant_preset(struct mm_domain *d, unsigned ref, unsigned to, mfn_t m);

struct mm_grant_stats {
    unsigned frames, max_frames; /* of the table */
    unsigned mappings;           /* that d has of others' frames */
};
void mm_grant_stats(struct mm_domain *d, struct mm_grant_stats *out);

#endif
