/* SPDX-License-Identifier: MIT */
/*
 * Requests wait here in lanes, each in their order: a file has one, a base some for those who read it. The lanes take turns, and have LANE_MOST
 * requests with the kernel at most. So a file whose device is slow, or has stopped, holds up nobody else. Nothing depends on the order in which requests end: who needs one
 * begins the second when the first is done.
 *
 * The ring is opened with rights that its user gives up later, and does only what is done here (for the filter of system calls does not see
 * what goes by a ring).
 */
#include "io.h"
#include "io_uring.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH     1024u        /* with the kernel */
#define FULL      (DEPTH / 2u) /* so many: each lane has one more at a time, if it has none */
#define LANE_MOST 32u
#define WORKERS                                                                                    \
    64u /* threads of the kernel for what it cannot do at once; it makes them as it needs them */

static struct io_uring uring;
static struct io_lane *first, *last; /* whose turn it is: they have something to hand over */
static unsigned lanes, under_way;

/* ---- turns ---- */

static void append(struct io_lane *lane)
{
    if (lane->waits || !lane->first || lane->under_way >= LANE_MOST)
        return;
    lane->waits = true;
    lane->next = NULL;
    if (first)
        last->next = lane;
    else
        first = lane;
    last = lane;
    lanes++;
}

static struct io_lane *next_turn(void)
{
    struct io_lane *lane = first;

    first = lane->next;
    lane->waits = false;
    lanes--;
    return lane;
}

static void queue(struct io *io)
{
    struct io_lane *lane = io->lane;

    io->next = NULL;
    if (lane->first)
        lane->last->next = io;
    else
        lane->first = io;
    lane->last = io;
    append(lane);
}

void io_begin(struct io *io)
{
    io->moved = 0;
    queue(io);
}

/* ---- the ring ---- */

static int restrict_ring(void)
{
    static const uint8_t allowed[] = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC,
                                      IORING_OP_FALLOCATE};
    struct io_uring_restriction list[sizeof(allowed)] = {0};

    for (unsigned i = 0; i < sizeof(allowed); i++) {
        list[i].opcode = IORING_RESTRICTION_SQE_OP;
        list[i].sqe_op = allowed[i];
    }
    return io_uring_register_restrictions(&uring, list, sizeof(allowed));
}

int io_uring_open(void)
{
    unsigned workers[2] = {WORKERS, WORKERS};
    int rc = io_uring_queue_init(DEPTH, &uring, IORING_SETUP_R_DISABLED);

    if (rc >= 0) {
        (void)io_uring_register_iowq_max_workers(&uring, workers); /* older kernels have a few */
        rc = restrict_ring();
    }
    if (rc >= 0)
        rc = io_uring_enable_rings(&uring);
    if (rc < 0) {
        errno = -rc;
        return -1;
    }
    return uring.ring_fd;
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

/* False: the ring takes no more at the moment. */
static bool hand_over(struct io_lane *lane)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring);
    struct io *io = lane->first;

    if (!sqe)
        return false;
    lane->first = io->next;
    lane->under_way++;
    under_way++;
    prepare(sqe, io);
    return true;
}

bool io_uring_kick(void)
{
    unsigned passed = 0; /* one after the other */
    int rc;

    while (passed < lanes && under_way < DEPTH) {
        struct io_lane *lane = next_turn();
        bool may = !lane->under_way || under_way < FULL;

        if (may && hand_over(lane))
            passed = 0;
        else
            passed++;
        append(lane);
    }
    if (!io_uring_sq_ready(&uring))
        return true;
    rc = io_uring_submit(&uring);
    /* For these the kernel wants to be asked again; anything else is a fault of this program. */
    if (rc < 0 && rc != -EAGAIN && rc != -EBUSY && rc != -EINTR) {
        fprintf(stderr, "pal-blkd: the kernel takes no requests: %s\n", strerror(-rc));
        abort();
    }
    return !io_uring_sq_ready(&uring);
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
        io->lane->under_way--;
        append(io->lane);
        if (step(io, &result))
            io->done(io, result); /* maybe the file's end */
        else
            queue(io);
    }
}
