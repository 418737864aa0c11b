/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing images: requests that are begun here and end by a call of their done(). The seam towards the
 * machine; behind it is io_uring (io_uring.c), in host tests a model of a disk that loses power.
 */
#ifndef UBC_IO_H
#define UBC_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum io_kind {
    IO_READ,
    IO_WRITE,
    IO_SYNC,  /* data, and what finding them needs, to the medium */
    IO_PUNCH, /* what is there may go; it then reads as zeros */
};

/* Requests of one file, or some of them, which have their turns with the others. Zeroes at first; it stays until the last request for it is done. */
struct io_lane {
    /* All of it belongs to what is behind the seam. */
    struct io *first, *last;
    struct io_lane *next;
    unsigned under_way;
    bool waits;
};

struct io {
    enum io_kind kind;
    int fd;
    struct io_lane *lane;
    uint8_t *buffer;
    size_t size; /* bytes */
    uint64_t offset;
    /* result: 0, or a negative errno; all of it was done or that failed. A read past the end is -EIO. */
    void (*done)(struct io *io, int result);
    /* Those below belong to what is behind the seam. */
    size_t moved;
    struct io *next;
};

/* Begin it. done() comes later, never from within. */
void io_begin(struct io *io);

#endif
