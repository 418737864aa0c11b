/* SPDX-License-Identifier: MIT */
/* Multiboot 2 information (GNU multiboot2 specification 2.0, section 3.6). */
#include "multiboot.h"
#include "base/string.h"
#include <xen/errno.h>

enum mb2_tag_type {
    MB2_END = 0,
    MB2_CMDLINE = 1,
    MB2_LOADER = 2,
    MB2_MODULE = 3,
    MB2_MMAP = 6,
    MB2_FRAMEBUFFER = 8,
    MB2_EFI32 = 11,
    MB2_EFI64 = 12,
    MB2_ACPI_OLD = 14,
    MB2_ACPI_NEW = 15,
    MB2_EFI_MMAP = 17,
};

struct mb2_tag {
    uint32_t type, size; /* size with this header */
};

struct mb2_module {
    struct mb2_tag tag;
    uint32_t start, end;
    char cmdline[];
};

struct mb2_mmap {
    struct mb2_tag tag;
    uint32_t entry_size, entry_version;
};

struct mb2_mmap_entry {
    uint64_t address, length;
    uint32_t type, zero;
};

struct mb2_framebuffer {
    struct mb2_tag tag;
    uint64_t address;
    uint32_t pitch, width, height;
    uint8_t bpp, type;
    uint16_t reserved;
    uint8_t red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
};

/* The text at the end of a tag, at most `size` bytes of the target, whatever its terminator. */
static void copy_text(char *to, size_t size, const struct mb2_tag *tag, size_t from)
{
    if (tag->size < from)
        return;
    size_t n = strnlen((const char *)tag + from, min(tag->size - from, size - 1));
    memcpy(to, (const char *)tag + from, n);
    to[n] = 0;
}

static void take_module(const struct mb2_tag *tag, struct boot_info *out)
{
    const struct mb2_module *m = (const void *)tag;
    if (tag->size < sizeof(*m))
        return;
    struct boot_module *added = boot_add_module(out, m->start, m->end);
    if (added)
        copy_text(added->cmdline, sizeof(added->cmdline), tag, sizeof(*m));
}

static void take_map(const struct mb2_tag *tag, struct boot_info *out)
{
    const struct mb2_mmap *map = (const void *)tag;
    if (tag->size < sizeof(*map) || map->entry_size < sizeof(struct mb2_mmap_entry))
        return;
    for (size_t at = sizeof(*map); at + sizeof(struct mb2_mmap_entry) <= tag->size;
         at += map->entry_size) {
        struct mb2_mmap_entry e;
        memcpy(&e, (const char *)tag + at, sizeof(e));
        boot_add_region(out, e.address, e.length, e.type);
    }
}

static void take_framebuffer(const struct mb2_tag *tag, struct boot_info *out)
{
    struct mb2_framebuffer f = {.bpp = 0};
    if (tag->size < offsetof(struct mb2_framebuffer, reserved))
        return;
    memcpy(&f, tag, min((size_t)tag->size, sizeof(f)));
    out->framebuffer.present = true;
    out->framebuffer.address = f.address;
    out->framebuffer.pitch = f.pitch;
    out->framebuffer.width = f.width;
    out->framebuffer.height = f.height;
    out->framebuffer.bpp = f.bpp;
    out->framebuffer.type = f.type;
    out->framebuffer.red_pos = f.red_pos;
    out->framebuffer.red_size = f.red_size;
    out->framebuffer.green_pos = f.green_pos;
    out->framebuffer.green_size = f.green_size;
    out->framebuffer.blue_pos = f.blue_pos;
    out->framebuffer.blue_size = f.blue_size;
}

/*
 * The tag holds a copy of the root pointer and does not tell where the original is, which domain 0
 * needs. The copy stands in until (under UEFI) the original is found in the firmware's own table.
 */
static void take_acpi(const struct mb2_tag *tag, uint64_t address, struct boot_info *out)
{
    if (tag->size < sizeof(*tag) + 20)
        return;
    if (tag->type == MB2_ACPI_NEW || !out->rsdp)
        out->rsdp = address + sizeof(*tag);
}

static void take_tag(const struct mb2_tag *tag, uint64_t address, struct boot_info *out,
                     uint64_t *efi_table)
{
    switch (tag->type) {
    case MB2_CMDLINE:
        copy_text(out->cmdline, sizeof(out->cmdline), tag, sizeof(*tag));
        break;
    case MB2_LOADER:
        copy_text(out->loader, sizeof(out->loader), tag, sizeof(*tag));
        break;
    case MB2_MODULE:
        take_module(tag, out);
        break;
    case MB2_MMAP:
        take_map(tag, out);
        break;
    case MB2_FRAMEBUFFER:
        take_framebuffer(tag, out);
        break;
    case MB2_EFI64:
        out->efi = true;
        if (tag->size >= sizeof(*tag) + sizeof(uint64_t))
            memcpy(efi_table, tag + 1, sizeof(*efi_table));
        break;
    case MB2_EFI32:
    case MB2_EFI_MMAP:
        out->efi = true;
        break;
    case MB2_ACPI_OLD:
    case MB2_ACPI_NEW:
        take_acpi(tag, address, out);
        break;
    default:
        break;
    }
}

int multiboot2_parse(uint32_t address, boot_reader *read, struct boot_info *out)
{
    const uint32_t *total = read(address, 8);
    if (!total || *total < 8 || !read(address, *total))
        return -XEN_EINVAL;
    uint64_t efi_table = 0;
    uint64_t at = (uint64_t)address + 8, end = (uint64_t)address + *total;
    while (at + sizeof(struct mb2_tag) <= end) {
        const struct mb2_tag *tag = read(at, sizeof(*tag));
        if (!tag || tag->type == MB2_END || tag->size < sizeof(*tag) || tag->size > end - at)
            break;
        take_tag(tag, at, out, &efi_table);
        at += ROUND_UP((uint64_t)tag->size, 8);
    }
    uint64_t original = efi_table ? efi_find_rsdp(efi_table, read) : 0;
    if (original)
        out->rsdp = original;
    return 0;
}
