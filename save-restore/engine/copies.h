/* SPDX-License-Identifier: MIT */
/*
 * Pages of a domain as copies that the hypervisor makes. What is looked at once is had so for a third of what mapping
 * and unmapping costs, where domain 0's kernel writes each entry, and the hypervisor checks it.
 */
#ifndef ENGINE_COPIES_H
#define ENGINE_COPIES_H

#include <pthread.h>

#include "engine/frames.h"

struct room;
struct copies {
    struct pal_hv *hv;
    const struct frames *frames;
    uint32_t domain;
    pthread_mutex_t lock;
    struct room *unused; /* under the lock */
};

void copies_begin(struct copies *c, struct pal_hv *hv, const struct frames *frames,
                  uint32_t domain);
/* All rooms have been given back. */
void copies_end(struct copies *c);
/*
 * Copy `count` pages (at most IMAGE_CHUNK_PAGES) by populated gfns, one after the other, into a room, which is the
 * caller's until it is given back. From any thread. NULL with the error set.
 */
void *copies_make(struct copies *c, const uint32_t *gfns, unsigned count, struct pal_error *e);
void copies_give_back(struct copies *c, const void *pages);

#endif
