/* SPDX-License-Identifier: MIT */
/*
 * Our own record of each running domain, under /run/pal: what the store says may have been written
 * by the guest, this not. It holds the domain's file, with what was made up for it (<uuid>, MACs), and
 * beside it a name given later; it outlives pal, so that a domain can be made again, as the same
 * one, when it reboots.
 */
#ifndef LIBPAL_RECORD_H
#define LIBPAL_RECORD_H

#include "libpal/config.h"

int pal_record_write(uint32_t id, const struct pal_config *c, struct pal_error *e);
int pal_record_read(uint32_t id, struct pal_config *c, struct pal_error *e);
void pal_record_remove(uint32_t id);
/* It has another name now; nothing to do for a domain that has no record. */
int pal_record_rename(uint32_t id, const char *before, const char *name, struct pal_error *e);
/* The name that it was made with: its console's log is called so. False: it has had no other. */
bool pal_record_first_name(uint32_t id, char name[PAL_NAME_MAX + 1]);

/* Keep it when it has ended, whatever its file says: this process (pal run) waits for the end, and
 * as long as it lives nobody else sees to it. */
int pal_record_keep(uint32_t id, struct pal_error *e);
void pal_record_release(uint32_t id);
bool pal_record_is_kept(uint32_t id);

/* Wait for the one lock of that name (a domain's number, "devices") and hold it. Returns what
 * pal_record_unlock() takes; -1 and the error when there can be no lock. */
int pal_record_lock(const char *name, struct pal_error *e);
void pal_record_unlock(int lock);

/* The path of a file of ours in that directory, which is made when it is not there. */
void pal_record_path(char *path, size_t room, const char *name);

#endif
