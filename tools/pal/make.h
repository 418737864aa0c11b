/* SPDX-License-Identifier: MIT */
/* Making a domain from its description: what create, run and the watcher (on_reboot) share. */
#ifndef PAL_MAKE_H
#define PAL_MAKE_H

#include "libpal/domain.h"

/* All that can be checked without making it: daemons, name, memory, devices, kernel. */
int make_check(struct pal *p, const struct pal_config *c, struct pal_error *e);
/* Make it, paused, showing how far it is. Returns its number; on failure, and when it is
 * interrupted (the caller catches that: libpal/interrupt.h), nothing is left of it. */
int make_domain(struct pal *p, const struct pal_config *c, struct pal_error *e);

/* Is the disk an overlay that is not there yet? It comes into being with the domain. */
bool make_has_overlay_to_make(const struct pal_disk *disk);

#endif
