/* SPDX-License-Identifier: MIT */
/*
 * The seam: everything mm/ asks of the machine. The hypervisor answers in hv/x86/mm_env.c, the host
 * tests in tests/host/fake_env.c (with a TLB model, preemption at will, failing allocations).
 */
#ifndef MM_ENV_H
#define MM_ENV_H

#include "base/types.h"

struct mm_domain;
struct mm_vcpu;

/* All RAM is mapped at this address, frame after frame (holes included in the numbering). */
extern uintptr_t env_direct_base;

static inline void *env_frame(mfn_t m)
{
    return (void *)(env_direct_base + (m.n << PAGE_SHIFT));
}
static inline mfn_t env_mfn(const void *p)
{
    return mfn(((uintptr_t)p - env_direct_base) >> PAGE_SHIFT);
}

/* Where the machine-to-physical table has its part of this number, 2 MiB. */
mfn_t env_m2p_part(unsigned part);

/*
 * The TLB clock. A writer of page tables takes env_tlb_now() after it removed a translation; later
 * env_flush_since(stamp) returns only when no CPU can still use a translation (or a cached upper
 * level entry) that was removed at or before stamp. CPUs that flushed in between are not disturbed.
 * The clock has 64 bits and never wraps.
 */
uint64_t env_tlb_now(void);
void env_flush_since(uint64_t stamp);
/* The same for translations that only d's own tables held: CPUs that have none of these loaded now dropped theirs when
 * they loaded others. */
void env_flush_domain_since(const struct mm_domain *d, uint64_t stamp);

/* A guest asked: drop va (or all translations when all) on the CPUs where these vCPUs of d run. */
struct vcpu_set {
    uint64_t bits[4];
};
void env_flush_vcpus(struct mm_domain *d, const struct vcpu_set *set, bool all, uint64_t va);
/* The same on the calling CPU only. */
void env_flush_local(bool all, uint64_t va);

/*
 * Called at bounded distances of work, with no lock and no entry lock held: may run other vCPUs.
 * env_wait_turn is the same for one who waits for another vCPU's progress: it gives the CPU away.
 */
void env_preempt_point(void);
void env_wait_turn(void);

/*
 * env_preempt_point between two requests of a list that the guest made as long as it likes. The caller holds
 * nothing at all there but, for privileged domains, references of the domains it works on: a pause, a cap and the
 * audit take the vCPU as if it were at the guest boundary, and it goes on with the list afterwards. False: its
 * domain is being destroyed, which waits for it; it leaves the list.
 */
bool env_rest_point(void) __must_check;

/* Guest memory of the calling vCPU's current address space; 0 or -EFAULT, never a partial success
 * reported as full. The range is checked to lie outside the hypervisor's addresses. */
int env_copy_from_guest(void *dst, uint64_t guest_va, size_t n) __must_check;
int env_copy_to_guest(uint64_t guest_va, const void *src, size_t n) __must_check;

/* Domain lookup with a reference against its end; NULL when there is none. Finds a dying domain too, as
 * long as it has frames. */
struct mm_domain *env_domain_get(unsigned domid);
void env_domain_put(struct mm_domain *d);
/* May `who` act on `target`'s memory (foreign mapping, pinning on behalf)? Never true for itself. */
bool env_may_manage(const struct mm_domain *who, const struct mm_domain *target);

/* May d map this frame that is not RAM? Returns the access and the cache bits to be forced. */
enum env_iomem { ENV_IOMEM_DENIED, ENV_IOMEM_READ_ONLY, ENV_IOMEM_FULL };
enum env_iomem env_iomem_access(const struct mm_domain *d, mfn_t m);

/* Fill the hypervisor's own slots (256..271) of a top-level table about to be used by d. Nothing in them
 * may be global but what is the same for all and closed to guests: slot 256 (machine-to-physical) is
 * zeroed by mm/ while the table is a user root. */
void env_fill_root(const struct mm_domain *d, uint64_t *l4);

/* The vCPU's kernel_root or user_root changed: if it runs on this CPU in the mode that uses it, load. On
 * return no CPU has the former root loaded on behalf of this vCPU, nor idles on it: mm/ may clear it. */
void env_root_changed(struct mm_vcpu *v);

/* The vCPU's LDT is another one (ldt_base, ldt_entries; no page of it promoted yet): if it runs on this CPU,
 * show that. On return no CPU looks at pages of the former one on behalf of this vCPU: mm/ gives them free. */
void env_ldt_changed(struct mm_vcpu *v);

/* Write back and invalidate the data caches of this CPU, or of all. */
void env_flush_caches(bool all);

/* End this domain: it did what cannot be answered with an error. */
void env_crash_domain(struct mm_domain *d, const char *why);

/* What no guest can foresee. */
uint64_t env_random(void);

/* Width of a physical address in bits; no-execute available. */
extern unsigned env_phys_bits;
extern bool env_has_nx;

#endif
