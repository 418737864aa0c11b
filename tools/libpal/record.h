/* SPDX-License-Identifier: MIT */
/*
 * Our own record of each running domain, under /run/pal: what the store says may have been written
 * by the guest, this not. It holds the domain's file as it was given, and outlives pal, so that a
 * domain can be made again when it reboots.
 */
#ifndef LIBPAL_RECORD_H
#define LIBPAL_RECORD_H

#include "libpal/config.h"

int pal_record_write(uint32_t id, const struct pal_config *c, struct pal_error *e);
int pal_record_read(uint32_t id, struct pal_config *c, struct pal_error *e);
void pal_record_remove(uint32_t id);

/* Keep it when it has ended, whatever its file says: somebody (pal run) waits for the end. */
int pal_record_keep(uint32_t id, struct pal_error *e);
void pal_record_release(uint32_t id);
bool pal_record_is_kept(uint32_t id);

/* The path of a file of ours in that directory, which is made when it is not there. */
void pal_record_path(char *path, size_t room, const char *name);

#endif
