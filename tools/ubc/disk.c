/* SPDX-License-Identifier: MIT */
#include "disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "grant.h"

#define COMPLAINTS_MOST 10u
#define ROUNDS_MOST     4u /* looks into one ring before the others have their turn */

static struct disk *to_attend, **to_attend_last = &to_attend;
static size_t all_bytes;

static struct request **place(struct disk *d, uint32_t number)
{
    return &d->order[number & (RING_SLOTS_MOST - 1)];
}

void disk_wake(struct disk *d)
{
    if (d->attention)
        return;
    d->attention = true;
    d->next_attention = NULL;
    *to_attend_last = d;
    to_attend_last = &d->next_attention;
}

bool disk_may_complain(struct disk *d)
{
    return d->complaints++ < COMPLAINTS_MOST;
}

void disk_forget(struct disk *d)
{
    struct disk **link = &to_attend;

    while (*link && *link != d)
        link = &(*link)->next_attention;
    if (*link)
        *link = d->next_attention;
    for (to_attend_last = &to_attend; *to_attend_last;)
        to_attend_last = &(*to_attend_last)->next_attention;
    d->attention = false;
}

bool disk_buffer(struct request *r, size_t bytes)
{
    if (r->buffer)
        return true;
    r->buffer = aligned_alloc(OVERLAY_CLUSTER,
                              (bytes + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER * OVERLAY_CLUSTER);
    if (!r->buffer) {
        r->status = BLKIF_RSP_ERROR;
        return false;
    }
    r->buffer_size = bytes;
    r->disk->bytes += bytes;
    all_bytes += bytes;
    return true;
}

static void drop_buffer(struct request *r)
{
    if (!r->buffer)
        return;
    r->disk->bytes -= r->buffer_size;
    all_bytes -= r->buffer_size;
    free(r->buffer);
    r->buffer = NULL;
}

void disk_part_end(struct request *r, int result)
{
    if (result)
        r->status = BLKIF_RSP_ERROR;
    if (--r->parts)
        return;
    if (r->what.kind == REQUEST_READ)
        disk_read_end(r);
    drop_buffer(r);
    r->done = true;
    disk_wake(r->disk);
}

/* ---- taking ---- */

static bool read_segments(void *data, uint32_t ref, void *page)
{
    struct disk *d = data;
    struct grant_copy one = {page, ref, 0, REQUEST_PAGE};

    return grant_copy_from(d->domain, &one, 1);
}

/* They take the file system long and need none of the bytes that bound the rest: one at a time. */
static bool is_second_discard(const struct request *r, const struct request *before)
{
    return r->what.kind == REQUEST_DISCARD && before->what.kind == REQUEST_DISCARD;
}

static bool may_begin(struct disk *d, const struct request *r)
{
    for (uint32_t i = d->ring.answered; i != d->ring.taken; i++) {
        const struct request *before = *place(d, i);

        if (before != r && !before->done &&
            (r->what.kind == REQUEST_BARRIER || before->what.kind == REQUEST_BARRIER ||
             is_second_discard(r, before) || disk_write_waits(r, before)))
            return false;
    }
    return true;
}

static void begin(struct request *r)
{
    r->begun = true;
    r->parts = 1;
    r->disk->turn += r->what.kind == REQUEST_DISCARD ? 0 : r->what.size;
    switch (r->what.kind) {
    case REQUEST_READ:
        disk_read(r); /* ends its own part when the whole round is begun */
        return;
    case REQUEST_WRITE:
    case REQUEST_BARRIER:
        r->disk->writes++;
        disk_write(r);
        break;
    case REQUEST_FLUSH:
        disk_flush(r);
        break;
    case REQUEST_DISCARD:
        disk_discard(r);
        break;
    }
    disk_part_end(r, 0);
}

/* Take one from the ring. NULL: there is none. */
static struct request *take(struct disk *d)
{
    struct request_limits limits = {d->volume->size, d->volume->read_only};
    struct blkif_request raw;
    struct request *r = malloc(sizeof(*r)); /* before: what is taken can be kept */

    if (!r)
        return NULL;
    switch (ring_take(&d->ring, &raw)) {
    case RING_TAKEN:
        break;
    case RING_BROKEN:
        if (disk_may_complain(d))
            fprintf(stderr,
                    "pal-blkd: domain %u disk %u: its ring makes no sense; it is left alone\n",
                    d->domain, d->number);
        d->broken = true;
        /* fall through */
    default:
        free(r);
        return NULL;
    }
    /* The list of segments stays as it is: only what was counted is looked at. */
    memset(r, 0, offsetof(struct request, what));
    memset((char *)r + offsetof(struct request, status), 0,
           sizeof(*r) - offsetof(struct request, status));
    r->disk = d;
    *place(d, d->ring.taken - 1) = r;
    r->status = request_understand(&raw, &limits, read_segments, d, &r->what);
    return r;
}

static bool has_room(const struct disk *d)
{
    return !d->bytes || (d->bytes < DISK_BYTES_MOST && all_bytes < DISK_BYTES_BUDGET);
}

/* Returns whether there may be more to take that no event will tell of. */
static bool take_all(struct disk *d)
{
    for (unsigned i = 0; i < d->ring.slots; i++) {
        struct request *r = d->held;

        if (d->broken || (!r && (d->closing || !has_room(d))))
            return false;
        if (d->turn >= DISK_TURN)
            return true;
        if (!r)
            r = take(d);
        if (!r)
            return !d->broken && ring_wait(&d->ring);
        d->held = NULL;
        if (r->status != BLKIF_RSP_OKAY) {
            r->done = true;
        } else if (may_begin(d, r)) {
            begin(r);
        } else {
            d->held = r;
            return false; /* woken by the end of what it waits for */
        }
    }
    return true;
}

/* ---- answering ---- */

/*
 * Linux's driver takes an error of an empty flush for a missing feature and tells its user that all is well, but not
 * another negative number; in both cases it never sends a flush again. So after a failed one writes that have no answer yet,
 * and all later ones, must fail: nobody would hear that they are not durable.
 */
static int16_t status_of(const struct disk *d, const struct request *r)
{
    enum request_kind kind = r->what.kind;

    if (r->status == BLKIF_RSP_ERROR && (kind == REQUEST_FLUSH || kind == REQUEST_BARRIER))
        return REQUEST_NOT_FLUSHED;
    if (d->volume->lost && kind == REQUEST_WRITE)
        return BLKIF_RSP_ERROR;
    return r->status;
}

static void answer(struct disk *d)
{
    bool any = false;

    while (d->ring.answered != d->ring.taken) {
        struct request **at = place(d, d->ring.answered), *r = *at;

        if (!r->done)
            break;
        ring_answer(&d->ring, r->what.id, r->what.operation, status_of(d, r));
        *at = NULL;
        free(r);
        any = true;
    }
    if (any && ring_publish(&d->ring))
        d->notify(d);
}

static void attend(struct disk *d)
{
    bool more = true;

    d->turn = 0;
    for (unsigned i = 0; more && d->turn < DISK_TURN && i < ROUNDS_MOST; i++) {
        more = take_all(d);
        disk_read_kick();
        fetch_kick();
        answer(d);
    }
    if (more)
        disk_wake(d);
    if (d->closing && d->ring.answered == d->ring.taken)
        d->idle(d);
}

void disk_attend(void)
{
    struct disk *list = to_attend;

    to_attend = NULL;
    to_attend_last = &to_attend;
    while (list) {
        struct disk *d = list;

        list = d->next_attention;
        d->attention = false;
        if (d->connected)
            attend(d);
    }
}

bool disk_is_waiting(void)
{
    return to_attend != NULL;
}

void disk_connect(struct disk *d, void *ring, unsigned pages)
{
    ring_attach(&d->ring, ring, pages);
    d->connected = true;
    d->broken = d->closing = false;
    disk_wake(d);
}

void disk_close(struct disk *d)
{
    d->closing = true;
    disk_wake(d);
}
