/* SPDX-License-Identifier: MIT */
/* The hypervisor's own page tables (slots 256..271) and the machine's memory at boot. */
#ifndef X86_PAGING_H
#define X86_PAGING_H

#include "base/types.h"
#include "mm/pte.h"
#include "x86/memory_map.h"

/* Ready-made flags of level-1 entries; everything of the hypervisor is global but the windows. */
#define MAP_RW (PTE_P | PTE_RW | PTE_A | PTE_D | PTE_G | PTE_NX)
#define MAP_RO (PTE_P | PTE_A | PTE_D | PTE_G | PTE_NX)
#define MAP_RX (PTE_P | PTE_A | PTE_G)
#define MAP_UC (MAP_RW | PTE_PCD) /* PAT entry 2: uncached (UC-) */

/* The hypervisor's root, for idle vCPUs and booting: slots 256..271 filled, all others empty. */
extern pte_t hv_root[PTE_ENTRIES];
uint64_t hv_root_maddr(void);

/*
 * Map one 4 KiB page in the hypervisor's slots, or clear its entry (flags 0). Tables are made on
 * the way. The caller flushes where an entry was present before. Returns 0 or -ENOMEM. No lock:
 * boot, or addresses that only the caller uses (stack slots, windows).
 */
int paging_map_page(uint64_t va, uint64_t pa, uint64_t flags);
/* The level-1 entry of an address whose tables exist; NULL when they do not. */
pte_t *paging_entry(uint64_t va);

/* Boot, in this order (hv/boot/main.c). */
void paging_init(void);        /* image and direct map; loads hv_root */
void paging_init_frames(void); /* frame table and M2P */
void paging_free_init(void);   /* give the image's boot-only part to the allocator */

/* Map memory that is not RAM to the hypervisor's eyes (firmware tables), cached and read-only. */
const void *map_firmware(uint64_t address, size_t size);

/* Where the image lies in the machine, and the address of something in it. */
#define IMAGE_PHYS 0x200000ull
static inline uint64_t image_maddr(const void *p)
{
    return (uintptr_t)p - IMAGE_BASE + IMAGE_PHYS;
}

/* A frame of zeroes, for what must be mapped and say nothing (unused GDT pages). */
extern mfn_t zero_page_mfn;

/* Highest frame number of RAM + 1, for the size of the M2P as guests see it. */
extern uint64_t ram_top_frame;

#endif
