/* SPDX-License-Identifier: MIT */
/* Timers of the hypervisor: one heap a CPU; a callback runs on the CPU that the timer was set on. */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include "base/types.h"

struct timer {
    uint64_t deadline; /* system time, ns */
    void (*fn)(void *arg);
    void *arg;
    unsigned cpu;     /* on whose heap */
    unsigned index;   /* place in the heap + 1; 0: not set */
    unsigned running; /* CPUs that are in its callback */
};

void timer_init(struct timer *t, void (*fn)(void *arg), void *arg);
/* (Re)arm on the calling CPU; a deadline in the past fires at once (at the next interrupt window). Returns
 * -ENOMEM when the heap cannot grow. */
int timer_set(struct timer *t, uint64_t deadline);
/* After this returns the callback does not run (unless set again). Not from its own callback's lock. */
void timer_stop(struct timer *t);
/* Run what is due on this CPU and program the next hardware deadline; VECTOR_TIMER's handler. */
void timer_interrupt(void);
/* Program the hardware anew after this CPU's slice changed. */
void timer_reprogram(void);

#endif
