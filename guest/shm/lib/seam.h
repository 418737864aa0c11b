/* SPDX-License-Identifier: MIT */
/*
 * What the library needs of the world: the store, doorbells, mapped pages, our own hypercall. In a guest these are the
 * kernel's devices (store.c, devices.c); tests put a world of their own in place of both.
 *
 * Functions return 0 or a count, or a negative errno.
 */
#ifndef SHM_SEAM_H
#define SHM_SEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEAM_PATH  512
#define SEAM_VALUE 1024

struct seam;

/* Opens what everything needs: the store. -ENOENT, -EACCES: no device, no permission. */
int seam_open(struct seam **s);
void seam_close(struct seam *s);

/* The store. Values are text without its end; reading puts a 0 behind. Paths may be relative to this domain's own. */
int seam_read(struct seam *s, const char *path, char *value, size_t room);
int seam_write(struct seam *s, const char *path, const char *value);
int seam_remove(struct seam *s, const char *path);
/* Names under the path, each ended by 0; the number of bytes. -ENOSPC: more than there is room for. */
int seam_list(struct seam *s, const char *path, char *names, size_t room);
/* Let these domains read the node, and nobody else but its owner. */
int seam_share(struct seam *s, const char *path, uint32_t owner, const uint32_t *readers, size_t n);
int seam_watch(struct seam *s, const char *path, const char *token);
int seam_unwatch(struct seam *s, const char *path, const char *token);
/* The next event of a watch; 0: there is none now, 1: there was. */
int seam_event(struct seam *s, char *path, char *token, size_t room);
/* Readable when an event may come in; those that came amid answers wait in memory. */
int seam_fd(struct seam *s);
bool seam_pending(struct seam *s);

/* A doorbell: one descriptor, a few ports of event channels. A port that rang is silent until it is armed again. */
struct seam_bell;
int seam_bell_open(struct seam *s, struct seam_bell **b);
void seam_bell_close(struct seam_bell *b);
int seam_bell_fd(struct seam_bell *b);
int seam_bell_offer(struct seam_bell *b, uint32_t domain); /* a port for that domain to bind */
int seam_bell_bind(struct seam_bell *b, uint32_t domain,
                   uint32_t port); /* a port bound to its port */
int seam_bell_ring(struct seam_bell *b, uint32_t port);
int seam_bell_take(struct seam_bell *b, uint32_t *ports, size_t room); /* which rang; 0: none */
int seam_bell_arm(struct seam_bell *b, const uint32_t *ports, size_t n);

/* Pages of a region. notify: a port of the bell that rings when the mapping ends, however it ends; or NULL. */
struct seam_mapping;
int seam_map(struct seam *s, uint32_t slot, uint64_t page, uint64_t pages, bool writable,
             struct seam_bell *notify, uint32_t port, void **at, struct seam_mapping **m);
void seam_unmap(struct seam_mapping *m);

/* Our own hypercall, for what a guest may do: PALOP_region_*. */
long seam_region_op(struct seam *s, unsigned command, void *argument, size_t size);

#endif
