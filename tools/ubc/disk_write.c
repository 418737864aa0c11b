/* SPDX-License-Identifier: MIT */
/*
 * Writing, flushing, discarding. A write that covers a cluster of an overlay only in part, when the cluster is not in
 * the overlay yet, is filled up from the base and written whole. The map learns of it when the data are written.
 */
#include "disk.h"

#include <errno.h>
#include <string.h>

#include "fetch.h"
#include "grant.h"

static bool is_write(const struct request *r)
{
    return r->what.kind == REQUEST_WRITE || r->what.kind == REQUEST_BARRIER ||
           r->what.kind == REQUEST_DISCARD;
}

static bool is_whole(const struct request *r)
{
    return r->what.start % OVERLAY_CLUSTER == 0 && r->what.size % OVERLAY_CLUSTER == 0 &&
           r->what.kind != REQUEST_DISCARD;
}

bool disk_write_waits(const struct request *r, const struct request *before)
{
    if (!r->disk->volume->overlay || !is_write(r) || !is_write(before) ||
        (is_whole(r) && is_whole(before)))
        return false;
    return r->what.start / OVERLAY_CLUSTER <=
               (before->what.start + before->what.size) / OVERLAY_CLUSTER &&
           before->what.start / OVERLAY_CLUSTER <= (r->what.start + r->what.size) / OVERLAY_CLUSTER;
}

static bool copy_in(struct request *r)
{
    struct grant_copy list[REQUEST_SEGMENTS];
    uint8_t *to = r->buffer + (r->what.start - r->from);

    _Static_assert(REQUEST_SEGMENTS <= GRANT_BATCH, "one call");
    for (unsigned i = 0; i < r->what.segments; i++) {
        const struct request_segment *s = &r->what.segment[i];

        list[i] = (struct grant_copy){to, s->ref, s->offset, s->length};
        to += s->length;
    }
    return grant_copy_from(r->disk->domain, list, r->what.segments);
}

/* ---- flushes ---- */

static struct request *request_of_flush(struct volume_flush *f)
{
    return (struct request *)(void *)((char *)f - offsetof(struct request, flush));
}

static void flushed(struct volume_flush *f, int result)
{
    disk_part_end(request_of_flush(f), result);
}

void disk_flush(struct request *r)
{
    if (r->disk->volume->fd < 0)
        return; /* nothing was ever written */
    r->parts++;
    r->flush.done = flushed;
    volume_flush(r->disk->volume, &r->flush);
}

/* ---- writes ---- */

static struct request *request_of_io(struct io *io)
{
    return (struct request *)(void *)((char *)io - offsetof(struct request, io));
}

static void written(struct io *io, int result)
{
    struct request *r = request_of_io(io);
    struct volume *v = r->disk->volume;

    if (!result) {
        volume_written(v, r->from, r->to);
        if (v->write_through || r->what.kind == REQUEST_BARRIER)
            disk_flush(r);
    }
    disk_part_end(r, result);
}

static void write_out(struct request *r)
{
    struct volume *v = r->disk->volume;

    r->parts++;
    r->io = (struct io){.kind = IO_WRITE,
                        .fd = v->fd,
                        .lane = &v->lane,
                        .buffer = r->buffer,
                        .size = (size_t)(r->to - r->from),
                        .offset = volume_offset(v, r->from),
                        .done = written};
    io_begin(&r->io);
}

/* One thing less to wait for; the data go out after the last. */
static void fill_end(struct request *r)
{
    if (--r->fills == 0 && r->status == BLKIF_RSP_OKAY)
        write_out(r);
}

static void filled(void *owner, int result)
{
    struct request *r = owner;

    if (result)
        r->status = BLKIF_RSP_ERROR;
    fill_end(r);
    disk_part_end(r, result);
}

static void flushed_before(struct volume_flush *f, int result)
{
    filled(request_of_flush(f), result);
}

/* A barrier's data must not be on the medium while something before it is not. */
static void flush_before(struct request *r)
{
    r->parts++;
    r->fills++;
    r->flush.done = flushed_before;
    volume_flush(r->disk->volume, &r->flush);
}

/* Bytes [from, to) of the disk, all in one cluster that is not in the overlay. */
static void fill(struct request *r, uint64_t from, uint64_t to)
{
    struct volume *v = r->disk->volume;
    uint8_t *at = r->buffer + (from - r->from);
    uint64_t cluster = from / OVERLAY_CLUSTER;
    unsigned start = (unsigned)(from % OVERLAY_CLUSTER), length = (unsigned)(to - from);

    if (from == to)
        return;
    if (volume_place(v, cluster) == VOLUME_ZERO) {
        memset(at, 0, length);
    } else if (fetch_want(v->base, cluster, start, length, at, disk_reader(r->disk), filled, r)) {
        r->status = BLKIF_RSP_ERROR;
    } else {
        r->parts++;
        r->fills++;
    }
}

/* Widen it to whole clusters where one is not in the overlay yet. */
static void widen(struct request *r)
{
    struct volume *v = r->disk->volume;
    uint64_t end = r->what.start + r->what.size, whole;

    r->from = r->what.start;
    r->to = end;
    if (!v->overlay)
        return;
    if (r->from % OVERLAY_CLUSTER && !overlay_has(v->overlay, r->from / OVERLAY_CLUSTER))
        r->from -= r->from % OVERLAY_CLUSTER;
    whole = (end + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER * OVERLAY_CLUSTER;
    if (whole > v->size)
        whole = v->size; /* the last cluster ends where the disk does */
    if (end % OVERLAY_CLUSTER && !overlay_has(v->overlay, end / OVERLAY_CLUSTER))
        r->to = whole;
}

void disk_write(struct request *r)
{
    if (!r->what.segments) { /* an empty barrier */
        disk_flush(r);
        return;
    }
    if (r->disk->volume->lost) {
        r->status = BLKIF_RSP_ERROR;
        return;
    }
    widen(r);
    if (!disk_buffer(r, (size_t)(r->to - r->from)))
        return;
    if (!copy_in(r)) {
        r->status = BLKIF_RSP_ERROR;
        return;
    }
    r->fills = 1; /* until all are begun */
    if (r->what.kind == REQUEST_BARRIER)
        flush_before(r);
    fill(r, r->from, r->what.start);
    fill(r, r->what.start + r->what.size, r->to);
    fill_end(r);
}

/* ---- discards ---- */

static void discarded(struct io *io, int result)
{
    struct request *r = request_of_io(io);

    /* It is advice: a file system without holes keeps the data. */
    disk_part_end(r, result == -EOPNOTSUPP ? 0 : result);
}

void disk_discard(struct request *r)
{
    struct volume *v = r->disk->volume;
    uint64_t from = r->what.start, to = from + r->what.size;

    /* Whole clusters; those that are not in the overlay have no data there, and stay the base's. */
    if (v->overlay) {
        from = (from + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER * OVERLAY_CLUSTER;
        to = to / OVERLAY_CLUSTER * OVERLAY_CLUSTER;
    }
    if (from >= to)
        return;
    r->parts++;
    r->io = (struct io){.kind = IO_PUNCH,
                        .fd = v->fd,
                        .lane = &v->lane,
                        .size = (size_t)(to - from),
                        .offset = volume_offset(v, from),
                        .done = discarded};
    io_begin(&r->io);
}
