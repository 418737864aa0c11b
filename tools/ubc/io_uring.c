/* SPDX-License-Identifier: MIT */
/*
 * As many requests as DEPTH are the kernel's at a time; the rest wait here in their order. Nothing depends on the order
 * in which they end: who needs one begins the second when the first is done.
 */
#include "io.h"
#include "io_uring.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 128u

static struct io_uring uring;
static struct io *first, **last = &first;
static unsigned under_way;

static void queue(struct io *io)
{
    io->next = NULL;
    *last = io;
    last = &io->next;
}

static void prepare(struct io_uring_sqe *sqe, struct io *io)
{
    uint64_t offset = io->offset + io->moved;

    switch (io->kind) {
    case IO_READ:
        io_uring_prep_read(sqe, io->fd, io->buffer + io->moved, (unsigned)(io->size - io->moved),
                           offset);
        break;
    case IO_WRITE:
        io_uring_prep_write(sqe, io->fd, io->buffer + io->moved, (unsigned)(io->size - io->moved),
                            offset);
        break;
    case IO_SYNC:
        io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
        break;
    case IO_PUNCH:
        io_uring_prep_fallocate(sqe, io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                (off_t)io->offset, (off_t)io->size);
        break;
    }
    io_uring_sqe_set_data(sqe, io);
}

int io_uring_open(void)
{
    int rc = io_uring_queue_init(DEPTH, &uring, 0);

    if (rc < 0) {
        errno = -rc;
        return -1;
    }
    return uring.ring_fd;
}

void io_begin(struct io *io)
{
    io->moved = 0;
    queue(io);
}

void io_uring_kick(void)
{
    while (first && under_way < DEPTH) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&uring);
        struct io *io = first;

        if (!sqe)
            break;
        first = io->next;
        if (!first)
            last = &first;
        prepare(sqe, io);
        under_way++;
    }
    if (io_uring_sq_ready(&uring)) {
        int rc = io_uring_submit(&uring);

        /* For these the kernel wants to be asked again; anything else is a fault of this program. */
        if (rc < 0 && rc != -EAGAIN && rc != -EBUSY && rc != -EINTR) {
            fprintf(stderr, "pal-blkd: the kernel takes no requests: %s\n", strerror(-rc));
            abort();
        }
    }
}

/* One step is done. Returns whether all of it is; *result says how. */
static int step(struct io *io, int *result)
{
    if (*result == -EAGAIN || *result == -EINTR)
        return 0;
    if (*result < 0)
        return 1;
    if (io->kind != IO_READ && io->kind != IO_WRITE) {
        *result = 0;
        return 1;
    }
    if (*result == 0) { /* the file ends before */
        *result = io->kind == IO_READ ? -EIO : -ENOSPC;
        return 1;
    }
    io->moved += (size_t)*result;
    *result = 0;
    return io->moved >= io->size;
}

void io_uring_reap(void)
{
    struct io_uring_cqe *cqe;

    while (!io_uring_peek_cqe(&uring, &cqe)) {
        struct io *io = io_uring_cqe_get_data(cqe);
        int result = cqe->res;

        io_uring_cqe_seen(&uring, cqe);
        under_way--;
        if (step(io, &result))
            io->done(io, result);
        else
            queue(io);
    }
}
