/* SPDX-License-Identifier: MIT */
/* Page-table entries of x86-64. */
#ifndef MM_PTE_H
#define MM_PTE_H

#include "base/bits.h"
#include "base/types.h"

typedef uint64_t pte_t; /* an entry of any level */

#define PTE_P       BIT(0)
#define PTE_RW      BIT(1)
#define PTE_US      BIT(2)
#define PTE_PWT     BIT(3)
#define PTE_PCD     BIT(4)
#define PTE_A       BIT(5)
#define PTE_D       BIT(6)
#define PTE_PSE     BIT(7) /* levels 2, 3; at level 1 the same bit is PAT */
#define PTE_PAT     BIT(7)
#define PTE_G       BIT(8)
#define PTE_AVAIL   (BIT(9) | BIT(10) | BIT(11) | (0x7ffull << 52))
#define PTE_NX      BIT(63)
#define PTE_ADDR    0x000ffffffffff000ull
#define PTE_ENTRIES 512
#define PTE_CACHE   (PTE_PWT | PTE_PCD | PTE_PAT)

#define PT_SHIFT(level) (12 + 9 * ((level)-1))
static inline unsigned pt_index(uint64_t va, unsigned level)
{
    return (va >> PT_SHIFT(level)) & 511;
}
static inline mfn_t pte_mfn(pte_t e)
{
    return mfn((e & PTE_ADDR) >> PAGE_SHIFT);
}
static inline pte_t pte_make(mfn_t m, uint64_t flags)
{
    return (m.n << PAGE_SHIFT) | flags;
}

/* Slots of a top-level table that belong to the hypervisor (xen/arch-x86/xen-x86_64.h). */
#define HV_SLOT_FIRST 256
#define HV_SLOT_LAST  271

#endif
