/* SPDX-License-Identifier: MIT */
/*
 * Frames and page tables.
 *
 * Words: pfn, the guest's own numbering of its frames, 0 .. nr_pages-1; mfn, a
 * machine frame; maddr, a machine address; entry, a page-table entry.
 *
 * The builder maps pfn 0 .. n-1 from START_VIRT_BASE on; mm_init maps every
 * later frame at MM_DIRECT + pfn * 4096 (up to MM_DIRECT_MAX frames). So each
 * frame of ours has one home address, mm_va(pfn), writable until it is made a
 * table.
 */
#ifndef BARE_MM_H
#define BARE_MM_H

#include <bare/hypercall.h>
#include <stdbool.h>

#define MM_PAGE       4096ul
#define MM_DIRECT     0xffff880000000000ul
#define MM_DIRECT_MAX 65536ul
#define MM_NONE       (~0ul)

/* Page-table entry bits as the processor defines them. */
#define PTE_P    (1ul << 0)
#define PTE_W    (1ul << 1)
#define PTE_U    (1ul << 2)
#define PTE_PWT  (1ul << 3)
#define PTE_PCD  (1ul << 4)
#define PTE_A    (1ul << 5)
#define PTE_D    (1ul << 6)
#define PTE_PSE  (1ul << 7) /* PAT in a level 1 entry */
#define PTE_G    (1ul << 8)
#define PTE_SOFT (1ul << 9)
#define PTE_NX   (1ul << 63)
#define PTE_ADDR 0x000ffffffffff000ul
#define PTE_RO   (PTE_P | PTE_U | PTE_A)
#define PTE_RW   (PTE_RO | PTE_W | PTE_D)

void mm_init(void);

uint64_t mm_mfn(uint64_t pfn);                   /* pfn -> mfn (the p2m list) */
uint64_t mm_pfn(uint64_t mfn);                   /* mfn -> pfn (the m2p table) */
void *mm_va(uint64_t pfn);                       /* home address of a frame */
uint64_t mm_pfn_of(const void *va);              /* pfn of a home address */
void mm_set_p2m(uint64_t pfn, uint64_t mfn);     /* after an exchange */
static inline uint64_t mm_maddr(const void *va); /* of a home address */

/* Frames of the pool: zeroed, mapped writable at home. Panics when out. */
uint64_t mm_alloc(void);
uint64_t mm_alloc_run(unsigned int count); /* consecutive pfns */
void *mm_alloc_page(void);
uint64_t mm_alloc_raw(void); /* one never handed out, with what the hypervisor gave us in it */
void mm_free(uint64_t pfn);
uint64_t mm_free_frames(void);

/* Change the home mapping's bits: PTE_RW, PTE_RO or 0. Returns the hypercall's result. */
long mm_home(uint64_t pfn, uint64_t bits);

/* A zeroed frame mapped read-only at home, fit to be a table; and back. */
uint64_t mm_table(void);
void mm_table_free(uint64_t pfn);

/*
 * The table entry of `level` (1..4) on the path of va below root: its machine
 * address, or 0 if a table on the way is absent. *value gets its content.
 */
uint64_t mm_walk(uint64_t root_pfn, uint64_t va, int level, uint64_t *value);
uint64_t mm_root(void); /* pfn of the kernel root the builder made */

/* mmu_update of one entry: 0 or -errno. */
long mm_set(uint64_t entry_maddr, uint64_t value);
/* Entry at va below root, making tables on the way: 0 or -errno. */
long mm_map(uint64_t root_pfn, uint64_t va, uint64_t entry);
/* Machine address of entry `index` of the table in frame pfn. */
static inline uint64_t mm_slot(uint64_t pfn, unsigned int index);

/* A root of our own: the kernel's upper half copied, nothing else; not pinned. */
uint64_t mm_new_root(void);

static inline unsigned int mm_index(uint64_t va, int level)
{
    return (unsigned int)(va >> (12 + 9 * (level - 1))) & 511;
}

static inline uint64_t mm_maddr(const void *va)
{
    return mm_mfn(mm_pfn_of(va)) * MM_PAGE + (HC_ADDR(va) & (MM_PAGE - 1));
}

static inline uint64_t mm_slot(uint64_t pfn, unsigned int index)
{
    return mm_mfn(pfn) * MM_PAGE + 8ul * index;
}

/* An entry naming our frame pfn. */
static inline uint64_t mm_entry(uint64_t pfn, uint64_t bits)
{
    return mm_mfn(pfn) * MM_PAGE | bits;
}

#endif
