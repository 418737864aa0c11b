/* SPDX-License-Identifier: MIT */
/* Do Debian's daemons run? */
#ifndef LIBPAL_DAEMON_H
#define LIBPAL_DAEMON_H

#include "libpal/error.h"

/* A process of that name (15 characters at most count). */
bool pal_daemon_runs(const char *name);
/* The console daemon: nobody else empties the consoles' rings, and a guest whose ring is full waits
 * without end. PAL_CON_DAEMON when it does not run. */
int pal_daemon_need_console(struct pal_error *e);
/* The backend of images. PAL_DEV_DAEMON when it does not run. */
int pal_daemon_need_blkd(struct pal_error *e);

#endif
