/* SPDX-License-Identifier: MIT */
/* What both multiboot parsers need. */
#include "multiboot.h"

void boot_add_region(struct boot_info *out, uint64_t start, uint64_t size, uint32_t type)
{
    if (size == 0 || start + size < start || out->region_count == BOOT_MAX_REGIONS)
        return;
    if (type < REGION_RAM || type > REGION_BAD)
        type = REGION_RESERVED;
    out->regions[out->region_count++] = (struct boot_region){start, size, type};
}

struct boot_module *boot_add_module(struct boot_info *out, uint64_t start, uint64_t end)
{
    if (end < start || out->module_count == BOOT_MAX_MODULES)
        return NULL;
    struct boot_module *m = &out->modules[out->module_count++];
    m->start = start;
    m->size = end - start;
    m->cmdline[0] = 0;
    return m;
}

void boot_copy_string(char *to, size_t size, uint64_t address, boot_reader *read)
{
    size_t n = 0;
    for (; n + 1 < size; n++) {
        const char *c = read(address + n, 1);
        if (!c || !*c)
            break;
        to[n] = *c;
    }
    to[n] = 0;
}
