/* SPDX-License-Identifier: MIT */
/*
 * Ctrl-C while something is half done: the signals are noted, and whoever is at work looks from
 * time to time and undoes what it has begun.
 */
#ifndef LIBPAL_INTERRUPT_H
#define LIBPAL_INTERRUPT_H

#include "libpal/error.h"

/* From now on SIGINT, SIGTERM and SIGHUP are only noted, and system calls that wait for them fail
 * with EINTR. What was noted before is forgotten. */
void pal_interrupt_catch(void);
/* They act again as they did before. */
void pal_interrupt_release(void);

/* The signal that came, or 0. */
int pal_interrupt_signal(void);
/* -1 with PAL_SYS_INTERRUPTED when one came, otherwise 0. */
int pal_interrupt_check(struct pal_error *e);

#endif
