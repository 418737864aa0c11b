/* SPDX-License-Identifier: MIT */
/* What CPUs there are and what guests are shown of them, for the control operations. */
#ifndef X86_POLICY_H
#define X86_POLICY_H

#include "core/domain.h"

/* Where a CPU sits (topology.c). core counts within its socket. */
struct cpu_place {
    unsigned socket, core;
    unsigned threads_per_core, cores_per_socket;
};
struct cpu_place cpu_place(unsigned cpu);
/* A number that is the same for CPUs of one physical core. */
uint32_t cpu_core_of(uint32_t apic_id);

/*
 * policy.c: the same in the interface's form: CPUID leaves, and feature words in the numbering of
 * <xen/arch-x86/cpufeatureset.h>.
 */
#define POLICY_FEATURE_WORDS DOMAIN_FEATURE_WORDS
/* The first n feature words of the hardware; of what an unprivileged guest sees. */
void policy_host_features(uint32_t *words, unsigned n);
void policy_guest_features(uint32_t *words, unsigned n);

/* Up to max leaves of the hardware or, host false, of what d's guest sees (NULL: of any
 * unprivileged one). Returns how many were written; POLICY_LEAVES are always enough. */
#define POLICY_LEAVES 96
unsigned policy_leaves(const struct domain *d, bool host, struct xen_cpuid_leaf *out, unsigned max);

#define POLICY_MSRS 2
struct xen_msr_entry policy_msr(unsigned i); /* i < POLICY_MSRS */

/* Take features away from d: those that leaf, one of a policy that was set, does not have. Leaves
 * without features are accepted as they are. */
void policy_restrict(struct domain *d, const struct xen_cpuid_leaf *leaf);
/* All features again. */
void policy_reset(struct domain *d);
/* Clear in out, the registers of a leaf (leaves without subleaves: subleaf 0), what was taken away
 * from d. */
void policy_hide(const struct domain *d, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

#endif
