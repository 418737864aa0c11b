/* SPDX-License-Identifier: MIT */
/* What the files of mm/ share among themselves only. */
#ifndef MM_INTERNAL_H
#define MM_INTERNAL_H

#ifndef __XEN_INTERFACE_VERSION__
#define __XEN_INTERFACE_VERSION__ 0x00040e00
#endif
#include "base/types.h"

#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/memory.h>

#include "base/log.h"
#include "base/string.h"
#include "mm/mm.h"

/* Longest stretch of entries or frames without a preemption point. */
#define MM_STRIDE 64

/* ---- domains named by a hypercall (domain.c) ---- */
extern struct mm_domain mm_domain_io;  /* DOMID_IO: owns nothing; only I/O memory can be meant */
extern struct mm_domain mm_domain_xen; /* DOMID_XEN: pages the hypervisor shares with domain 0 */

extern struct mm_domain
    mm_domain_region; /* owns the frames of regions; not to be found by its number */

/* The domain that `domid` means when d says it, as owner of frames d wants to map or manage:
 * itself, one that it may manage, or one of the two above. *error when NULL. Undo with
 * domain_release. */
struct mm_domain *domain_resolve(struct mm_domain *d, unsigned domid, int *error);
void domain_release(struct mm_domain *d, struct mm_domain *resolved);
/* The ring of a domain's frames; its lock is held. */
void domain_link_locked(struct mm_domain *d, struct frame *f);
void domain_unlink_locked(struct mm_domain *d, struct frame *f);

/* ---- one entry (pte.c) ---- */
/* Refuses illegal bits (-XEN_EINVAL); forces those that are not the guest's to choose. */
static inline int entry_check(pte_t *e, unsigned level)
{
    pte_t v = *e;

    if (unlikely((v & PTE_ADDR) >> env_phys_bits) || unlikely((v & PTE_NX) && !env_has_nx))
        return -XEN_EINVAL;
    if (level > 1) {
        if (unlikely(v & (PTE_PSE | PTE_G)))
            return -XEN_EINVAL;
    } else {
        v &= ~PTE_G;
        /* RAM has one memory type, write-back: what is validated is what the walker reads. */
        if (unlikely(v & PTE_CACHE) && frame_is_ram(pte_mfn(v)))
            v &= ~PTE_CACHE;
    }
    *e = v | PTE_US;
    return 0;
}
/* Take what present entry *e of a level-n table of d holds; frames of a level-1 entry must be pg's.
 * May clear PTE_RW of an I/O mapping. May wait. */
int entry_get(struct mm_domain *d, struct mm_domain *pg, unsigned level, pte_t *e);
/* Drop what a present entry holds. May be preempted. */
void entry_put(unsigned level, pte_t e);

/* Called with the role held, before the entry is stored: whoever changes the frame's role later sees it. */
static inline void note_foreign(struct frame *f)
{
    if (!(load_relaxed(&f->flags) & FRAME_FOREIGN))
        store_relaxed(&f->flags, (uint8_t)(f->flags | FRAME_FOREIGN));
}

/* ---- whole tables (validate.c); called on a busy frame only ---- */
int table_validate(struct mm_domain *d, struct frame *f, unsigned level);
void table_release(struct frame *f, unsigned level, unsigned entries);
/* desc.c */
int desc_validate(struct frame *f);

/* ---- updates (mmu_update.c) ---- */
#define TABLE_NOT_ONE 2 /* table_update: the frame is no validated table */
struct table_store {
    pte_t value;
    bool preserve_ad; /* keep accessed and dirty bits that hardware set */
    bool compare;     /* store only if the entry is `expected`; else that gets what was found */
    pte_t expected;
};
/* Checked store to entry `index` of table f. pt: owner of the table, pg: owner of frames mapped. 0;
 * 1: the comparison failed; TABLE_NOT_ONE; or an error and nothing changed. May wait. */
int table_update(struct mm_domain *pt, struct mm_domain *pg, struct frame *f, unsigned index,
                 struct table_store *s);
/* The level-1 table and entry index that map va under root. NULL: none, or not the guest's to edit.
 */
struct frame *walk_table(mfn_t root, uint64_t va, unsigned *index);

/* Linear addresses that a guest may use: canonical and outside the hypervisor's. */
static inline bool guest_address(uint64_t va)
{
    return va < 0x0000800000000000ull || va >= HYPERVISOR_VIRT_END;
}
/* Fill *set from the guest's bitmap. */
int read_vcpu_set(const struct mm_vcpu *v, uint64_t guest_va, struct vcpu_set *set);

/* ---- grants, for the audit (grant_audit.c); both return what is wrong in themselves ---- */
/* Count what d's mappings of others hold. */
uint64_t grant_audit_walk(struct mm_domain *d, bool restoring);
/* After all have been counted: what is left in use of d's table; what is wrong with regions. */
uint64_t grant_audit_rest(struct mm_domain *d);
uint64_t region_audit_rest(void);

/* ---- memory_op commands ---- */
long reserve_op(struct mm_vcpu *v, unsigned cmd, uint64_t arg_va); /* reserve.c */
long exchange_op(struct mm_vcpu *v, uint64_t arg_va);              /* exchange.c */
long m2p_mfn_list(struct mm_vcpu *v, uint64_t arg_va);             /* m2p.c */
long m2p_mapping(uint64_t arg_va);
int m2p_update(struct mm_domain *pg, uint64_t maddr, uint64_t value);
/* Largest order of an extent that d may name. */
static inline unsigned domain_max_order(const struct mm_domain *d)
{
    return d->privileged ? 18 : 9;
}

#endif
