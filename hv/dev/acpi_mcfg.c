/* SPDX-License-Identifier: MIT */
/* MCFG: PCI configuration space in memory. */
#include "acpi.h"
#include "base/string.h"
#include "dev/dev.h"

#define MAX_MCFG     16
#define MCFG_ENTRIES 44

struct mcfg_entry {
    uint64_t address;
    uint16_t segment;
    uint8_t bus_first, bus_last;
    uint32_t reserved;
} __packed;

struct acpi_mcfg acpi_mcfg[MAX_MCFG];
unsigned acpi_mcfg_count;

void acpi_take_mcfg(const struct acpi_header *t)
{
    for (size_t at = MCFG_ENTRIES;
         at + sizeof(struct mcfg_entry) <= t->length && acpi_mcfg_count < MAX_MCFG;
         at += sizeof(struct mcfg_entry)) {
        struct mcfg_entry e;
        memcpy(&e, (const char *)t + at, sizeof(e));
        if (e.address && e.bus_first <= e.bus_last)
            acpi_mcfg[acpi_mcfg_count++] =
                (struct acpi_mcfg){e.address, e.segment, e.bus_first, e.bus_last};
    }
}
