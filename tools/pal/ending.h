/* SPDX-License-Identifier: MIT */
/* What follows when a domain has ended: on_poweroff, on_reboot, on_crash of its file. */
#ifndef PAL_ENDING_H
#define PAL_ENDING_H

#include "libpal/domain.h"

/* Does `pal watch` run? Then it sees to domains that have ended. */
bool ending_is_watched(void);
/* Become the watcher: -1 when there is one already, or on failure. Held until the end. */
int ending_watch(struct pal_error *e);

/* The domain has ended: destroy it, make it anew, or leave it, as its record says. */
int ending_handle(struct pal *p, uint32_t id, const struct xen_domctl_getdomaininfo *info,
                  struct pal_error *e);

#endif
