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

/* In place of a domain: what is read for a disk that takes no part in the cache is not put there. */
#define FETCH_PRIVATE UINT32_MAX

/* Bytes [start, start + length) of a page, to `to`, for a disk of that domain. Beyond the image's end are zeros. done() comes
 * later, never from within. Returns -ENOMEM when it cannot be begun. */
int fetch_want(struct base *b, uint64_t page, unsigned start, unsigned length, uint8_t *to,
               uint32_t domain, fetch_done *done, void *owner);
/* Begin reading what was wanted up to now. */
void fetch_kick(void);

#endif
