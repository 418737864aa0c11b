/* SPDX-License-Identifier: MIT */
/* FADT: power management registers; and from the DSDT the values that switch the machine off. */
#include "acpi.h"
#include "base/bits.h"
#include "base/string.h"
#include "dev/dev.h"

#define FADT_RESET_SUPPORTED BIT(10)

struct acpi_address {
    uint8_t space, width, offset, access;
    uint64_t address;
} __packed;

struct fadt {
    struct acpi_header header;
    uint32_t facs, dsdt;
    uint8_t reserved0, profile;
    uint16_t sci;
    uint32_t smi_command;
    uint8_t enable, disable, s4bios, pstate;
    uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
    uint8_t lengths[8];
    uint16_t latencies[2], flush[2];
    uint8_t duty[2], day_alarm, month_alarm, century;
    uint16_t boot_flags;
    uint8_t reserved1;
    uint32_t flags;
    struct acpi_address reset;
    uint8_t reset_value;
    uint16_t arm_flags;
    uint8_t minor;
    uint64_t x_facs, x_dsdt;
} __packed;
_Static_assert(offsetof(struct fadt, flags) == 112, "ACPI 6.4, table 5.9");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140, "ACPI 6.4, table 5.9");

struct acpi_fadt_info acpi_fadt;

/* One small integer of AML: zero, one, or a byte. Advances *p; 0xff when it is something else. */
static uint8_t aml_integer(const uint8_t **p, const uint8_t *end)
{
    if (*p >= end)
        return 0xff;
    uint8_t op = *(*p)++;
    if (op == 0x00 || op == 0x01)
        return op;
    return op == 0x0a && *p < end ? *(*p)++ : 0xff;
}

/* Name(_S5, Package { a, b, ... }): found by its bytes, which no other use of the name has. */
static void find_s5(const struct acpi_header *dsdt)
{
    const uint8_t *p = (const uint8_t *)(dsdt + 1), *end = (const uint8_t *)dsdt + dsdt->length;
    for (; p + 8 < end; p++) {
        if (memcmp(p, "_S5_\x12", 5) != 0)
            continue;
        const uint8_t *q = p + 5;
        q += (*q >> 6) + 2; /* length of the package (1 to 4 bytes), number of elements */
        uint8_t a = aml_integer(&q, end), b = aml_integer(&q, end);
        if (a > 7 || b > 7)
            continue;
        acpi_fadt.s5_a = a;
        acpi_fadt.s5_b = b;
        acpi_fadt.s5_known = true;
        return;
    }
}

void acpi_take_fadt(const struct acpi_header *t)
{
    struct fadt f;
    memset(&f, 0, sizeof(f));
    memcpy(&f, t, min((size_t)t->length, sizeof(f)));
    acpi_fadt.pm1a_cnt = (uint16_t)f.pm1a_cnt;
    acpi_fadt.pm1b_cnt = (uint16_t)f.pm1b_cnt;
    acpi_fadt.pm_tmr = (uint16_t)f.pm_tmr;
    acpi_fadt.sci = f.sci;
    if ((f.flags & FADT_RESET_SUPPORTED) && t->length >= offsetof(struct fadt, arm_flags)) {
        acpi_fadt.reset_supported = true;
        acpi_fadt.reset_space = f.reset.space;
        acpi_fadt.reset_address = f.reset.address;
        acpi_fadt.reset_value = f.reset_value;
    }
    const struct acpi_header *dsdt = acpi_map_table(f.x_dsdt ? f.x_dsdt : f.dsdt);
    if (dsdt)
        find_s5(dsdt);
}
