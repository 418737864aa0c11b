/* SPDX-License-Identifier: MIT */
/* What the files of the control operations (domctl*.c, sysctl*.c) share. */
#ifndef CORE_CONTROL_H
#define CORE_CONTROL_H

#include "core/domain.h"
#include "core/uaccess.h"
#include <xen/domctl.h>
#include <xen/sysctl.h>

/* A domctl: d is op->domain's (NULL only where the table says that none is needed). Writes its
 * results into *op, which goes back to the caller after success; a handler that must give it back
 * with an error sets *copyback. */
typedef long domctl_fn(struct domain *d, struct xen_domctl *op, bool *copyback);

/* domctl_domain.c */
domctl_fn domctl_create, domctl_destroy, domctl_pause, domctl_unpause, domctl_resume, domctl_info,
    domctl_max_vcpus, domctl_max_mem, domctl_scheduler, domctl_set_handle, domctl_settimeoffset,
    domctl_address_size_set, domctl_address_size_get, domctl_tsc_set, domctl_tsc_get,
    domctl_hypercall_init, domctl_page_info, domctl_shadow, domctl_permission, domctl_nodes_set,
    domctl_nodes_get, domctl_nothing;
/* domctl_vcpu.c */
domctl_fn domctl_context_set, domctl_context_get, domctl_vcpu_info, domctl_affinity_set,
    domctl_affinity_get, domctl_ext_context_set, domctl_ext_context_get, domctl_xstate_set,
    domctl_xstate_get, domctl_msrs_set, domctl_msrs_get, domctl_trigger;
/* domctl_policy.c */
domctl_fn domctl_policy_get, domctl_policy_set;

/* For a human: one line a domain. */
void domain_log_all(void);
void domain_describe(struct domain *d, struct xen_domctl_getdomaininfo *info);

typedef long sysctl_fn(struct xen_sysctl *op, bool *copyback);
/* sysctl_info.c */
sysctl_fn sysctl_physinfo, sysctl_cpuinfo, sysctl_topology, sysctl_numa, sysctl_heap,
    sysctl_domains, sysctl_pool, sysctl_sched_id, sysctl_scheduler;
/* domctl_policy.c */
sysctl_fn sysctl_policy, sysctl_featureset;

/* A bitmap of the caller's: at most `bits` bits; those beyond what it gives are 0, those beyond
 * `bits` are ignored or written as 0. 0, -EFAULT. */
int control_read_bitmap(uint64_t *to, unsigned bits, const struct xenctl_bitmap *from) __must_check;
int control_write_bitmap(const struct xenctl_bitmap *to, const uint64_t *from,
                         unsigned bits) __must_check;

#endif
