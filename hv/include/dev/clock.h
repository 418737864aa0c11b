/* SPDX-License-Identifier: MIT */
/* Clocks of the platform: a reference to calibrate against, short delays, the CMOS clock. */
#ifndef DEV_CLOCK_H
#define DEV_CLOCK_H

#include "base/types.h"

/* Busy-wait at least this long; before clock_init by port accesses, which take about a microsecond.
 */
void clock_delay_us(unsigned us);

/* Seconds since 1970 (UTC) of the CMOS clock; 0 when it gives no sound date. */
uint64_t cmos_read_seconds(void);

/* A free-running counter: hpet.c, pmtimer.c, pit.c. */
struct reference_clock {
    const char *name;
    uint64_t hz;
    uint64_t mask; /* counts wrap to 0 after this */
    uint64_t (*read)(void);
};
/* Each fills *c and starts its counter, or returns false. */
bool hpet_reference(struct reference_clock *c);
bool pmtimer_reference(struct reference_clock *c);
bool pit_reference(struct reference_clock *c);

#endif
