/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's own half of every address space (memory_map.h). Its level-3 tables are made
 * once, at boot; every root points to the same ones, so what is mapped later is seen everywhere at
 * once.
 */
#include "x86/paging.h"
#include "base/boot_info.h"
#include "base/check.h"
#include "base/log.h"
#include "base/string.h"
#include "dev/dev.h"
#include "dev/pci.h"
#include "mm/mm.h"
#include "x86/cpu.h"
#include "x86/insn.h"
#include "x86/ram.h"
#include <xen/errno.h>

/* Borders of the image (hv/boot/image.lds). */
extern const char image_start[], text_end[], init_start[], init_text_end[], init_end[],
    rodata_end[], image_end[];

pte_t hv_root[PTE_ENTRIES] __aligned(4096);
uint64_t ram_top_frame;
uintptr_t env_direct_base = DIRECT_BASE;

#define TABLE_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A)
#define LARGE       MiB(2)
#define HUGE        GiB(1)

static bool allocator_ready; /* mm/palloc has memory; before, ram.c */
static bool have_huge;

uint64_t hv_root_maddr(void)
{
    return image_maddr(hv_root);
}

/* The direct map is there from the first instruction on for what lies below 4 GiB; tables made
 * before hv_root is loaded are taken from there. */
static void *direct(uint64_t pa)
{
    return (void *)(DIRECT_BASE + pa);
}

static uint64_t usable(uint64_t flags)
{
    return cpu_features.nx ? flags : flags & ~PTE_NX;
}

static pte_t *new_table(uint64_t *pa)
{
    if (allocator_ready) {
        mfn_t m = palloc_hv(0, 0);
        if (mfn_eq(m, MFN_NONE))
            return NULL;
        *pa = mfn_to_maddr(m).a;
        return direct(*pa);
    }
    *pa = ram_take(PAGE_SIZE, PAGE_SIZE, GiB(4));
    return memset(direct(*pa), 0, PAGE_SIZE);
}

/* The entry for va at `level`; tables are made on the way when `make`. NULL: not there, or no
 * memory. */
static pte_t *entry_at(uint64_t va, unsigned level, bool make)
{
    pte_t *table = hv_root;
    for (unsigned l = 4; l > level; l--) {
        pte_t *e = &table[pt_index(va, l)];
        CHECK(!(*e & PTE_PSE) || !(*e & PTE_P));
        if (!(*e & PTE_P)) {
            uint64_t pa;
            if (!make || !new_table(&pa))
                return NULL;
            *e = pa | TABLE_FLAGS;
        }
        table = direct(*e & PTE_ADDR);
    }
    return &table[pt_index(va, level)];
}

int paging_map_page(uint64_t va, uint64_t pa, uint64_t flags)
{
    CHECK(va >= HV_START && va < HV_END);
    pte_t *e = entry_at(va, 1, flags != 0);
    if (!e)
        return flags ? -XEN_ENOMEM : 0;
    *e = flags ? pa | usable(flags) : 0;
    return 0;
}

pte_t *paging_entry(uint64_t va)
{
    return entry_at(va, 1, false);
}

/* Boot only: map a range with the largest pages that fit. */
static void map_range(uint64_t va, uint64_t pa, uint64_t size, uint64_t flags)
{
    for (uint64_t step; size > 0; va += step, pa += step, size -= step) {
        unsigned level = 1;
        step = PAGE_SIZE;
        if ((va | pa) % LARGE == 0 && size >= LARGE) {
            level = 2;
            step = LARGE;
        }
        if (have_huge && (va | pa) % HUGE == 0 && size >= HUGE) {
            level = 3;
            step = HUGE;
        }
        pte_t *e = entry_at(va, level, true);
        CHECK(e);
        *e = pa | usable(flags) | (level > 1 ? PTE_PSE : 0);
    }
}

static void map_image_part(const char *from, const char *to, uint64_t flags)
{
    map_range((uintptr_t)from, image_maddr(from), (uint64_t)(to - from), flags);
}

/* The direct map of [start, end), leaving the image's read-only parts read-only. */
static void map_direct(uint64_t start, uint64_t end)
{
    struct {
        uint64_t start, end;
    } const read_only[] = {{image_maddr(image_start), image_maddr(text_end)},
                           {image_maddr(init_end), image_maddr(rodata_end)}};
    while (start < end) {
        uint64_t stop = end, flags = MAP_RW;
        for (unsigned i = 0; i < ARRAY_SIZE(read_only); i++) {
            if (start < read_only[i].start) {
                stop = min(stop, read_only[i].start);
            } else if (start < read_only[i].end) {
                stop = min(stop, read_only[i].end);
                flags = MAP_RO;
            }
        }
        map_range(DIRECT_BASE + start, start, stop - start, flags);
        start = stop;
    }
}

void paging_init(void)
{
    have_huge = cpuid(0x80000000, 0).eax >= 0x80000001 && (cpuid(0x80000001, 0).edx & BIT(26));
    /* Every level-3 table now, since roots copy these 16 entries once. */
    for (unsigned slot = HV_SLOT_FIRST; slot <= HV_SLOT_LAST; slot++)
        CHECK(entry_at(HV_START + ((uint64_t)(slot - HV_SLOT_FIRST) << 39), 3, true));
    map_image_part(image_start, text_end, MAP_RX);
    map_image_part(init_start, init_text_end, MAP_RX);
    map_image_part(init_text_end, init_end, MAP_RW);
    map_image_part(init_end, rodata_end, MAP_RO);
    map_image_part(rodata_end, image_end, MAP_RW);
    for (unsigned i = 0; i < boot_info.region_count; i++)
        if (boot_info.regions[i].type == REGION_RAM)
            map_direct(boot_info.regions[i].start,
                       boot_info.regions[i].start + boot_info.regions[i].size);
    write_cr3(hv_root_maddr());
}

/* --- frame table and M2P --- */

/* One large page of a table that has an entry a frame: `frames` of them from `first` on. */
static bool any_ram(uint64_t first, uint64_t frames)
{
    uint64_t start = first << PAGE_SHIFT, end = (first + frames) << PAGE_SHIFT;
    for (unsigned i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];
        if (r->type == REGION_RAM && r->start < end && r->start + r->size > start)
            return true;
    }
    return false;
}

static void map_large(uint64_t va, uint64_t pa, uint64_t flags)
{
    pte_t *e = entry_at(va, 2, true);
    CHECK(e);
    *e = pa | usable(flags) | PTE_PSE;
}

/*
 * Back one table: large pages of its own where there is RAM, one shared read-only page `hole`
 * elsewhere, so that looking up any frame number below ram_top_frame is allowed. `fill` makes a
 * fresh page.
 */
static void back_table(uint64_t va, uint64_t user_va, size_t entry_size,
                       void (*fill)(void *page, uint64_t first, uint64_t count))
{
    uint64_t per_page = LARGE / entry_size, hole = 0;
    for (uint64_t first = 0; first < ram_top_frame; first += per_page) {
        uint64_t offset = first * entry_size, pa, flags = MAP_RW;
        if (any_ram(first, per_page)) {
            pa = ram_take(LARGE, LARGE, UINT64_MAX);
            fill(direct(pa), first, per_page);
        } else {
            if (!hole) {
                hole = ram_take(LARGE, LARGE, UINT64_MAX);
                fill(direct(hole), first, per_page);
            }
            pa = hole;
            flags = MAP_RO;
        }
        map_large(va + offset, pa, flags);
        if (user_va) /* not global: user roots do not have it, and TLBs must not keep it for them */
            map_large(user_va + offset, pa, (MAP_RO & ~PTE_G) | PTE_US);
    }
}

/* Entries of RAM are zero until the allocator takes them; all others say that there is none. */
static void fill_frames(void *page, uint64_t first, uint64_t count)
{
    struct frame *f = page;
    memset(page, 0, count * sizeof(*f));
    uint64_t at = first, end = first + count;
    for (unsigned i = 0; i <= boot_info.region_count && at < end; i++) {
        uint64_t ram_start = end, ram_end = end;
        if (i < boot_info.region_count) {
            if (boot_info.regions[i].type != REGION_RAM)
                continue;
            ram_start = boot_info.regions[i].start >> PAGE_SHIFT;
            ram_end = ram_start + (boot_info.regions[i].size >> PAGE_SHIFT);
        }
        for (; at < end && at < ram_start; at++)
            f[at - first].owner = OWNER_IO;
        at = max(at, min(ram_end, end));
    }
}

static void fill_m2p(void *page, uint64_t first, uint64_t count)
{
    (void)first;
    memset(page, 0xff, count * sizeof(uint64_t));
}

/* What the hypervisor keeps for itself is RAM with an owner, too: image, tables, modules. */
static void mark_hypervisor_frames(void)
{
    for (unsigned i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];
        if (r->type != REGION_RAM)
            continue;
        for (uint64_t n = r->start >> PAGE_SHIFT; n < (r->start + r->size) >> PAGE_SHIFT; n++) {
            bool low = n < FIRMWARE_END >> PAGE_SHIFT;
            frame_table[n].owner = low ? OWNER_IO : OWNER_HV;
            frame_table[n].flags = low ? 0 : FRAME_RAM;
        }
    }
}

void paging_init_frames(void)
{
    back_table(FRAMES_BASE, 0, sizeof(struct frame), fill_frames);
    back_table(M2P_RW_BASE, M2P_RO_BASE, sizeof(uint64_t), fill_m2p);
    frame_table = (struct frame *)FRAMES_BASE;
    m2p_table = (uint64_t *)M2P_RW_BASE;
    frame_count = ram_top_frame;
    mark_hypervisor_frames();
    allocator_ready = true;
}

mfn_t env_m2p_part(unsigned part)
{
    return maddr_to_mfn(maddr(*entry_at(M2P_RW_BASE + part * LARGE, 2, false) & PTE_ADDR));
}

/* --- device memory --- */

static uint64_t next_device = DEVICES_BASE;

static uint64_t map_special(uint64_t address, size_t size, uint64_t flags)
{
    uint64_t first = ROUND_DOWN(address, PAGE_SIZE), end = ROUND_UP(address + size, PAGE_SIZE);
    CHECK(end > first);
    uint64_t va = next_device;
    if (end - first > DEVICES_END - va)
        panic("no room to map device memory at %#lx", address);
    for (uint64_t pa = first; pa < end; pa += PAGE_SIZE)
        if (paging_map_page(va + (pa - first), pa, flags))
            panic("no memory to map device memory at %#lx", address);
    next_device = va + (end - first);
    return va + (address - first);
}

volatile void *map_device(uint64_t address, size_t size)
{
    return (volatile void *)map_special(address, size, MAP_UC);
}

const void *map_firmware(uint64_t address, size_t size)
{
    return (const void *)map_special(address, size, MAP_RO);
}

void paging_free_init(void)
{
    for (const char *p = init_start; p < init_end; p += PAGE_SIZE) {
        CHECK(paging_map_page((uintptr_t)p, 0, 0) == 0);
        invlpg((uintptr_t)p);
    }
    palloc_add(maddr_to_mfn(maddr(image_maddr(init_start))),
               maddr_to_mfn(maddr(image_maddr(init_end))));
}

void remap_device_page(volatile void *page, uint64_t address)
{
    CHECK(paging_map_page((uintptr_t)page, address, MAP_UC) == 0);
}
