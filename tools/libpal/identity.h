/* SPDX-License-Identifier: MIT */
/*
 * What an image's file contains at this moment, told by device, inode, size and times of change: the name of its object in the buffer
 * cache. Depends on nothing else here: the block backend uses it, too.
 */
#ifndef LIBPAL_IDENTITY_H
#define LIBPAL_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

struct identity {
    uint64_t device, inode, generation;
    uint64_t size;
    int64_t changed_s, altered_s; /* mtime, ctime */
    uint32_t changed_ns, altered_ns;
};

/* Of an open file. 0, or -1 with errno. */
int identity_of(int fd, struct identity *i);
/* A file's times advance in steps of some milliseconds: what was changed a moment ago could be changed once more without a trace.
 * True when it is old enough for its identity to stand for its content. */
bool identity_is_settled(const struct identity *i);
/* The 128 bits that stand for it. */
void identity_name(const struct identity *i, uint64_t name[2]);

#endif
