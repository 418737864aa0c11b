/* SPDX-License-Identifier: MIT */
/* Physical interrupts as their domain numbers them: which GSI or MSI each pirq stands for. */
#ifndef CORE_PIRQ_H
#define CORE_PIRQ_H

#include "core/domain.h"
#include "core/irq.h"

/* PIRQ_TAKEN: a GSI that the hypervisor uses itself. Kernels map all ISA interrupts at boot and
 * complain when one fails, so mapping succeeds; binding does not. */
enum pirq_kind { PIRQ_NONE, PIRQ_RESERVED, PIRQ_TAKEN, PIRQ_GSI, PIRQ_MSI };

/* Under the domain's event_lock; port is read without (event.c). */
struct pirq {
    uint8_t kind;
    uint16_t port;   /* bound to, or 0 */
    uint32_t source; /* GSI, or sbdf */
};

int pirq_init_domain(struct domain *d);
void pirq_teardown_domain(struct domain *d);

/* Make GSI `gsi` known as *pirq (-1: choose). Mapping it again as it is, is no error. 0, -EINVAL,
 * -EEXIST (the number or the GSI is otherwise used), or irq_bind_gsi's. */
int pirq_map_gsi(struct domain *d, int *pirq, unsigned gsi);
/* Make one MSI (table 0) or MSI-X vector of a function known as *pirq (-1: choose). */
int pirq_map_msi(struct domain *d, int *pirq, uint32_t sbdf, unsigned entry, uint64_t table);
/* 0, -EINVAL, -EBUSY (bound to an event channel). */
int pirq_unmap(struct domain *d, int pirq);
/* Set a free number aside. 0, -ENOSPC. */
int pirq_reserve(struct domain *d, unsigned *pirq);

/* PHYSDEVOP_pirq_eoi_gmfn_v2: this frame of d tells, a bit a pirq, which need PHYSDEVOP_eoi. 0,
 * -EBUSY, -EINVAL. */
int pirq_set_eoi_page(struct domain *d, mfn_t m);
/* The trigger mode of a GSI was set: its interrupt may need an EOI now. */
void pirq_gsi_changed(struct domain *d, unsigned gsi);
/* With event_lock: write pirq's bit there, if there is such a page. */
void pirq_update_eoi_bit(struct domain *d, unsigned pirq);

#endif
