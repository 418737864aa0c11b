/* SPDX-License-Identifier: MIT */
/*
 * A guest's disk: requests are taken from its ring, carried out, and answered in their order.
 *
 * One thread does everything. A request has parts (reads, copies, flushes) under way; when the last one has ended, it is
 * done, and when all before it are done, too, it is answered. Requests that must not run beside others (barriers, writes
 * that meet in a cluster) wait, and with them all behind them. What a guest may have under way is
 * bounded by bytes; the rest stays in its ring.
 */
#ifndef UBC_DISK_H
#define UBC_DISK_H

#include "fetch.h"
#include "io.h"
#include "request.h"
#include "ring.h"
#include "volume.h"

#define DISK_BYTES_MOST   (2u << 20)  /* buffers of one disk */
#define DISK_TURN         (1u << 20)  /* of one disk's requests before the others have their turn */
#define DISK_BYTES_BUDGET (64u << 20) /* of all: beyond it each has one request at a time */

struct disk {
    uint32_t domain;
    unsigned number;
    struct volume *volume;
    struct ring ring;
    bool connected, broken, closing;
    /* Taken and not answered, at [number & (RING_SLOTS_MOST - 1)]. */
    struct request *order[RING_SLOTS_MOST];
    struct request *held; /* the last one taken, when it may not begin yet */
    size_t bytes;
    uint64_t turn;  /* bytes of the requests that were begun since it was attended */
    bool attention; /* in the list of those to look at */
    struct disk *next_attention;
    void (*notify)(struct disk *d); /* send the guest an event */
    void (*idle)(struct disk *d);   /* closing, and nothing is under way any more */
    unsigned complaints;
    bool shut_out; /* the cache said so when it was asked last: off, or not for this domain */
    uint64_t reads, hits, writes; /* pieces of reads; those that the cache had */
};

struct request {
    struct disk *disk;
    struct request_what what;
    int16_t status;
    bool done, begun;
    unsigned parts; /* under way; one more while it is being begun */
    uint8_t *buffer;
    size_t buffer_size;
    /* A read: which pieces are at the guest already; a piece is a part of a segment within one page of the disk. */
    uint64_t there[REQUEST_PIECES / 64];
    /* Those that wait for a read that was under way: the cache is asked when it has ended. */
    uint64_t joined[REQUEST_PIECES / 64];
    /* A write: the bytes that go to the disk, with what had to be filled in. */
    uint64_t from, to;
    unsigned fills; /* and what else the data wait for */
    struct io io;
    struct volume_flush flush;
};

/* The ring is mapped: from now on requests are taken. */
void disk_connect(struct disk *d, void *ring, unsigned pages);
/* Take no more; d->idle() comes when all is answered, at once or later. */
void disk_close(struct disk *d);
/* Something may have happened: look at it in the next disk_attend(). */
void disk_wake(struct disk *d);
/* Take, begin and answer requests of all disks that were woken. */
void disk_attend(void);
/* Is any to be looked at? */
bool disk_is_waiting(void);
/* A guest can give cause for complaint without end; the log hears a few of them. */
bool disk_may_complain(struct disk *d);
/* Before a disk is freed. */
void disk_forget(struct disk *d);

/* ---- for disk_read.c and disk_write.c ---- */

void disk_read(struct request *r);
/* The request is over; what is not at the guest yet goes there. */
void disk_read_end(struct request *r);
void disk_read_kick(void);
void disk_write(struct request *r);
void disk_flush(struct request *r);
void disk_discard(struct request *r);
/* Must not run beside that one, which came before it and is not done. */
bool disk_write_waits(const struct request *r, const struct request *before);

/* For whom it reads a base. */
static inline uint32_t disk_reader(const struct disk *d)
{
    return d->domain | (d->volume->cached && !d->shut_out ? 0 : FETCH_PRIVATE);
}
/* A part has ended. */
void disk_part_end(struct request *r, int result);
/* So many bytes, aligned for direct transfers; false and the request has failed: no memory. */
bool disk_buffer(struct request *r, size_t bytes);

#endif
