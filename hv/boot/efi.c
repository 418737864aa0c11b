/* SPDX-License-Identifier: MIT */
/* The one thing taken from UEFI's system table: where ACPI begins (UEFI specification 2.9, 4.3
 * and 4.6). */
#include "multiboot.h"
#include "base/string.h"

#define EFI_SYSTEM_TABLE_SIGNATURE 0x5453595320494249ull /* "IBI SYST" */
#define EFI_MAX_TABLES             256

struct efi_system_table {
    uint64_t signature;
    uint8_t header[16];
    uint64_t vendor;
    uint32_t revision, pad;
    uint64_t consoles[6];
    uint64_t runtime_services, boot_services;
    uint64_t table_count, tables;
};
_Static_assert(offsetof(struct efi_system_table, tables) == 112, "64-bit layout");

struct efi_table {
    uint8_t guid[16];
    uint64_t address;
};

static const uint8_t guid_acpi2[16] = {0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11,
                                       0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81};
static const uint8_t guid_acpi1[16] = {0x30, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11,
                                       0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d};

uint64_t efi_find_rsdp(uint64_t system_table, boot_reader *read)
{
    const struct efi_system_table *st = read(system_table, sizeof(*st));
    if (!st || st->signature != EFI_SYSTEM_TABLE_SIGNATURE)
        return 0;
    uint64_t found = 0;
    unsigned count = (unsigned)min(st->table_count, (uint64_t)EFI_MAX_TABLES);
    for (unsigned i = 0; i < count; i++) {
        const struct efi_table *t = read(st->tables + i * sizeof(*t), sizeof(*t));
        if (!t)
            return found;
        if (memcmp(t->guid, guid_acpi2, 16) == 0)
            return t->address;
        if (memcmp(t->guid, guid_acpi1, 16) == 0)
            found = t->address;
    }
    return found;
}
