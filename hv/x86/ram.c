/* SPDX-License-Identifier: MIT */
#include "x86/ram.h"
#include "base/log.h"
#include "mm/palloc.h"

static struct ram_range {
    uint64_t start, end;
} ranges[RAM_MAX_RANGES];
static unsigned range_count;
static uint64_t total, taken; /* bytes */

static void insert(unsigned at, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    CHECK_LT(range_count, RAM_MAX_RANGES);
    for (unsigned i = range_count++; i > at; i--)
        ranges[i] = ranges[i - 1];
    ranges[at] = (struct ram_range){start, end};
}

static void erase(unsigned at)
{
    range_count--;
    for (unsigned i = at; i < range_count; i++)
        ranges[i] = ranges[i + 1];
}

void ram_add(uint64_t start, uint64_t end)
{
    total += end > start ? end - start : 0;
    insert(range_count, start, end);
}

void ram_reserve(uint64_t start, uint64_t end)
{
    start = ROUND_DOWN(start, PAGE_SIZE);
    end = ROUND_UP(end, PAGE_SIZE);
    for (unsigned i = 0; i < range_count;) {
        struct ram_range r = ranges[i];
        if (start >= r.end || end <= r.start) {
            i++;
            continue;
        }
        erase(i);
        insert(i, max(end, r.start), r.end);
        insert(i, r.start, min(start, r.end));
    }
}

uint64_t ram_take(uint64_t size, uint64_t align, uint64_t limit)
{
    for (unsigned i = range_count; i-- > 0;) {
        uint64_t end = min(ranges[i].end, limit);
        if (end < size)
            continue;
        uint64_t start = ROUND_DOWN(end - size, align);
        if (start < ranges[i].start || start == 0)
            continue;
        ram_reserve(start, start + size);
        taken += size;
        return start;
    }
    panic("no %lu KiB of memory for the hypervisor's own tables", size >> 10);
}

void ram_release(void)
{
    for (unsigned i = 0; i < range_count; i++)
        palloc_add(maddr_to_mfn(maddr(ranges[i].start)), maddr_to_mfn(maddr(ranges[i].end)));
    range_count = 0;
}

uint64_t ram_total(void)
{
    return total;
}

uint64_t ram_taken(void)
{
    return taken;
}
