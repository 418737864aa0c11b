/* SPDX-License-Identifier: MIT */
/* What the loader told (multiboot 1 or 2), in one form; and the options of the command line. */
#ifndef BASE_BOOT_INFO_H
#define BASE_BOOT_INFO_H

#include "base/types.h"

#define BOOT_MAX_REGIONS 256
#define BOOT_MAX_MODULES 8
#define BOOT_CMDLINE     2048

enum boot_region_type {
    REGION_RAM = 1,
    REGION_RESERVED = 2,
    REGION_ACPI = 3,
    REGION_NVS = 4,
    REGION_BAD = 5
};
struct boot_region {
    uint64_t start, size;
    uint32_t type; /* as in E820 */
};
struct boot_module {
    uint64_t start, size;
    char cmdline[BOOT_CMDLINE];
};
struct boot_info {
    char cmdline[BOOT_CMDLINE];
    char loader[64];
    struct boot_region regions[BOOT_MAX_REGIONS]; /* sorted, not overlapping */
    unsigned region_count;
    struct boot_module modules[BOOT_MAX_MODULES];
    unsigned module_count;
    uint64_t rsdp; /* from the loader's tag (address of a copy is resolved), or 0 */
    bool efi;
    struct { /* frame buffer or text mode, for domain 0 */
        bool present;
        uint64_t address;
        uint32_t pitch, width, height;
        uint8_t bpp, type;
        uint8_t red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
    } framebuffer;
};
extern struct boot_info boot_info;

struct boot_options {
    char dom0_mem[64];
    unsigned dom0_max_vcpus; /* 0: one a CPU */
    bool noreboot;
    bool nmi_fatal;  /* nmi=fatal */
    unsigned loglvl; /* enum log_level */
    char com1[64];
    bool x2apic_off;
    uint64_t mem_limit; /* mem=, 0: all */
    unsigned max_cpus;  /* maxcpus=, 0: all */
};
extern struct boot_options boot_options;

#endif
