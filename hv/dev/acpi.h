/* SPDX-License-Identifier: MIT */
/* Inside the ACPI part: one file a table. Layouts: ACPI specification 6.4, chapter 5. */
#ifndef ACPI_H
#define ACPI_H

#include "base/types.h"

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision, creator_id, creator_revision;
} __packed;
_Static_assert(sizeof(struct acpi_header) == 36, "table header");

/* Map a table and check its sum; NULL (said in the log) when it is not sound. */
const struct acpi_header *acpi_map_table(uint64_t address);

/* Each is given its whole table, at least a header long, sum correct. */
void acpi_take_madt(const struct acpi_header *t);
void acpi_take_fadt(const struct acpi_header *t);
void acpi_take_hpet(const struct acpi_header *t);
void acpi_take_mcfg(const struct acpi_header *t);

#endif
