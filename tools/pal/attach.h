/* SPDX-License-Identifier: MIT */
/* A domain's console on this terminal. */
#ifndef PAL_ATTACH_H
#define PAL_ATTACH_H

#include "libpal/domain.h"

/* Why it is over. */
enum attach_end {
    ATTACH_LEFT,   /* Ctrl-] was typed, or input ended */
    ATTACH_ENDED,  /* the domain has ended, or is gone */
    ATTACH_SIGNAL, /* libpal/interrupt.h says which */
    ATTACH_LATE,   /* the time is over */
    ATTACH_LOST,   /* xenconsoled has let go of it */
};

struct attach {
    bool stay;    /* the end of input is not the end */
    double until; /* verb_now() says; 0: without end */
};

/* Returns an attach_end, or -1. Waits some seconds for xenconsoled. The caller catches
 * interrupts; without that, a signal ends the program. */
int attach_console(struct pal *p, uint32_t id, const struct attach *a, struct pal_error *e);

#endif
