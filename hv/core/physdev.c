/* SPDX-License-Identifier: MIT */
/*
 * HYPERVISOR_physdev_op: domain 0 names its devices' interrupts and acknowledges them. The
 * hypervisor owns the interrupt controllers and composes all MSI messages itself. Other domains may
 * only set their virtual I/O rights.
 */
#include "core/event.h"
#include "core/hypercall.h"
#include "core/irq.h"
#include "dev/dev.h"
#include "pirq.h"
#include <xen/physdev.h>

#define IO_PORTS         65536
#define MSIX_MAX_ENTRIES 2048

typedef long physdev_fn(struct vcpu *v, uint64_t arg_va);

static long op_eoi(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_eoi op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.irq >= MAX_PIRQS)
        return -XEN_EINVAL;
    irq_guest_eoi(v->domain, op.irq);
    return 0;
}

static long op_irq_status_query(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_irq_status_query op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.irq >= MAX_PIRQS)
        return -XEN_EINVAL;
    op.flags = irq_needs_eoi(v->domain, op.irq) ? XENIRQSTAT_needs_eoi : 0;
    return copy_to_guest(arg_va, &op, sizeof(op)) ? -XEN_EFAULT : 0;
}

static long op_pirq_eoi_page(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_pirq_eoi_gmfn op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    return pirq_set_eoi_page(v->domain, mfn(op.gmfn));
}

static long op_set_iopl(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_set_iopl op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.iopl > 3)
        return -XEN_EINVAL;
    v->iopl = (uint8_t)op.iopl;
    return 0;
}

static long op_set_iobitmap(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_set_iobitmap op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.nr_ports > IO_PORTS)
        return -XEN_EINVAL;
    if (!guest_range_ok((uint64_t)op.bitmap.p, DIV_ROUND_UP(op.nr_ports, 8)))
        return -XEN_EFAULT;
    v->iobmp = op.bitmap.p;
    v->iobmp_limit = op.nr_ports;
    return 0;
}

/* Linux asks for the identity, version and size of each I/O APIC. */
static long op_apic_read(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_apic op;
    (void)v;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.reg > 0xff)
        return -XEN_EINVAL;
    for (unsigned i = 0; i < acpi_ioapic_count; i++) {
        if (acpi_ioapics[i].address != op.apic_physbase)
            continue;
        op.value = ioapic_read(i, (uint8_t)op.reg);
        return copy_to_guest(arg_va, &op, sizeof(op)) ? -XEN_EFAULT : 0;
    }
    return -XEN_EINVAL;
}

/* Kernels still ask for a vector before they map a GSI; the number means nothing any more. */
static long op_alloc_irq_vector(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_irq op;
    (void)v;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.irq >= MAX_PIRQS)
        return -XEN_EINVAL;
    op.vector = op.irq;
    return copy_to_guest(arg_va, &op, sizeof(op)) ? -XEN_EFAULT : 0;
}

static long op_free_irq_vector(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_irq op;
    (void)v;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    return op.vector < MAX_PIRQS ? 0 : -XEN_EINVAL;
}

/* Only the caller's own interrupts, as yet. */
static int check_owner(struct vcpu *v, domid_t domid)
{
    if (domid == DOMID_SELF || domid == v->domain->mm.id)
        return 0;
    struct domain *d = domain_get(domid);
    if (!d)
        return -XEN_ESRCH;
    domain_put(d);
    return -XEN_EPERM;
}

static int map_msi(struct domain *d, struct physdev_map_pirq *op)
{
    uint32_t bus = (uint32_t)op->bus, segment = bus >> 16;
    bus &= 0xffff;
    if (op->type == MAP_PIRQ_TYPE_MSI && segment)
        return -XEN_EINVAL;
    if (op->type == MAP_PIRQ_TYPE_MULTI_MSI) {
        /* Several messages need consecutive vectors; drivers go on with one. */
        if (op->entry_nr != 1)
            return -XEN_EOPNOTSUPP;
        op->entry_nr = 0;
        op->table_base = 0;
    }
    if (bus > 0xff || op->devfn < 0 || op->devfn > 0xff || op->entry_nr < 0 ||
        op->entry_nr >= MSIX_MAX_ENTRIES)
        return -XEN_EINVAL;
    uint32_t sbdf = segment << 16 | bus << 8 | (uint32_t)op->devfn;
    return pirq_map_msi(d, &op->pirq, sbdf, (unsigned)op->entry_nr, op->table_base);
}

static long op_map_pirq(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_map_pirq op;
    struct domain *d = v->domain;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    int result = check_owner(v, op.domid);
    if (result)
        return result;
    bool given = op.pirq >= 0;
    switch (op.type) {
    case MAP_PIRQ_TYPE_GSI:
        result = op.index < 0 ? -XEN_EINVAL : pirq_map_gsi(d, &op.pirq, (unsigned)op.index);
        break;
    case MAP_PIRQ_TYPE_MSI:
    case MAP_PIRQ_TYPE_MSI_SEG:
    case MAP_PIRQ_TYPE_MULTI_MSI:
        result = map_msi(d, &op);
        break;
    default:
        result = -XEN_EINVAL;
    }
    if (result || !copy_to_guest(arg_va, &op, sizeof(op)))
        return result;
    if (!given)
        (void)pirq_unmap(d, op.pirq); /* the caller cannot know the number */
    return -XEN_EFAULT;
}

static long op_unmap_pirq(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_unmap_pirq op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    int result = check_owner(v, op.domid);
    return result ? result : pirq_unmap(v->domain, op.pirq);
}

static long op_get_free_pirq(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_get_free_pirq op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.type != MAP_PIRQ_TYPE_MSI && op.type != MAP_PIRQ_TYPE_GSI)
        return -XEN_EINVAL;
    int result = pirq_reserve(v->domain, &op.pirq);
    if (result)
        return result;
    if (!copy_to_guest(arg_va, &op, sizeof(op)))
        return 0;
    (void)pirq_unmap(v->domain, (int)op.pirq);
    return -XEN_EFAULT;
}

static long op_setup_gsi(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_setup_gsi op;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.gsi < 0 || (unsigned)op.gsi >= irq_gsi_count() || op.triggering > 1 || op.polarity > 1)
        return -XEN_EINVAL;
    int result = irq_setup_gsi((unsigned)op.gsi, op.triggering, op.polarity);
    if (!result)
        pirq_gsi_changed(v->domain, (unsigned)op.gsi);
    return result;
}

/* The hypervisor keeps no list of devices while all belong to domain 0: what it needs of one it
 * reads when an interrupt is mapped. So a report of a device is only checked for its form. */
static long op_pci_device_add(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_pci_device_add op;
    (void)v;
    if (copy_from_guest(&op, arg_va, offsetof(struct physdev_pci_device_add, optarr)))
        return -XEN_EFAULT;
    return op.flags & ~(uint32_t)(XEN_PCI_DEV_EXTFN | XEN_PCI_DEV_VIRTFN | XEN_PCI_DEV_PXM)
               ? -XEN_EINVAL
               : 0;
}

static long op_pci_device(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_pci_device op;
    (void)v;
    return copy_from_guest(&op, arg_va, sizeof(op)) ? -XEN_EFAULT : 0;
}

static long op_manage_pci(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_manage_pci op;
    (void)v;
    return copy_from_guest(&op, arg_va, sizeof(op)) ? -XEN_EFAULT : 0;
}

static long op_manage_pci_add_ext(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_manage_pci_ext op;
    (void)v;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    return op.is_extfn > 1 || op.is_virtfn > 1 ? -XEN_EINVAL : 0;
}

/* Domain 0 found a configuration window reserved; only those of the MCFG table are known here. */
static long op_pci_mmcfg_reserved(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_pci_mmcfg_reserved op;
    (void)v;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.flags & ~(uint32_t)XEN_PCI_MMCFG_RESERVED)
        return -XEN_EINVAL;
    for (unsigned i = 0; i < acpi_mcfg_count; i++)
        if (acpi_mcfg[i].address == op.address && acpi_mcfg[i].segment == op.segment)
            return 0;
    return -XEN_ENODEV;
}

/* The EHCI debug port is not the hypervisor's console: domain 0 may reset its controller at will.
 */
static long op_dbgp(struct vcpu *v, uint64_t arg_va)
{
    struct physdev_dbgp_op op;
    (void)v;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    return op.op == PHYSDEVOP_DBGP_RESET_PREPARE || op.op == PHYSDEVOP_DBGP_RESET_DONE
               ? 0
               : -XEN_EINVAL;
}

static const struct {
    physdev_fn *fn;
    bool anyone;
} ops[] = {
    [PHYSDEVOP_irq_status_query] = {op_irq_status_query, false},
    [PHYSDEVOP_set_iopl] = {op_set_iopl, true},
    [PHYSDEVOP_set_iobitmap] = {op_set_iobitmap, true},
    [PHYSDEVOP_apic_read] = {op_apic_read, false},
    [PHYSDEVOP_alloc_irq_vector] = {op_alloc_irq_vector, false},
    [PHYSDEVOP_free_irq_vector] = {op_free_irq_vector, false},
    [PHYSDEVOP_eoi] = {op_eoi, false},
    [PHYSDEVOP_map_pirq] = {op_map_pirq, false},
    [PHYSDEVOP_unmap_pirq] = {op_unmap_pirq, false},
    [PHYSDEVOP_manage_pci_add] = {op_manage_pci, false},
    [PHYSDEVOP_manage_pci_remove] = {op_manage_pci, false},
    [PHYSDEVOP_manage_pci_add_ext] = {op_manage_pci_add_ext, false},
    [PHYSDEVOP_setup_gsi] = {op_setup_gsi, false},
    [PHYSDEVOP_get_free_pirq] = {op_get_free_pirq, false},
    [PHYSDEVOP_pci_mmcfg_reserved] = {op_pci_mmcfg_reserved, false},
    [PHYSDEVOP_pci_device_add] = {op_pci_device_add, false},
    [PHYSDEVOP_pci_device_remove] = {op_pci_device, false},
    [PHYSDEVOP_pirq_eoi_gmfn_v2] = {op_pirq_eoi_page, false},
    [PHYSDEVOP_dbgp_op] = {op_dbgp, false},
    [PHYSDEVOP_prepare_msix] = {op_pci_device, false},
    [PHYSDEVOP_release_msix] = {op_pci_device, false},
};

long do_physdev_op(struct vcpu *v, uint64_t cmd, uint64_t arg_va, uint64_t a3, uint64_t a4,
                   uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    uint32_t n = (uint32_t)cmd;
    bool known = n < ARRAY_SIZE(ops) && ops[n].fn;
    if (!v->domain->mm.privileged && !(known && ops[n].anyone))
        return -XEN_EPERM;
    return known ? ops[n].fn(v, arg_va) : -XEN_ENOSYS;
}
