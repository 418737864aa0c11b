/* SPDX-License-Identifier: MIT */
/* The local APIC beyond what dev.h and cpu.h name. */
#ifndef DEV_LAPIC_H
#define DEV_LAPIC_H

#include "base/types.h"

/* Choose xAPIC or x2APIC and map it; once, on the boot CPU, before lapic_id. */
void lapic_init(void);
void lapic_nmi_others(void);
/* INIT without startup: holds a CPU that did not come up. */
void lapic_init_other(uint32_t apic_id);

/* The timer in counts, for calibration. */
void lapic_timer_start_max(void);
uint32_t lapic_timer_count(void);
extern uint64_t lapic_timer_hz; /* counts a second; set by clock_init */

#endif
