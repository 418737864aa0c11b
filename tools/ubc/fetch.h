/* SPDX-License-Identifier: MIT */
/*
 * Pages of base images on their way from the disk. Who wants one that is under way already waits for the same read, whichever guest
 * asked first; neighbours that are wanted one after the other are read at once; what came is put into the buffer cache.
 */
#ifndef UBC_FETCH_H
#define UBC_FETCH_H

#include "base.h"

/* Called when the bytes are at `to`, or cannot be had (a negative errno). */
typedef void fetch_done(void *owner, int result);

/* With a domain's number: its disk takes no part in the cache. What is read for it is not put there, and it waits for no other's read,
 * whose time would tell of it. */
#define FETCH_PRIVATE 0x80000000u

/* Is the page on its way, and would this reader wait for it? */
bool fetch_under_way(const struct base *b, uint64_t page, uint32_t reader);
/* Bytes [start, start + length) of a page, to `to`, for that reader: a domain, maybe FETCH_PRIVATE. Beyond the image's end are zeros. done() comes
 * later, never from within. Returns -ENOMEM when it cannot be begun. */
int fetch_want(struct base *b, uint64_t page, unsigned start, unsigned length, uint8_t *to,
               uint32_t reader, fetch_done *done, void *owner);
/* Begin reading what was wanted up to now. */
void fetch_kick(void);

#endif
