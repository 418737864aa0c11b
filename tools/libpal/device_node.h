/* SPDX-License-Identifier: MIT */
/* Inside libpal: a device's two halves in the store, and its backend in domain 0's kernel. */
#ifndef LIBPAL_DEVICE_NODE_H
#define LIBPAL_DEVICE_NODE_H

#include "libpal/device.h"

#include <sys/types.h>

#define DEVICE_PATH 96

/* "/local/domain/0/backend/vbd/3/51712" and what is under it. */
void device_back(const struct pal_device *d, char path[DEVICE_PATH]);

/* Publish both halves; physical is the disk's block device. */
int device_publish(struct pal *p, const struct pal_device *d, dev_t physical, struct pal_error *e);
/* Remove both, and what the drivers said about errors. */
void device_withdraw(struct pal *p, const struct pal_device *d);

/* The state that its backend is in; 0 (unknown) when there is none. */
unsigned device_state(struct pal *p, const struct pal_device *d);
/* Is there a driver's device for it in domain 0? */
bool device_has_backend(const struct pal_device *d);
/* What the backend says is wrong; NULL: nothing. To be freed. */
char *device_complaint(struct pal *p, const struct pal_device *d);

/* All that all domains have: visit() is called for each, false ends it. Returns false when it
 * was ended so. */
bool device_each(struct pal *p,
                 bool (*visit)(const struct pal_device *d, dev_t physical, void *data), void *data);

#endif
