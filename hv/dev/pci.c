/* SPDX-License-Identifier: MIT */
/*
 * PCI configuration space: ports 0xcf8 and 0xcfc for the first 256 bytes of segment 0, the memory
 * window of the MCFG table for the rest. Domain 0 comes through here too, so the message registers
 * stay ours.
 */
#include "base/bits.h"
#include "base/spinlock.h"
#include "dev/dev.h"
#include "dev/pci.h"
#include "x86/insn.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc

static spinlock_t lock = SPINLOCK_INIT; /* the address port */

/* One page of the window at a time is mapped, the last one used; another CPU may have moved it
 * since we looked, so what this one remembers of it is dropped each time. */
static volatile uint8_t *window_page(uint32_t sbdf)
{
    static uint32_t mapped_sbdf;
    static volatile uint8_t *mapped;
    if (mapped)
        invlpg((uintptr_t)mapped);
    if (mapped && mapped_sbdf == sbdf)
        return mapped;
    unsigned segment = sbdf >> 16, bus = sbdf >> 8 & 0xff;
    for (unsigned i = 0; i < acpi_mcfg_count; i++) {
        const struct acpi_mcfg *m = &acpi_mcfg[i];
        if (m->segment != segment || bus < m->bus_first || bus > m->bus_last)
            continue;
        uint64_t address = m->address + ((uint64_t)(sbdf & 0xffff) << 12);
        if (mapped)
            remap_device_page(mapped, address);
        else
            mapped = map_device(address, PAGE_SIZE);
        invlpg((uintptr_t)mapped);
        mapped_sbdf = sbdf;
        return mapped;
    }
    return NULL;
}

static bool valid(unsigned reg, unsigned bytes)
{
    return (bytes == 1 || bytes == 2 || bytes == 4) && reg % bytes == 0 && reg + bytes <= 4096;
}

static void select(uint32_t sbdf, unsigned reg)
{
    outl(PCI_ADDRESS, 0x80000000u | (sbdf & 0xffff) << 8 | (reg & 0xfc));
}

static uint32_t read_locked(uint32_t sbdf, unsigned reg, unsigned bytes)
{
    if (reg < 256 && sbdf >> 16 == 0) {
        uint16_t port = (uint16_t)(PCI_DATA + (reg & 3));
        select(sbdf, reg);
        return bytes == 1 ? inb(port) : bytes == 2 ? inw(port) : inl(port);
    }
    volatile uint8_t *p = window_page(sbdf);
    if (!p)
        return ~0u;
    p += reg;
    return bytes == 1 ? *p : bytes == 2 ? *(volatile uint16_t *)p : *(volatile uint32_t *)p;
}

static void write_locked(uint32_t sbdf, unsigned reg, unsigned bytes, uint32_t value)
{
    if (reg < 256 && sbdf >> 16 == 0) {
        uint16_t port = (uint16_t)(PCI_DATA + (reg & 3));
        select(sbdf, reg);
        if (bytes == 1)
            outb(port, (uint8_t)value);
        else if (bytes == 2)
            outw(port, (uint16_t)value);
        else
            outl(port, value);
        return;
    }
    volatile uint8_t *p = window_page(sbdf);
    if (!p)
        return;
    p += reg;
    if (bytes == 1)
        *p = (uint8_t)value;
    else if (bytes == 2)
        *(volatile uint16_t *)p = (uint16_t)value;
    else
        *(volatile uint32_t *)p = value;
}

uint32_t pci_read(uint32_t sbdf, unsigned reg, unsigned bytes)
{
    if (!valid(reg, bytes))
        return ~0u;
    spin_lock(&lock);
    uint32_t v = read_locked(sbdf, reg, bytes);
    spin_unlock(&lock);
    return bytes == 4 ? v : v & ((1u << 8 * bytes) - 1);
}

void pci_write(uint32_t sbdf, unsigned reg, unsigned bytes, uint32_t value)
{
    if (!valid(reg, bytes))
        return;
    spin_lock(&lock);
    write_locked(sbdf, reg, bytes, value);
    spin_unlock(&lock);
}

unsigned pci_find_capability(uint32_t sbdf, uint8_t id)
{
    if (!(pci_read(sbdf, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES))
        return 0;
    unsigned at = pci_read(sbdf, PCI_CAPABILITIES, 1) & 0xfc;
    for (unsigned i = 0; i < 48 && at >= 0x40; i++) { /* as many as fit: a ring ends, too */
        uint32_t head = pci_read(sbdf, at, 2);
        if ((head & 0xff) == id)
            return at;
        at = head >> 8 & 0xfc;
    }
    return 0;
}

/* Bytes of an MSI capability, by its control word. */
static unsigned msi_length(uint32_t control)
{
    unsigned n = control & MSI_64BIT ? 14 : 10;
    return control & MSI_MASKABLE ? n + (control & MSI_64BIT ? 10 : 10) : n;
}

bool pci_guest_may_write(uint32_t sbdf, unsigned reg, unsigned bytes)
{
    if (reg >= 256)
        return true;
    unsigned at = pci_find_capability(sbdf, PCI_CAP_MSI);
    if (at) {
        unsigned end = at + msi_length(pci_read(sbdf, at + 2, 2));
        if (reg < end && reg + bytes > at + 4)
            return false;
    }
    at = pci_find_capability(sbdf, PCI_CAP_MSIX);
    return !at || reg >= at + 12 || reg + bytes <= at + 4;
}
