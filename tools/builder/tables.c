/* SPDX-License-Identifier: MIT */
/*
 * The initial mapping: frames 0 to region_pages - 1 at virt_base, writable but for the tables; and
 * the p2m list at its own address by tables that the domain does not see, when its kernel wants
 * that. Same order as domain 0's (hv/boot/dom0_tables.c): the top first, as Linux expects it.
 */
#include "builder/tables.h"

#include <string.h>

#define ENTRIES    512ul
#define PTE_P      0x001ul
#define PTE_RW     0x002ul
#define PTE_US     0x004ul
#define PTE_A      0x020ul
#define PTE_D      0x040ul
#define READ_ONLY  (PTE_P | PTE_US | PTE_A | PTE_D)
#define READ_WRITE (READ_ONLY | PTE_RW)

/* A window onto consecutive tables of the domain. */
struct tables {
    const struct guest_memory *m;
    uint64_t first; /* pfn */
    uint64_t *at;
};

static unsigned slot(uint64_t va, unsigned level)
{
    return (unsigned)(va >> (12 + 9 * (level - 1))) % ENTRIES;
}

/* Entry `index` of the table at frame `table`, counted on into the tables after it. */
static void set(const struct tables *t, uint64_t table, uint64_t index, uint64_t pfn,
                uint64_t flags)
{
    t->at[(table - t->first) * ENTRIES + index] = t->m->mfn[pfn] << PAL_PAGE_SHIFT | flags;
}

static void map_region(const struct tables *t, const struct dom0_layout *l, uint64_t base)
{
    uint64_t l4 = l->tables, l3 = l4 + 1, l2 = l3 + 1, l1 = l2 + 1;

    set(t, l4, slot(base, 4), l3, READ_WRITE);
    set(t, l3, slot(base, 3), l2, READ_WRITE);
    for (uint64_t i = 0; i < l->l1_tables; i++)
        set(t, l2, slot(base, 2) + i, l1 + i, READ_WRITE);
    for (uint64_t pfn = 0; pfn < l->region_pages; pfn++) {
        bool is_table = pfn >= l4 && pfn < l1 + l->l1_tables;

        set(t, l1, pfn, pfn, is_table ? READ_ONLY : READ_WRITE);
    }
}

static void map_p2m(const struct tables *t, const struct dom0_layout *l)
{
    uint64_t l3 = l->p2m_tables, l2 = l3 + 1, l1 = l2 + l->p2m_l2;

    for (uint64_t i = 0; i < l->p2m_l2; i++)
        set(t, l3, i, l2 + i, READ_WRITE);
    for (uint64_t i = 0; i < l->p2m_l1; i++)
        set(t, l2, i, l1 + i, READ_WRITE);
    for (uint64_t i = 0; i < l->p2m_pages; i++)
        set(t, l1, i, l->p2m + i, READ_WRITE);
}

static int p2m_tables_make(struct guest_memory *m, const struct dom0_layout *l, struct pal_error *e)
{
    struct tables t = {m, l->p2m_tables, NULL};
    uint64_t count = dom0_layout_p2m_table_pages(l);

    t.at = guest_memory_map(m, t.first, count, e);
    if (!t.at)
        return -1;
    memset(t.at, 0, count * PAL_PAGE_SIZE);
    map_p2m(&t, l);
    guest_memory_unmap(m, t.at, count);
    return 0;
}

int guest_tables_make(struct guest_memory *m, const struct dom0_layout *l, uint64_t virt_base,
                      struct pal_error *e)
{
    struct tables t = {m, l->tables, NULL};
    uint64_t count = l->stack - l->tables;

    t.at = guest_memory_map(m, t.first, count, e);
    if (!t.at)
        return -1;
    memset(t.at, 0, count * PAL_PAGE_SIZE);
    map_region(&t, l, virt_base);
    if (l->p2m_tables)
        set(&t, l->tables, slot(l->p2m_va, 4), l->p2m_tables, READ_WRITE);
    guest_memory_unmap(m, t.at, count);
    return l->p2m_tables ? p2m_tables_make(m, l, e) : 0;
}
