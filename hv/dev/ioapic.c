/* SPDX-License-Identifier: MIT */
/* I/O APICs (Intel 82093AA data sheet): one redirection entry a GSI. */
#include "base/bits.h"
#include "base/log.h"
#include "base/spinlock.h"
#include "dev/dev.h"
#include "dev/irq.h"

#define MAX_IOAPICS 16

#define REG_VERSION     0x01
#define REG_REDIRECTION 0x10

#define ROUTE_ACTIVE_LOW BIT(13)
#define ROUTE_LEVEL      BIT(15)
#define ROUTE_MASKED     BIT(16)

static struct {
    volatile uint32_t *registers;
    unsigned gsi_base, pins;
} apics[MAX_IOAPICS];
static unsigned count;
static spinlock_t lock = SPINLOCK_INIT; /* the index register */

static uint32_t read_locked(unsigned apic, uint8_t reg)
{
    apics[apic].registers[0] = reg;
    return apics[apic].registers[4];
}

static void write_locked(unsigned apic, uint8_t reg, uint32_t v)
{
    apics[apic].registers[0] = reg;
    apics[apic].registers[4] = v;
}

uint32_t ioapic_read(unsigned apic, uint8_t reg)
{
    if (apic >= count)
        return ~0u;
    spin_lock(&lock);
    uint32_t v = read_locked(apic, reg);
    spin_unlock(&lock);
    return v;
}

unsigned ioapic_count(void)
{
    return count;
}

bool ioapic_owns_frame(uint64_t mfn)
{
    for (unsigned i = 0; i < acpi_ioapic_count; i++)
        if (acpi_ioapics[i].address >> PAGE_SHIFT == mfn)
            return true;
    return false;
}

/* Index of the I/O APIC that serves a GSI, or -1. */
static int find(unsigned gsi)
{
    for (unsigned i = 0; i < count; i++)
        if (gsi >= apics[i].gsi_base && gsi - apics[i].gsi_base < apics[i].pins)
            return (int)i;
    return -1;
}

bool ioapic_has_gsi(unsigned gsi)
{
    return find(gsi) >= 0;
}

unsigned ioapic_gsi_limit(void)
{
    unsigned limit = 0;
    for (unsigned i = 0; i < count; i++)
        limit = max(limit, apics[i].gsi_base + apics[i].pins);
    return limit;
}

void ioapic_write_route(unsigned gsi, const struct ioapic_route *r)
{
    int i = find(gsi);
    if (i < 0)
        return;
    uint8_t reg = (uint8_t)(REG_REDIRECTION + 2 * (gsi - apics[i].gsi_base));
    uint32_t low = r->vector;
    low |= r->active_low ? (uint32_t)ROUTE_ACTIVE_LOW : 0;
    low |= r->level ? (uint32_t)ROUTE_LEVEL : 0;
    spin_lock(&lock);
    /* Masked while the two halves do not belong together. */
    write_locked((unsigned)i, reg, low | (uint32_t)ROUTE_MASKED);
    write_locked((unsigned)i, reg + 1, r->apic_id << 24);
    if (!r->masked)
        write_locked((unsigned)i, reg, low);
    spin_unlock(&lock);
}

void ioapic_init(void)
{
    for (unsigned i = 0; i < acpi_ioapic_count && count < MAX_IOAPICS; i++) {
        apics[count].registers = map_device(acpi_ioapics[i].address, 0x20);
        apics[count].gsi_base = acpi_ioapics[i].gsi_base;
        apics[count].pins = ((read_locked(count, REG_VERSION) >> 16) & 0xff) + 1;
        count++;
        const struct ioapic_route off = {.masked = true};
        for (unsigned pin = 0; pin < apics[count - 1].pins; pin++)
            ioapic_write_route(apics[count - 1].gsi_base + pin, &off);
    }
    log_info("I/O APICs: %u, %u interrupts", count, ioapic_gsi_limit());
}
