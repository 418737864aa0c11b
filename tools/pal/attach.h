/* SPDX-License-Identifier: MIT */
/* A domain's console on this terminal. */
#ifndef PAL_ATTACH_H
#define PAL_ATTACH_H

#include "libpal/domain.h"

/* Until Ctrl-] is typed, input ends, or the domain does. Waits some seconds for xenconsoled. */
int attach_console(struct pal *p, uint32_t id, struct pal_error *e);

#endif
