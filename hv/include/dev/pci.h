/* SPDX-License-Identifier: MIT */
/* PCI registers that the hypervisor knows (PCI local bus specification 3.0, 6.1, 6.7, 6.8). */
#ifndef DEV_PCI_H
#define DEV_PCI_H

#include "base/types.h"

#define PCI_COMMAND             0x04
#define PCI_COMMAND_MEMORY      0x0002
#define PCI_STATUS              0x06
#define PCI_STATUS_CAPABILITIES 0x0010
#define PCI_BAR0                0x10
#define PCI_CAPABILITIES        0x34

#define PCI_CAP_MSI  0x05
#define PCI_CAP_MSIX 0x11

#define MSI_ENABLE    0x0001
#define MSI_MULTIPLE  0x0070 /* messages enabled, as a power of two */
#define MSI_64BIT     0x0080
#define MSI_MASKABLE  0x0100
#define MSIX_SIZE     0x07ff /* entries - 1 */
#define MSIX_MASK_ALL 0x4000
#define MSIX_ENABLE   0x8000

/* Offset of a capability in configuration space, or 0. */
unsigned pci_find_capability(uint32_t sbdf, uint8_t id);

/* Point a page that map_device returned elsewhere (hv/x86/paging.c); each CPU drops its translation
 * itself. */
void remap_device_page(volatile void *page, uint64_t address);

#endif
