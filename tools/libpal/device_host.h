/* SPDX-License-Identifier: MIT */
/* Inside libpal: domain 0's own side of devices, by ioctl: loop devices and bridges. */
#ifndef LIBPAL_DEVICE_HOST_H
#define LIBPAL_DEVICE_HOST_H

#include "libpal/config.h"

#include <sys/types.h>

/* A descriptor that keeps the disk's block device in being, and its number. A file gets a loop
 * device that ends when nobody has it open any more. */
int pal_host_open_disk(const struct pal_disk *disk, dev_t *device, struct pal_error *e);

int pal_host_check_bridge(const char *bridge, struct pal_error *e);
/* Make the interface a port of the bridge, and bring it up. */
int pal_host_join_bridge(const char *interface, const char *bridge, struct pal_error *e);

#endif
