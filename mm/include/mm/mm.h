/* SPDX-License-Identifier: MIT */
/*
 * What the memory core offers the rest of the hypervisor: the memory hypercalls and the few
 * operations that entry paths and domain building need. Every function here may wait and be
 * preempted unless it says "short"; call with no lock held.
 */
#ifndef MM_MM_H
#define MM_MM_H

#include "mm/domain.h"
#include "mm/palloc.h"
#include "mm/pte.h"
#include "mm/ptype.h"

/* ---- machine-to-physical table (m2p.c) ---- */
extern uint64_t *m2p_table; /* writable alias; the guests' read-only view is the machine's affair */
#define M2P_INVALID (~0ull)
/* At boot, before there is any domain. */
void m2p_share(void);
static inline void m2p_set(mfn_t m, uint64_t value)
{
    m2p_table[m.n] = value;
}

/* ---- hypercalls; arguments as in <xen/xen.h>; results as there ---- */
long mm_mmu_update(struct mm_vcpu *v, uint64_t reqs_va, unsigned count, uint64_t done_va,
                   unsigned foreign);
long mm_mmuext_op(struct mm_vcpu *v, uint64_t ops_va, unsigned count, uint64_t done_va,
                  unsigned foreign);
long mm_update_va_mapping(struct mm_vcpu *v, uint64_t va, uint64_t value, uint64_t flags,
                          unsigned foreign);
/* memory_op commands about the amount of memory; -ENOSYS for those that are not ours. */
long mm_memory_op(struct mm_vcpu *v, unsigned cmd, uint64_t arg_va);

/* ---- page tables ---- */

/* Switch the vCPU's kernel root (user: its user root; m.n == 0 clears it). 0, -EINVAL, -EBUSY. Calls
 * env_root_changed. */
int mm_set_root(struct mm_vcpu *v, mfn_t m, bool user);
/* Pin m as a table of that level (ROLE_L1..ROLE_L4) for d, as MMUEXT_PIN_*; and the inverse. */
int mm_pin(struct mm_domain *d, mfn_t m, enum frame_role level);
int mm_unpin(struct mm_domain *d, mfn_t m);

/*
 * A guest wrote to a page it maps read-only (hv/x86/emulate_write.c decodes the store). mm_trapped_table: the
 * level-1 table of the caller's domain that va lies in, or NULL: such a write is not for us. Short.
 */
struct frame *mm_trapped_table(struct mm_vcpu *v, uint64_t va);
/* The 8-byte entry at va's offset in that table. */
static inline pte_t mm_trapped_read(struct frame *table, uint64_t va)
{
    const volatile pte_t *t = env_frame(frame_mfn(table));
    return t[(va & (PAGE_SIZE - 1)) / sizeof(pte_t)];
}
/*
 * Carry out the store of that whole entry as a checked update. If compare: only when the entry equals
 * *expected; else *expected gets what was found and 1 is returned. 0 done; -EINVAL no table any more, or not
 * legal: the guest gets its page fault. Short but for a new target's role.
 */
int mm_trapped_write(struct mm_vcpu *v, struct frame *table, uint64_t va, uint64_t *expected,
                     uint64_t value, bool compare);

/* Short. The entry that maps va at the lowest level reached from root, by frame numbers through the direct
 * map: *level gets 4..1; returns the entry (0 when not present above). For spurious-fault and fault checks. */
pte_t mm_walk(mfn_t root, uint64_t va, unsigned *level);

/* ---- descriptor tables (desc.c) ---- */
/* Replace the vCPU's GDT by these guest frames (each takes ROLE_DESC after validation of its
 * descriptors). On failure the old one stays. 0, -EINVAL. The caller re-maps its window. */
int mm_set_gdt(struct mm_vcpu *v, const uint64_t *mfns, unsigned entries);
/* Replace the LDT by the table at this guest address (page-aligned); its pages are promoted on first use.
 * env_ldt_changed shows it to the processor. 0, -EINVAL. */
int mm_set_ldt(struct mm_vcpu *v, uint64_t base, unsigned entries);
/* Promote LDT page `index` (0..15) of v, if within its limit, legal, and not just changing its role; MFN_NONE
 * otherwise. Short: never waits for another vCPU. */
mfn_t mm_ldt_page(struct mm_vcpu *v, unsigned index);
/* Drop the promoted pages: the vCPU leaves the CPU. */
void mm_ldt_drop(struct mm_vcpu *v);
/* HYPERVISOR_update_descriptor: one descriptor at machine address. 0, -EINVAL. */
int mm_update_descriptor(struct mm_domain *d, uint64_t maddr, uint64_t desc);
/* Is this descriptor harmless; forces the privilege level to the guest's. Pure. */
bool mm_descriptor_check(uint64_t *desc);

/* ---- shared areas ---- */
/* Hold one of d's ordinary writable frames for the hypervisor's own writing (vcpu_info, ...); the
 * inverse. Takes a reference and ROLE_WRITABLE. */
int mm_hold_writable(struct mm_domain *d, mfn_t m);
void mm_release_writable(struct mm_domain *d, mfn_t m);

/* ---- audit (audit.c) ---- */
struct mm_audit_result {
    uint64_t frames, disagreements, first_bad_mfn;
};
/* Recompute everything and compare. All other vCPUs must be held at the guest boundary. `next_domain`
 * iterates all domains (NULL first, NULL at the end), `next_vcpu` a domain's vCPUs. */
void mm_audit(struct mm_domain *(*next_domain)(struct mm_domain *),
              struct mm_vcpu *(*next_vcpu)(struct mm_domain *, struct mm_vcpu *),
              struct mm_audit_result *out);
/* Other holders register what they hold, so that the audit can count it (called back by mm_audit). */
void mm_audit_count(mfn_t m, bool writable_role);
extern void (*mm_audit_extra)(void);

#endif
