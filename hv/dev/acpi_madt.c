/* SPDX-License-Identifier: MIT */
/* MADT: CPUs, I/O APICs, and how ISA interrupts are wired. */
#include "acpi.h"
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "dev/dev.h"
#include "x86/memory_map.h"

#define MAX_IOAPICS 16
#define CPU_ENABLED 1u

enum madt_type {
    MADT_CPU = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_LAPIC_ADDRESS = 5,
    MADT_X2APIC = 9,
};

struct madt {
    struct acpi_header header;
    uint32_t lapic_address, flags;
} __packed;

struct madt_entry {
    uint8_t type, length;
    union {
        struct {
            uint8_t acpi_id, apic_id;
            uint32_t flags;
        } __packed cpu;
        struct {
            uint8_t id, reserved;
            uint32_t address, gsi_base;
        } __packed ioapic;
        struct {
            uint8_t bus, irq;
            uint32_t gsi;
            uint16_t flags;
        } __packed override;
        struct {
            uint16_t reserved;
            uint64_t address;
        } __packed lapic;
        struct {
            uint16_t reserved;
            uint32_t apic_id, flags, acpi_id;
        } __packed x2apic;
    };
} __packed;

struct acpi_cpu acpi_cpus[MAX_CPUS];
unsigned acpi_cpu_count;
struct acpi_ioapic acpi_ioapics[MAX_IOAPICS];
unsigned acpi_ioapic_count;
struct acpi_override acpi_overrides[16];
uint64_t acpi_lapic_address;

static void add_cpu(uint32_t apic_id, uint32_t acpi_id, uint32_t flags)
{
    if (!(flags & CPU_ENABLED) || acpi_cpu_count == MAX_CPUS)
        return;
    for (unsigned i = 0; i < acpi_cpu_count; i++)
        if (acpi_cpus[i].apic_id == apic_id)
            return;
    acpi_cpus[acpi_cpu_count++] = (struct acpi_cpu){apic_id, acpi_id};
}

static void add_override(const struct madt_entry *e)
{
    for (unsigned i = 0; e->override.irq < 16 && i < ARRAY_SIZE(acpi_overrides); i++) {
        struct acpi_override *o = &acpi_overrides[i];
        if (o->used && o->irq != e->override.irq)
            continue;
        *o = (struct acpi_override){true, e->override.irq, e->override.gsi, e->override.flags};
        return;
    }
}

static void take_entry(const struct madt_entry *e)
{
    switch (e->type) {
    case MADT_CPU:
        if (e->length >= 8)
            add_cpu(e->cpu.apic_id, e->cpu.acpi_id, e->cpu.flags);
        break;
    case MADT_X2APIC:
        if (e->length >= 16)
            add_cpu(e->x2apic.apic_id, e->x2apic.acpi_id, e->x2apic.flags);
        break;
    case MADT_IOAPIC:
        if (e->length >= 12 && acpi_ioapic_count < MAX_IOAPICS)
            acpi_ioapics[acpi_ioapic_count++] =
                (struct acpi_ioapic){e->ioapic.id, e->ioapic.gsi_base, e->ioapic.address};
        break;
    case MADT_OVERRIDE:
        if (e->length >= 10)
            add_override(e);
        break;
    case MADT_LAPIC_ADDRESS:
        if (e->length >= 12)
            acpi_lapic_address = e->lapic.address;
        break;
    default:
        break;
    }
}

void acpi_take_madt(const struct acpi_header *t)
{
    const struct madt *m = (const struct madt *)t;
    if (t->length < sizeof(*m))
        return;
    acpi_lapic_address = m->lapic_address;
    for (size_t at = sizeof(*m); at + 2 <= t->length;) {
        struct madt_entry e = {.type = 0xff};
        const uint8_t *p = (const uint8_t *)t + at;
        unsigned length = p[1];
        if (length < 2 || length > t->length - at)
            break;
        memcpy(&e, p, min((size_t)length, sizeof(e)));
        take_entry(&e);
        at += length;
    }
}
