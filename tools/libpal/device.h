/* SPDX-License-Identifier: MIT */
/*
 * Virtual disks and network interfaces: the nodes that the stock backends (blkback, netback) and
 * the guest's drivers look for, and what domain 0 has to do for them: loop devices for disks that
 * are files, bridge ports for interfaces.
 */
#ifndef LIBPAL_DEVICE_H
#define LIBPAL_DEVICE_H

#include "libpal/domain.h"

/* Before the domain runs: set up everything that its description lists. */
int pal_devices_attach(struct pal *p, uint32_t id, const struct pal_config *c, struct pal_error *e);
/* After its end (or a failed start): give back what was set up. */
void pal_devices_release(struct pal *p, uint32_t id);

#endif
