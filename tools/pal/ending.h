/* SPDX-License-Identifier: MIT */
/* What follows when a domain has ended: on_poweroff, on_reboot, on_crash of its file. */
#ifndef PAL_ENDING_H
#define PAL_ENDING_H

#include "libpal/domain.h"

/* Does `pal watch` run? Then it sees to domains that have ended. */
bool ending_is_watched(void);
/* Become the watcher: -1 when there is one already, or on failure. Held until the end. */
int ending_watch(struct pal_error *e);

/* What its description says to do after such an end. */
enum pal_action ending_action(const struct pal_config *c,
                              const struct xen_domctl_getdomaininfo *info);

/* The domain has ended: destroy it, make it anew, or leave it, as its record says; *action says
 * which. Returns 1 when it is somebody else's to see to. */
int ending_handle(struct pal *p, uint32_t id, const struct xen_domctl_getdomaininfo *info,
                  enum pal_action *action, struct pal_error *e);

#endif
