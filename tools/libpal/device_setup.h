/* SPDX-License-Identifier: MIT */
/* Inside libpal: one device set up in domain 0, and given back. */
#ifndef LIBPAL_DEVICE_SETUP_H
#define LIBPAL_DEVICE_SETUP_H

#include "libpal/device.h"

/* Set up domain 0's side; *d says what it became. On failure nothing is left of it. */
int device_setup_disk(struct pal *p, uint32_t id, const struct pal_disk *disk, struct pal_device *d,
                      struct pal_error *e);
int device_setup_nic(struct pal *p, uint32_t id, const struct pal_nic *nic, struct pal_device *d,
                     struct pal_error *e);
/* Give devices back, whatever their domain does. */
void device_give_back(struct pal *p, const struct pal_device *list, int count);

#endif
