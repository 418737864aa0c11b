/* SPDX-License-Identifier: MIT */
/* The two halves of the seam in a guest: store.c speaks with the store, devices.c with the rest. See seam.h. */
#ifndef SHM_DEVICES_H
#define SHM_DEVICES_H

#include "seam.h"

struct store;
int store_open(struct store **out);
void store_close(struct store *s);
int store_fd(struct store *s);
int store_read(struct store *s, const char *path, char *value, size_t room);
int store_list(struct store *s, const char *path, char *names, size_t room);
int store_write(struct store *s, const char *path, const char *value);
int store_remove(struct store *s, const char *path);
int store_share(struct store *s, const char *path, uint32_t owner, const uint32_t *readers,
                size_t n);
int store_watch(struct store *s, const char *path, const char *token, bool on);
bool store_pending(struct store *s);
int store_event(struct store *s, char *path, char *token, size_t room);

#endif
