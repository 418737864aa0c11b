/* SPDX-License-Identifier: MIT */
#include "dom0_layout.h"

#include "base/string.h"

#define TABLE_ENTRIES 512
#define UPPER_TABLES  3 /* one of each level above 1 */
#define PADDING_PAGES (KiB(512) >> PAGE_SHIFT)
#define REGION_ALIGN  (MiB(4) >> PAGE_SHIFT)
#define REGION_MOST   (GiB(1) >> PAGE_SHIFT) /* what the one level 2 table maps */

static uint64_t take(uint64_t *at, uint64_t pages)
{
    uint64_t start = *at;

    *at += pages;
    return start;
}

/* Tables, stack and padding map themselves: try with as many tables as the last try asked for. */
static void finish_region(struct dom0_layout *l, uint64_t start, unsigned service_pages)
{
    l->l1_tables = 0;
    for (;;) {
        uint64_t at = start;

        l->start_info = take(&at, 1);
        l->service = take(&at, service_pages);
        l->tables = take(&at, UPPER_TABLES + l->l1_tables);
        l->stack = take(&at, 1);
        l->region_pages = ROUND_UP(at + PADDING_PAGES, REGION_ALIGN);
        if (l->region_pages / TABLE_ENTRIES <= l->l1_tables)
            return;
        l->l1_tables = l->region_pages / TABLE_ENTRIES;
    }
}

static void place_p2m_apart(struct dom0_layout *l, uint64_t *at, uint64_t va)
{
    l->p2m_va = va;
    l->p2m = take(at, l->p2m_pages);
    l->p2m_l1 = DIV_ROUND_UP(l->p2m_pages, TABLE_ENTRIES);
    l->p2m_l2 = DIV_ROUND_UP(l->p2m_l1, TABLE_ENTRIES);
    l->p2m_tables = take(at, 1 + l->p2m_l2 + l->p2m_l1);
}

bool dom0_layout_make(struct dom0_layout *l, const struct elf_image *image, uint64_t nr_pages,
                      uint64_t initrd_size, unsigned service_pages)
{
    uint64_t at = DIV_ROUND_UP(image->paddr_end, PAGE_SIZE);

    memset(l, 0, sizeof(*l));
    l->nr_pages = nr_pages;
    l->initrd_pages = DIV_ROUND_UP(initrd_size, PAGE_SIZE);
    l->p2m_pages = DIV_ROUND_UP(nr_pages * sizeof(uint64_t), PAGE_SIZE);
    if (!image->mod_start_pfn)
        l->initrd = take(&at, l->initrd_pages);
    if (!image->has_init_p2m) {
        l->p2m = take(&at, l->p2m_pages);
        l->p2m_va = image->virt_base + (l->p2m << PAGE_SHIFT);
    }
    finish_region(l, at, service_pages);
    at = l->region_pages;
    if (image->has_init_p2m)
        place_p2m_apart(l, &at, image->init_p2m);
    if (image->mod_start_pfn)
        l->initrd = take(&at, l->initrd_pages);
    l->placed_pages = at;
    return l->region_pages <= REGION_MOST && l->placed_pages <= nr_pages;
}
