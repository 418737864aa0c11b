/* SPDX-License-Identifier: MIT */
/*
 * Message-signalled interrupts of domain 0's devices. The hypervisor alone writes addresses, data
 * and MSI-X table entries; domain 0 keeps the enable bits of the control words.
 */
#include "base/bits.h"
#include "dev/dev.h"
#include "dev/irq.h"
#include "dev/pci.h"
#include "x86/insn.h"
#include <xen/errno.h>

#define MESSAGE_ADDRESS 0xfee00000u
#define MSIX_ENTRY_SIZE 16
#define MAX_TABLE_PAGES 256

/* Pages of MSI-X tables that were mapped once; they stay (a device's table does not move). */
static struct {
    uint64_t mfn;
    volatile char *va;
} tables[MAX_TABLE_PAGES];
static unsigned table_count;

static volatile char *table_page(uint64_t address)
{
    uint64_t n = address >> PAGE_SHIFT;
    for (unsigned i = 0; i < table_count; i++)
        if (tables[i].mfn == n)
            return tables[i].va;
    if (table_count == MAX_TABLE_PAGES)
        return NULL;
    tables[table_count].va = map_device(n << PAGE_SHIFT, PAGE_SIZE);
    tables[table_count].mfn = n;
    return tables[table_count++].va;
}

bool msi_owns_frame(uint64_t n)
{
    for (unsigned i = 0; i < load_acquire(&table_count); i++)
        if (tables[i].mfn == n)
            return true;
    return false;
}

/* Machine address of a memory BAR, or 0. */
static uint64_t bar_address(uint32_t sbdf, unsigned index)
{
    if (index > 5)
        return 0;
    uint32_t low = pci_read(sbdf, PCI_BAR0 + 4 * index, 4);
    if (low & 1)
        return 0;
    uint64_t high = (low & 6) == 4 && index < 5 ? pci_read(sbdf, PCI_BAR0 + 4 * index + 4, 4) : 0;
    return high << 32 | (low & ~0xfu);
}

static int open_msix(struct msi_source *s, uint64_t table)
{
    unsigned cap = pci_find_capability(s->sbdf, PCI_CAP_MSIX);
    if (!cap)
        return -XEN_ENODEV;
    uint32_t control = pci_read(s->sbdf, cap + 2, 2), where = pci_read(s->sbdf, cap + 4, 4);
    uint64_t bar = bar_address(s->sbdf, where & 7);
    if (s->entry > (control & MSIX_SIZE) || !bar || bar != table)
        return -XEN_EINVAL;
    uint64_t address = bar + (where & ~7u) + (uint64_t)s->entry * MSIX_ENTRY_SIZE;
    volatile char *page = table_page(address);
    if (!page)
        return -XEN_ENOSPC;
    s->msix = true;
    s->capability = cap;
    s->vector = (volatile uint32_t *)(page + (address & ~PAGE_MASK));
    return 0;
}

int msi_open(struct msi_source *s, uint32_t sbdf, unsigned entry, uint64_t table)
{
    *s = (struct msi_source){.sbdf = sbdf, .entry = entry};
    if ((pci_read(sbdf, 0, 4) & 0xffff) == 0xffff)
        return -XEN_ENODEV;
    if (table) {
        int error = open_msix(s, table);
        if (error)
            return error;
        /* The table is memory of the device: it answers only when decoding is on. */
        uint32_t command = pci_read(sbdf, PCI_COMMAND, 2);
        if (!(command & PCI_COMMAND_MEMORY))
            return -XEN_ENXIO;
    } else {
        s->capability = pci_find_capability(sbdf, PCI_CAP_MSI);
        if (!s->capability)
            return -XEN_ENODEV;
    }
    return 0;
}

void msi_write(const struct msi_source *s, uint8_t vector, uint32_t apic_id)
{
    uint32_t address = MESSAGE_ADDRESS | (apic_id & 0xff) << 12;
    if (s->msix) {
        uint32_t was = s->vector[3];
        s->vector[3] = was | 1; /* no message while it is half written */
        s->vector[0] = address;
        s->vector[1] = 0;
        s->vector[2] = vector;
        s->vector[3] = was;
        return;
    }
    uint32_t control = pci_read(s->sbdf, s->capability + 2, 2);
    pci_write(s->sbdf, s->capability + 2, 2, control & ~(uint32_t)MSI_MULTIPLE);
    pci_write(s->sbdf, s->capability + 4, 4, address);
    if (control & MSI_64BIT) {
        pci_write(s->sbdf, s->capability + 8, 4, 0);
        pci_write(s->sbdf, s->capability + 12, 2, vector);
    } else {
        pci_write(s->sbdf, s->capability + 8, 2, vector);
    }
}

void msi_mask(const struct msi_source *s, bool masked)
{
    if (s->msix) {
        s->vector[3] = (s->vector[3] & ~1u) | masked;
        return;
    }
    uint32_t control = pci_read(s->sbdf, s->capability + 2, 2);
    if (!(control & MSI_MASKABLE))
        return; /* nothing to mask with; an unbound vector is dropped on arrival */
    unsigned at = s->capability + (control & MSI_64BIT ? 16 : 12);
    uint32_t bits = pci_read(s->sbdf, at, 4);
    pci_write(s->sbdf, at, 4, (bits & ~1u) | masked);
}

void msi_close(struct msi_source *s)
{
    msi_mask(s, true);
    if (!s->msix) {
        uint32_t control = pci_read(s->sbdf, s->capability + 2, 2);
        pci_write(s->sbdf, s->capability + 2, 2, control & ~(uint32_t)MSI_ENABLE);
    }
}
