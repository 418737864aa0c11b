/* SPDX-License-Identifier: MIT */
/*
 * A base image: read by many disks, written by none. Its name in the buffer cache stands for one content: device, inode,
 * size and times of change. It is looked at before each use of the cache; once it has changed, its pages are dropped and reads go to the file.
 */
#ifndef UBC_BASE_H
#define UBC_BASE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "io.h"
#include "libpal/identity.h"

#define BASE_PAGE  4096u
#define BASE_LANES 8u /* queues of reads: domains that read much share one with few others */

struct base {
    struct base *next;
    unsigned users;
    int fd;
    struct io_lane lane[BASE_LANES];
    bool is_file;  /* of a block device nobody tells when it changes: not cached */
    uint64_t size; /* bytes that disks see, whole sectors; stays */
    struct identity identity;
    uint32_t object;   /* in the cache, CACHE_NONE: not */
    uint32_t *readers; /* domains that may read it: one entry a disk */
    unsigned reader_count;
    unsigned changes; /* that were noticed */
};

/* That of this file; fd is the base's from now on. NULL: out of memory, or it cannot be looked at. */
struct base *base_get(int fd);
void base_put(struct base *b);
/* A disk of the domain reads it through the cache, or does no more. */
bool base_add_reader(struct base *b, uint32_t domain);
void base_drop_reader(struct base *b, uint32_t domain);
/* The object that holds its content as it is at this moment; CACHE_NONE: go without. */
uint32_t base_object(struct base *b);
/* What a call with that object returned: it may be gone from the cache, and is entered again then. */
void base_cache_said(struct base *b, uint32_t object, int result);
#endif
