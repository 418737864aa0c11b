/* SPDX-License-Identifier: MIT */
/* The loader's information, in either form, brought into struct boot_info. */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "base/boot_info.h"

#define MULTIBOOT1_MAGIC 0x2badb002
#define MULTIBOOT2_MAGIC 0x36d76289

/* n readable bytes at a machine address, or NULL. The parsers read through it only. */
typedef const void *boot_reader(uint64_t address, size_t n);

/*
 * Fill *out from the information at `address`. Whatever the bytes there are, nothing outside `read`
 * is touched and *out is well formed (strings ended, counts in range). 0, or -EINVAL when it cannot
 * be read at all.
 */
int multiboot1_parse(uint32_t address, boot_reader *read, struct boot_info *out);
int multiboot2_parse(uint32_t address, boot_reader *read, struct boot_info *out);

/* Helpers of both (multiboot.c). */
void boot_add_region(struct boot_info *out, uint64_t start, uint64_t size, uint32_t type);
/* The new module, its command line empty; NULL when there is no room or it is not sound. */
struct boot_module *boot_add_module(struct boot_info *out, uint64_t start, uint64_t end);
/* A string of at most BOOT_CMDLINE - 1 bytes at a machine address; "" when unreadable. */
void boot_copy_string(char *to, size_t size, uint64_t address, boot_reader *read);

/* ACPI's root pointer from UEFI's configuration table (efi.c); 0 when it is not there or not
 * readable. */
uint64_t efi_find_rsdp(uint64_t system_table, boot_reader *read);

#endif
