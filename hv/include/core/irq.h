/* SPDX-License-Identifier: MIT */
/*
 * Physical interrupts: hv/dev/irq.c owns vectors and the descriptors; I/O APIC pins and MSIs are its
 * sources. An interrupt belongs to the hypervisor or to one guest's pirq.
 */
#ifndef CORE_IRQ_H
#define CORE_IRQ_H

#include "base/types.h"
#include "x86/regs.h"

struct domain;

typedef void vector_handler(struct regs *regs);
/* The handler of every vector from 0x20 on; set at boot. The common entry acknowledges the local APIC
 * where the handler does not (device vectors do it themselves: level interrupts are held until EOI). */
extern vector_handler *vector_handlers[256];

/* Called by hv/x86/traps.c for every external interrupt. */
void irq_dispatch(struct regs *regs);

/* --- for hv/core/physdev.c --- */
/* Bind the GSI (I/O APIC pin) to d as pirq; level/low as the guest told by setup_gsi. 0, -EINVAL, -EBUSY... */
int irq_setup_gsi(unsigned gsi, bool level, bool active_low);
int irq_bind_gsi(struct domain *d, unsigned pirq, unsigned gsi);
/* Bind one MSI or MSI-X vector of a PCI function (sbdf: segment<<16 | bus<<8 | devfn) to d as pirq; entry: the MSI-X
 * entry, table: its BAR's machine address, or 0 for MSI. The hypervisor writes the message itself. */
int irq_bind_msi(struct domain *d, unsigned pirq, uint32_t sbdf, unsigned entry, uint64_t table);
int irq_unbind(struct domain *d, unsigned pirq);
/* The guest's handler is done: unmask / EOI. */
void irq_guest_eoi(struct domain *d, unsigned pirq);
/* Does the pirq need an explicit EOI (level)? */
bool irq_needs_eoi(struct domain *d, unsigned pirq);
/* The guest bound/unbound the pirq to an event channel: enable or mask the source. */
int irq_startup(struct domain *d, unsigned pirq);
void irq_shutdown(struct domain *d, unsigned pirq);
/* Move the delivery to the CPU where the event's vCPU runs (best effort). */
void irq_set_cpu(struct domain *d, unsigned pirq, unsigned cpu);
unsigned irq_gsi_count(void);

#define MAX_PIRQS 1024

#endif
