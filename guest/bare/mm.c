/* SPDX-License-Identifier: MIT */
#include <bare/console.h>
#include <bare/mm.h>
#include <bare/start.h>
#include <bare/string.h>

/* Free frames form a list through their own first word (the next pfn). */
static uint64_t free_head = MM_NONE, free_count;
static uint64_t boot_end;   /* first pfn the builder did not map */
static uint64_t next_fresh; /* first pfn never handed out */

uint64_t mm_mfn(uint64_t pfn)
{
    return ((uint64_t *)start_info->mfn_list)[pfn];
}

void mm_set_p2m(uint64_t pfn, uint64_t mfn)
{
    ((uint64_t *)start_info->mfn_list)[pfn] = mfn;
}

uint64_t mm_pfn(uint64_t mfn)
{
    return ((const uint64_t *)MACH2PHYS_VIRT_START)[mfn];
}

void *mm_va(uint64_t pfn)
{
    return (void *)((pfn < boot_end ? START_VIRT_BASE : MM_DIRECT) + pfn * MM_PAGE);
}

uint64_t mm_pfn_of(const void *va)
{
    uint64_t a = HC_ADDR(va);

    return (a - (a >= START_VIRT_BASE ? START_VIRT_BASE : MM_DIRECT)) / MM_PAGE;
}

uint64_t mm_root(void)
{
    return mm_pfn_of((void *)start_info->pt_base);
}

uint64_t mm_walk(uint64_t root_pfn, uint64_t va, int level, uint64_t *value)
{
    uint64_t pfn = root_pfn;

    for (int l = 4;; l--) {
        unsigned int i = mm_index(va, l);
        uint64_t entry = ((uint64_t *)mm_va(pfn))[i];

        if (l == level) {
            if (value)
                *value = entry;
            return mm_slot(pfn, i);
        }
        if (!(entry & PTE_P))
            return 0;
        pfn = mm_pfn((entry & PTE_ADDR) / MM_PAGE);
    }
}

long mm_set(uint64_t entry_maddr, uint64_t value)
{
    struct mmu_update req = {entry_maddr | MMU_NORMAL_PT_UPDATE, value};

    return hc_mmu_update(&req, 1, NULL, DOMID_SELF);
}

long mm_home(uint64_t pfn, uint64_t bits)
{
    uint64_t entry = bits ? mm_entry(pfn, bits) : 0;

    return hc_update_va(HC_ADDR(mm_va(pfn)), entry, UVMF_INVLPG | UVMF_ALL);
}

/* Pages the pool must leave alone: the p2m list's, the module's. */
static bool reserved(uint64_t pfn)
{
    struct start_info *si = start_info;
    uint64_t mod = si->mod_start, mod_pages = (si->mod_len + MM_PAGE - 1) / MM_PAGE;

    if (pfn >= si->first_p2m_pfn && pfn < si->first_p2m_pfn + si->nr_p2m_frames)
        return true;
    return (si->flags & SIF_MOD_START_PFN) && pfn >= mod && pfn < mod + mod_pages;
}

static uint64_t limit(void)
{
    return start_info->nr_pages < MM_DIRECT_MAX ? start_info->nr_pages : MM_DIRECT_MAX;
}

static uint64_t fresh(unsigned int count)
{
    uint64_t run = next_fresh, n = 0;

    /* A run lies on one side of the border between the two mappings. */
    for (uint64_t pfn = next_fresh; pfn < limit(); pfn++) {
        if (reserved(pfn) || pfn == boot_end)
            n = 0;
        if (reserved(pfn))
            continue;
        if (n++ == 0)
            run = pfn;
        if (n == count) {
            next_fresh = pfn + 1;
            return run;
        }
    }
    console_panic("out of frames");
}

uint64_t mm_alloc_run(unsigned int count)
{
    uint64_t run = fresh(count);

    memset(mm_va(run), 0, count * MM_PAGE);
    return run;
}

uint64_t mm_alloc_raw(void)
{
    return fresh(1);
}

uint64_t mm_alloc(void)
{
    uint64_t pfn = free_head;

    if (pfn == MM_NONE)
        return mm_alloc_run(1);
    free_head = *(uint64_t *)mm_va(pfn);
    free_count--;
    memset(mm_va(pfn), 0, MM_PAGE);
    return pfn;
}

void *mm_alloc_page(void)
{
    return mm_va(mm_alloc());
}

void mm_free(uint64_t pfn)
{
    *(uint64_t *)mm_va(pfn) = free_head;
    free_head = pfn;
    free_count++;
}

uint64_t mm_free_frames(void)
{
    return free_count + (limit() - next_fresh);
}

uint64_t mm_table(void)
{
    uint64_t pfn = mm_alloc();
    long ret = mm_home(pfn, PTE_RO);

    if (ret)
        console_panic("table frame %lx: home mapping: %ld", pfn, ret);
    return pfn;
}

void mm_table_free(uint64_t pfn)
{
    long ret = mm_home(pfn, PTE_RW);

    if (ret)
        console_panic("table frame %lx still in use: %ld", pfn, ret);
    mm_free(pfn);
}

long mm_map(uint64_t root_pfn, uint64_t va, uint64_t entry)
{
    for (int l = 4; l > 1; l--) {
        uint64_t value, at = mm_walk(root_pfn, va, l, &value);
        long ret;

        if (value & PTE_P)
            continue;
        ret = mm_set(at, mm_entry(mm_table(), PTE_RW));
        if (ret)
            return ret;
    }
    return mm_set(mm_walk(root_pfn, va, 1, NULL), entry);
}

uint64_t mm_new_root(void)
{
    uint64_t pfn = mm_alloc();
    uint64_t *from = mm_va(mm_root()), *to = mm_va(pfn);

    memcpy(to, from, MM_PAGE);
    memset(to + 256, 0, 16 * 8);
    if (mm_home(pfn, PTE_RO))
        console_panic("new root");
    return pfn;
}

static bool builder_mapped(uint64_t pfn)
{
    uint64_t value, va = START_VIRT_BASE + pfn * MM_PAGE;

    return mm_walk(mm_root(), va, 1, &value) && (value & PTE_P);
}

/* Map pfns first..last at their home in MM_DIRECT, one level 1 table at a time. */
static void direct_map(uint64_t first, uint64_t last)
{
    while (first < last) {
        uint64_t table = mm_alloc(), *t = mm_va(table);
        uint64_t va = MM_DIRECT + first * MM_PAGE, value;

        for (unsigned int i = mm_index(va, 1); i < 512 && first < last; i++, first++)
            if (!reserved(first))
                t[i] = mm_entry(first, PTE_RW);
        if (mm_home(table, PTE_RO))
            console_panic("direct map: table");
        for (int l = 4; l > 2; l--) {
            uint64_t at = mm_walk(mm_root(), va, l, &value);

            if (!(value & PTE_P) && mm_set(at, mm_entry(mm_table(), PTE_RW)))
                console_panic("direct map: level %d", l);
        }
        if (mm_set(mm_walk(mm_root(), va, 2, NULL), mm_entry(table, PTE_RW)))
            console_panic("direct map: level 2");
    }
}

void mm_init(void)
{
    struct start_info *si = start_info;
    uint64_t pfn = mm_pfn_of((void *)si->pt_base);

    /* All walks until the border is known stay in the builder's own tables. */
    boot_end = MM_NONE;
    for (pfn += si->nr_pt_frames; pfn < si->nr_pages && builder_mapped(pfn); pfn++)
        ;
    boot_end = pfn;
    /* Behind the tables comes the boot stack's one page, which we have left. */
    next_fresh = mm_pfn_of((void *)si->pt_base) + si->nr_pt_frames + 1;
    direct_map(boot_end, limit());
}
