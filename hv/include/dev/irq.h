/* SPDX-License-Identifier: MIT */
/* Interrupts inside hv/dev; what the rest uses is core/irq.h. */
#ifndef DEV_IRQ_H
#define DEV_IRQ_H

#include "core/irq.h"

/* Mask the 8259s, set the handlers of the hypervisor's own vectors. */
void irq_init(void);
/* An interrupt of the hypervisor's own, by ISA number (overrides applied). 0, -EBUSY, -EINVAL. */
int irq_request_isa(unsigned isa_irq, void (*handler)(void));

/* --- ioapic.c --- */
struct ioapic_route {
    uint8_t vector;
    bool level, active_low, masked;
    uint32_t apic_id; /* destination */
};
bool ioapic_has_gsi(unsigned gsi);
unsigned ioapic_gsi_limit(void);
void ioapic_write_route(unsigned gsi, const struct ioapic_route *r);

/* --- msi.c --- */
struct msi_source {
    uint32_t sbdf;
    bool msix;
    unsigned entry;            /* MSI-X */
    unsigned capability;       /* offset in configuration space */
    volatile uint32_t *vector; /* MSI-X: its four words */
};
/* Find the capability and, for MSI-X, map the entry of the table that the device's own BAR names;
 * `table`, what domain 0 believes to be that BAR, must agree. 0, -ENODEV, -EINVAL, -ENOMEM. The
 * device is not touched: the source may be another's, in use. */
int msi_open(struct msi_source *s, uint32_t sbdf, unsigned entry, uint64_t table);
void msi_write(const struct msi_source *s, uint8_t vector, uint32_t apic_id);
void msi_mask(const struct msi_source *s, bool masked);
/* Forget: message cleared, and MSI switched off. */
void msi_close(struct msi_source *s);
/* Does this frame hold an MSI-X table in use (domain 0 may read it only)? */
bool msi_owns_frame(uint64_t mfn);

#endif
