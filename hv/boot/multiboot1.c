/* SPDX-License-Identifier: MIT */
/* Multiboot 1 information (GNU multiboot specification 0.6.96, section 3.3). */
#include "multiboot.h"
#include "base/bits.h"
#include "base/string.h"
#include <xen/errno.h>

struct mb1_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
    uint32_t mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr, config_table, boot_loader_name, apm_table;
} __packed;

struct mb1_module {
    uint32_t start, end, string, reserved;
};

struct mb1_mmap {
    uint32_t size; /* of what follows */
    uint64_t address, length;
    uint32_t type;
} __packed;

#define MB1_HAS_MEM     BIT(0)
#define MB1_HAS_CMDLINE BIT(2)
#define MB1_HAS_MODULES BIT(3)
#define MB1_HAS_MMAP    BIT(6)
#define MB1_HAS_LOADER  BIT(9)

static void read_modules(const struct mb1_info *info, boot_reader *read, struct boot_info *out)
{
    unsigned count = min(info->mods_count, (uint32_t)BOOT_MAX_MODULES);
    for (unsigned i = 0; i < count; i++) {
        const struct mb1_module *m = read(info->mods_addr + i * (uint64_t)sizeof(*m), sizeof(*m));
        struct boot_module *added = m ? boot_add_module(out, m->start, m->end) : NULL;
        if (added && m->string)
            boot_copy_string(added->cmdline, sizeof(added->cmdline), m->string, read);
    }
}

static void read_map(const struct mb1_info *info, boot_reader *read, struct boot_info *out)
{
    uint64_t at = info->mmap_addr, end = at + info->mmap_length;
    while (at + sizeof(struct mb1_mmap) <= end) {
        const struct mb1_mmap *e = read(at, sizeof(*e));
        if (!e || e->size < sizeof(*e) - sizeof(e->size))
            return;
        boot_add_region(out, e->address, e->length, e->type);
        at += (uint64_t)e->size + sizeof(e->size);
    }
}

int multiboot1_parse(uint32_t address, boot_reader *read, struct boot_info *out)
{
    const struct mb1_info *info = read(address, sizeof(*info));
    if (!info)
        return -XEN_EINVAL;
    if (info->flags & MB1_HAS_CMDLINE)
        boot_copy_string(out->cmdline, sizeof(out->cmdline), info->cmdline, read);
    if (info->flags & MB1_HAS_LOADER)
        boot_copy_string(out->loader, sizeof(out->loader), info->boot_loader_name, read);
    if (info->flags & MB1_HAS_MODULES)
        read_modules(info, read, out);
    if (info->flags & MB1_HAS_MMAP) {
        read_map(info, read, out);
    } else if (info->flags & MB1_HAS_MEM) {
        boot_add_region(out, 0, KiB(min(info->mem_lower, 640u)), REGION_RAM);
        boot_add_region(out, MiB(1), KiB(info->mem_upper), REGION_RAM);
    }
    return 0;
}
