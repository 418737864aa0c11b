/* SPDX-License-Identifier: MIT */
/* Inside libpal: a device's two halves in the store, and its backend in domain 0's kernel. */
#ifndef LIBPAL_DEVICE_NODE_H
#define LIBPAL_DEVICE_NODE_H

#include "libpal/device.h"

#include <sys/types.h>

#define DEVICE_PATH 96

/* "/local/domain/0/backend/vbd/3/51712" and what is under it. */
void device_back(const struct pal_device *d, char path[DEVICE_PATH]);

/* Publish both halves. For the kernel's backend `physical` is the disk's block device; for pal-blkd the
 * device's backings are published. */
int device_publish(struct pal *p, const struct pal_device *d, dev_t physical, struct pal_error *e);
/* Remove both, and what the drivers said about errors. */
void device_withdraw(struct pal *p, const struct pal_device *d);

/* The state that its backend is in; 0 (unknown) when there is none. */
unsigned device_state(struct pal *p, const struct pal_device *d);
/* Does a backend in domain 0 have it: a driver's device, or pal-blkd's mark? */
bool device_has_backend(struct pal *p, const struct pal_device *d);
/* What the backend says is wrong; NULL: nothing. To be freed. */
char *device_complaint(struct pal *p, const struct pal_device *d);

/* Whatever is left of a domain's in domain 0's part of the store. */
void device_forget_domain(struct pal *p, uint32_t id);

/* All that all domains have: visit() is called for each, false ends it. Returns false when it
 * was ended so. */
bool device_each(struct pal *p, bool (*visit)(const struct pal_device *d, void *data), void *data);

#endif
