/* SPDX-License-Identifier: MIT */
/*
 * Domain 0's writes to device memory that it may map only for reading: the PCI configuration space
 * in memory (filtered as writes through the ports are) and frames with registers that the
 * hypervisor owns, as MSI-X tables (dropped: the hypervisor composes all messages).
 */
#include "dev/dev.h"
#include "emulate.h"

/* Which function's configuration register lies at this machine address? False: none. */
static bool find_config(uint64_t address, uint32_t *sbdf, unsigned *reg)
{
    for (unsigned i = 0; i < acpi_mcfg_count; i++) {
        const struct acpi_mcfg *m = &acpi_mcfg[i];
        /* A window's address is that of bus 0, whether the window begins there or not. */
        uint64_t offset = address - m->address, bus = offset >> 20;
        if (address < m->address || bus < m->bus_first || bus > m->bus_last)
            continue;
        *sbdf = (uint32_t)m->segment << 16 | (uint32_t)(offset >> 12);
        *reg = offset & 0xfff;
        return true;
    }
    return false;
}

bool mmio_guest_write(struct vcpu *v, uint64_t va, unsigned size, uint64_t value)
{
    unsigned level, reg;
    uint32_t sbdf;

    if (!v->mm.d->privileged)
        return false;
    pte_t e = mm_walk(v->mm.kernel_root, va, &level);
    if (level != 1 || (e & (PTE_P | PTE_RW)) != PTE_P || frame_is_ram(pte_mfn(e)) ||
        env_iomem_access(v->mm.d, pte_mfn(e)) != ENV_IOMEM_READ_ONLY)
        return false;
    if (find_config((e & PTE_ADDR) | (va & ~PAGE_MASK), &sbdf, &reg) && size <= 4 &&
        pci_guest_may_write(sbdf, reg, size))
        pci_write(sbdf, reg, size, (uint32_t)value);
    return true;
}
