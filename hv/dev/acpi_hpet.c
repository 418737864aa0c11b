/* SPDX-License-Identifier: MIT */
/* HPET table: where the timer block is. */
#include "acpi.h"
#include "base/string.h"
#include "dev/dev.h"

#define HPET_ADDRESS_SPACE 40
#define HPET_ADDRESS       44

uint64_t acpi_hpet_address;

void acpi_take_hpet(const struct acpi_header *t)
{
    const uint8_t *p = (const uint8_t *)t;
    if (t->length >= HPET_ADDRESS + 8 && p[HPET_ADDRESS_SPACE] == 0)
        memcpy(&acpi_hpet_address, p + HPET_ADDRESS, 8);
}
