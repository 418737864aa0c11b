/* SPDX-License-Identifier: MIT */
/* Inside libpal: domain 0's own side of devices, by ioctl: loop devices and bridges. */
#ifndef LIBPAL_DEVICE_HOST_H
#define LIBPAL_DEVICE_HOST_H

#include "libpal/device.h"

#include <sys/types.h>

/* The disk's source, opened as it will be used: a file, or a block device that domain 0 itself does
 * not use when the domain may write to it. */
int pal_host_open_source(const struct pal_disk *disk, struct pal_error *e);
/* From that descriptor one that keeps the disk's block device in being, and its number. A file gets
 * a loop device that ends when nobody has it open any more. The first descriptor is given up. */
int pal_host_open_disk(int source, const struct pal_disk *disk, dev_t *device, struct pal_error *e);
/* What a block device stands for; a loop device for its file. */
struct pal_backing pal_host_backing(dev_t device, bool read_only);
/* Make the overlay when there is none yet. */
int pal_host_make_overlay(const struct pal_disk *disk, struct pal_error *e);
/* What a loop device stands for: the file's device and inode. False: it is none, or not bound. */
bool pal_host_loop_file(dev_t loop, dev_t *device, ino_t *inode, bool *read_only);

int pal_host_check_bridge(const char *bridge, struct pal_error *e);
/* Make the interface a port of the bridge, and bring it up. */
int pal_host_join_bridge(const char *interface, const char *bridge, struct pal_error *e);
/* Addresses that domain 0 has on it. Returns how many, `room` at most. */
unsigned pal_host_addresses(const char *bridge, struct pal_address *list, unsigned room);

#endif
