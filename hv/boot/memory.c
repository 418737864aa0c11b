/* SPDX-License-Identifier: MIT */
/*
 * The loader's memory map made sound. Firmware maps overlap, are unsorted and cut pages in pieces;
 * here every address gets one type: the most restrictive that claims it.
 */
#include "memory.h"
#include "base/check.h"
#include "base/log.h"
#include "mm/palloc.h"
#include "x86/paging.h"
#include "x86/ram.h"

extern const char image_start[], image_end[];

/* Where types meet; more than the sorted list can hold of distinct points there are none. */
static uint64_t points[2 * BOOT_MAX_REGIONS];
static struct boot_region sorted[BOOT_MAX_REGIONS];

static unsigned collect_points(const struct boot_info *info)
{
    unsigned n = 0;
    for (unsigned i = 0; i < info->region_count; i++) {
        points[n++] = info->regions[i].start;
        points[n++] = info->regions[i].start + info->regions[i].size;
    }
    for (unsigned i = 1; i < n; i++) {
        uint64_t p = points[i];
        unsigned j = i;
        for (; j > 0 && points[j - 1] > p; j--)
            points[j] = points[j - 1];
        points[j] = p;
    }
    return n;
}

/* The type of [start, ...): RAM only when nothing else claims it. 0: nobody does. */
static uint32_t type_at(const struct boot_info *info, uint64_t start)
{
    static const uint8_t strength[] = {0, 1, 3, 2, 4, 5}; /* by enum boot_region_type */
    uint32_t type = 0;
    for (unsigned i = 0; i < info->region_count; i++) {
        const struct boot_region *r = &info->regions[i];
        if (start >= r->start && start - r->start < r->size && strength[r->type] > strength[type])
            type = r->type;
    }
    return type;
}

static void append(unsigned *count, uint64_t start, uint64_t end, uint32_t type)
{
    if (type == REGION_RAM) {
        start = ROUND_UP(start, PAGE_SIZE);
        end = ROUND_DOWN(end, PAGE_SIZE);
    }
    if (start >= end)
        return;
    struct boot_region *last = *count ? &sorted[*count - 1] : NULL;
    if (last && last->type == type && last->start + last->size == start)
        last->size += end - start;
    else if (*count < BOOT_MAX_REGIONS)
        sorted[(*count)++] = (struct boot_region){start, end - start, type};
}

static void sanitise(struct boot_info *info)
{
    unsigned n = collect_points(info), count = 0;
    for (unsigned i = 0; i + 1 < n; i++) {
        uint32_t type = type_at(info, points[i]);
        if (type && points[i] < points[i + 1])
            append(&count, points[i], points[i + 1], type);
    }
    for (unsigned i = 0; i < count; i++)
        info->regions[i] = sorted[i];
    info->region_count = count;
}

/* Cut RAM above `limit`, and beyond `amount` bytes in all. Returns what was cut. */
static uint64_t apply_limits(struct boot_info *info, uint64_t limit, uint64_t amount)
{
    uint64_t cut = 0, total = 0;
    for (unsigned i = 0; i < info->region_count; i++) {
        struct boot_region *r = &info->regions[i];
        if (r->type != REGION_RAM)
            continue;
        uint64_t keep = r->start >= limit ? 0 : min(r->size, limit - r->start);
        keep = min(keep, amount - total);
        cut += r->size - keep;
        total += keep;
        r->size = keep;
        if (keep == 0)
            r->type = 0; /* memory that we leave alone */
    }
    unsigned count = 0;
    for (unsigned i = 0; i < info->region_count; i++)
        if (info->regions[i].type)
            info->regions[count++] = info->regions[i];
    info->region_count = count;
    return cut;
}

void memory_init(void)
{
    sanitise(&boot_info);
    uint64_t amount = boot_options.mem_limit ? boot_options.mem_limit : UINT64_MAX;
    uint64_t cut = apply_limits(&boot_info, (uint64_t)MAX_RAM_FRAME << PAGE_SHIFT,
                                ROUND_DOWN(amount, PAGE_SIZE));
    uint64_t total = 0;
    for (unsigned i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];
        if (r->type != REGION_RAM)
            continue;
        total += r->size;
        ram_top_frame = (r->start + r->size) >> PAGE_SHIFT;
        ram_add(r->start, r->start + r->size);
    }
    if (total == 0)
        panic("the loader told of no memory");
    ram_reserve(0, PAGE_SIZE); /* the BIOS's data area; and frame 0 is nobody's */
    ram_reserve(image_maddr(image_start), image_maddr(image_end));
    for (unsigned i = 0; i < boot_info.module_count; i++)
        ram_reserve(boot_info.modules[i].start,
                    boot_info.modules[i].start + boot_info.modules[i].size);
    log_info("memory: %lu MiB of RAM up to %#lx", total >> 20, ram_top_frame << PAGE_SHIFT);
    if (cut)
        log_info("memory: %lu MiB left unused by mem= or beyond 1 TiB", cut >> 20);
}

void memory_release(void)
{
    ram_reserve(0, FIRMWARE_END);
    ram_release();
    log_info("memory: %lu MiB free", palloc_free_frames() >> 8);
}

void memory_release_modules(void)
{
    for (unsigned i = 0; i < boot_info.module_count; i++) {
        struct boot_module *m = &boot_info.modules[i];
        uint64_t start = ROUND_DOWN(m->start, PAGE_SIZE);
        uint64_t end = ROUND_UP(m->start + m->size, PAGE_SIZE);
        /* Modules that share a page with another, or lie outside RAM, stay where they are. */
        bool alone = start < end && end <= ram_top_frame << PAGE_SHIFT;
        for (unsigned j = 0; j < boot_info.module_count; j++) {
            const struct boot_module *o = &boot_info.modules[j];
            if (j != i && o->start < end && o->start + o->size > start)
                alone = false;
        }
        if (alone)
            palloc_add(maddr_to_mfn(maddr(start)), maddr_to_mfn(maddr(end)));
        m->size = 0;
    }
}
