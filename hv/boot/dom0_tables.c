/* SPDX-License-Identifier: MIT */
/*
 * The initial mapping: frames 0 to region_pages - 1 from virt_base on, all writable but the tables
 * themselves; and, when the kernel asked for it, the p2m list at an address of its own, by tables
 * that are mapped nowhere. Order of the tables in the initial mapping: the top first, as Linux
 * expects them.
 */
#include "dom0_tables.h"

#include "base/string.h"

#define FLAGS_TABLE     (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)
#define FLAGS_PAGE      (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)
#define FLAGS_READ_ONLY (PTE_P | PTE_US | PTE_A | PTE_D)

static void set(const struct dom0_memory *m, uint64_t table, unsigned index, uint64_t target,
                uint64_t flags)
{
    pte_t *entries = dom0_memory_page(m, table);

    entries[index] = pte_make(dom0_memory_frame(m, target), flags);
}

static void clear(const struct dom0_memory *m, uint64_t first, uint64_t count)
{
    dom0_memory_zero(m, first << PAGE_SHIFT, count << PAGE_SHIFT);
}

static void map_region(const struct dom0_memory *m, const struct dom0_layout *l, uint64_t base)
{
    uint64_t l4 = l->tables, l3 = l4 + 1, l2 = l3 + 1, l1 = l2 + 1;
    uint64_t tables_end = l1 + l->l1_tables;

    clear(m, l4, tables_end - l4);
    set(m, l4, pt_index(base, 4), l3, FLAGS_TABLE);
    set(m, l3, pt_index(base, 3), l2, FLAGS_TABLE);
    for (uint64_t i = 0; i < l->l1_tables; i++)
        set(m, l2, pt_index(base, 2) + i, l1 + i, FLAGS_TABLE);
    for (uint64_t pfn = 0; pfn < l->region_pages; pfn++) {
        bool is_table = pfn >= l4 && pfn < tables_end;

        set(m, l1 + pfn / PTE_ENTRIES, pfn % PTE_ENTRIES, pfn,
            is_table ? FLAGS_READ_ONLY : FLAGS_PAGE);
    }
}

/* p2m_va is the start of what one top-level entry maps. */
static void map_p2m(const struct dom0_memory *m, const struct dom0_layout *l)
{
    uint64_t l3 = l->p2m_tables, l2 = l3 + 1, l1 = l2 + l->p2m_l2;

    clear(m, l3, dom0_layout_p2m_table_pages(l));
    set(m, l->tables, pt_index(l->p2m_va, 4), l3, FLAGS_TABLE);
    for (uint64_t i = 0; i < l->p2m_l2; i++)
        set(m, l3, i, l2 + i, FLAGS_TABLE);
    for (uint64_t i = 0; i < l->p2m_l1; i++)
        set(m, l2 + i / PTE_ENTRIES, i % PTE_ENTRIES, l1 + i, FLAGS_TABLE);
    for (uint64_t i = 0; i < l->p2m_pages; i++)
        set(m, l1 + i / PTE_ENTRIES, i % PTE_ENTRIES, l->p2m + i, FLAGS_PAGE);
}

mfn_t dom0_tables_make(const struct dom0_memory *m, const struct dom0_layout *l, uint64_t virt_base)
{
    map_region(m, l, virt_base);
    if (l->p2m_tables)
        map_p2m(m, l);
    return dom0_memory_frame(m, l->tables);
}
