/* SPDX-License-Identifier: MIT */
/*
 * Where things lie in domain 0's pseudo-physical memory at its start, as <xen/xen.h> ("Start-of-day
 * memory layout") and the kernel's notes want it. Pure arithmetic, in frame numbers of the domain
 * (pfn).
 *
 *   0             the initial mapping: pfn n is mapped at virt_base + n pages
 *     ...         the kernel's segments, where they say
 *     initrd      if the kernel wants it mapped
 *     p2m         if it does not say where it wants it
 *     start info  one page, with the console information behind it in domain 0's
 *     service     of other domains: the store's page, the console's page
 *     tables      level 4, level 3, level 2, then the level 1 tables: mapped read-only
 *     stack       one page
 *                 at least 512 KiB, up to a multiple of 4 MiB
 *   region_pages  the end of the initial mapping
 *     p2m, p2m_tables   mapped at init_p2m only
 *     initrd      not mapped
 *   placed_pages  plain memory from here to nr_pages
 */
#ifndef HV_BOOT_DOM0_LAYOUT_H
#define HV_BOOT_DOM0_LAYOUT_H

#include "elf_image.h"

struct dom0_layout {
    uint64_t nr_pages; /* the domain's memory */

    uint64_t initrd, initrd_pages;
    uint64_t p2m, p2m_pages;
    uint64_t p2m_tables, p2m_l2,
        p2m_l1; /* first; one level 3 table, then so many of either; all 0: none */
    uint64_t start_info;
    uint64_t service;           /* the first of the service pages */
    uint64_t tables, l1_tables; /* first; 3 tables, then so many of level 1 */
    uint64_t stack;
    uint64_t region_pages;
    uint64_t placed_pages;

    uint64_t p2m_va;
};

/* Lay it out, with so many service pages (none in domain 0). False when nr_pages are not enough, or
 * the mapping passes 1 GiB; placed_pages tells what would be needed. nr_pages and initrd_size
 * (bytes) below 2^40 and 2^40. */
bool dom0_layout_make(struct dom0_layout *l, const struct elf_image *image, uint64_t nr_pages,
                      uint64_t initrd_size, unsigned service_pages);

/* Frames of all page tables that map the p2m list at init_p2m; 0 when it is in the initial mapping.
 */
static inline uint64_t dom0_layout_p2m_table_pages(const struct dom0_layout *l)
{
    return l->p2m_tables ? 1 + l->p2m_l2 + l->p2m_l1 : 0;
}

#endif
