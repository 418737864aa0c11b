/* SPDX-License-Identifier: MIT */
/* Inside libpal: does what a device needs go together with what others have already? */
#ifndef LIBPAL_DEVICE_USE_H
#define LIBPAL_DEVICE_USE_H

#include "libpal/device.h"

/* Both with the lock "devices" held, so that what is free now is still free when it is published. */

/* A disk may have one writer, or any number of readers: domains, and loop devices of domain 0.
 * source: the file or block device, opened; *backing says what it is. p: NULL where there are no domains. */
int device_check_disk(struct pal *p, const char *path, int source, bool read_only,
                      struct pal_backing *backing, struct pal_error *e);
/* No two interfaces have the same MAC or the same <ip>. */
int device_check_nic(struct pal *p, const struct pal_nic *nic, struct pal_error *e);

#endif
