/* SPDX-License-Identifier: MIT */
/*
 * Reading. Pieces of base images are asked for in the buffer cache first, for all requests of a round together; what it
 * has it copies straight into the guest's pages. A piece whose page somebody else's read is bringing waits for that and asks then: however
 * many want a page at once, one of them misses. Everything else comes into the request's buffer, from there to the guest when all is there.
 */
#include "disk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "fetch.h"
#include "grant.h"

_Static_assert(OVERLAY_CLUSTER == BASE_PAGE, "a cluster is a page of the base");

/* Pieces of one disk that the cache is to be asked for. */
static struct {
    struct disk *disk;
    uint32_t object;
    unsigned count;
    struct cache_piece piece[CACHE_BATCH];
    struct {
        struct request *request;
        unsigned number;
        size_t at; /* in the request's buffer */
    } owner[CACHE_BATCH];
} gathered;

/* Requests whose beginning is not over: all of this round. */
static struct request *begun[RING_SLOTS_MOST];
static unsigned begun_count;

struct own_part {
    struct io io;
    struct request *request;
};

/* Walks through the pieces of a request. */
struct walk {
    unsigned segment, offset; /* bytes into the segment */
    size_t at;                /* bytes into the request */
    unsigned length;          /* of the piece */
    unsigned number;          /* two for each segment: it can touch two pages */
};

static bool next_piece(const struct request *r, struct walk *w)
{
    uint64_t position;
    unsigned left, in_page;

    w->at += w->length;
    w->offset += w->length;
    if (w->length && w->offset == r->what.segment[w->segment].length) {
        w->segment++;
        w->offset = 0;
    }
    if (w->segment == r->what.segments)
        return false;
    position = r->what.start + w->at;
    left = r->what.segment[w->segment].length - w->offset;
    in_page = BASE_PAGE - (unsigned)(position % BASE_PAGE);
    w->length = left < in_page ? left : in_page;
    w->number = w->segment * 2 + (w->offset != 0);
    return true;
}

static void mark(uint64_t *pieces, unsigned piece)
{
    pieces[piece / 64] |= 1ull << piece % 64;
}

static bool is_marked(const uint64_t *pieces, unsigned piece)
{
    return pieces[piece / 64] >> piece % 64 & 1;
}

static void fetched(void *owner, int result)
{
    disk_part_end(owner, result);
}

static void fetch_piece(struct request *r, size_t at, uint64_t page, unsigned start,
                        unsigned length)
{
    int rc = -ENOMEM;

    if (disk_buffer(r, r->what.size))
        rc = fetch_want(r->disk->volume->base, page, start, length, r->buffer + at,
                        disk_reader(r->disk), fetched, r);
    if (rc)
        r->status = BLKIF_RSP_ERROR;
    else
        r->parts++;
}

/* Ask the cache. What it has not is fetched; or, when this is a request's end, is in its buffer. */
static void ask(bool at_end)
{
    struct disk *d = gathered.disk;
    unsigned count = gathered.count;
    int asked = 0;

    gathered.count = 0;
    if (count && gathered.object != CACHE_NONE) {
        asked = cache_copy(gathered.object, d->domain, gathered.piece, count);
        base_cache_said(d->volume->base, gathered.object, asked);
        d->shut_out = asked == -EPERM;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct cache_piece *piece = &gathered.piece[i];
        struct request *r = gathered.owner[i].request;

        if (asked > 0 && piece->status == 0) {
            d->hits++;
            mark(r->there, gathered.owner[i].number);
        } else if (!at_end && r->status == BLKIF_RSP_OKAY) {
            fetch_piece(r, gathered.owner[i].at, piece->page, piece->start, piece->length);
        }
    }
}

static void gather(struct request *r, const struct walk *w)
{
    const struct request_segment *segment = &r->what.segment[w->segment];
    uint64_t position = r->what.start + w->at;

    if (!gathered.count) {
        gathered.disk = r->disk;
        gathered.object = r->disk->volume->cached ? base_object(r->disk->volume->base) : CACHE_NONE;
    }
    gathered.piece[gathered.count] =
        (struct cache_piece){.page = position / BASE_PAGE,
                             .ref = segment->ref,
                             .start = (uint16_t)(position % BASE_PAGE),
                             .offset = (uint16_t)(segment->offset + w->offset),
                             .length = (uint16_t)w->length};
    gathered.owner[gathered.count].request = r;
    gathered.owner[gathered.count].number = w->number;
    gathered.owner[gathered.count++].at = w->at;
}

/* A piece of the base: joins a read that is under way, or is one to ask for. */
static void read_base(struct request *r, const struct walk *w)
{
    const struct disk *d = r->disk;
    uint64_t position = r->what.start + w->at, page = position / BASE_PAGE;

    r->disk->reads++;
    if (fetch_under_way(d->volume->base, page, disk_reader(d))) {
        mark(r->joined, w->number);
        fetch_piece(r, w->at, page, position % BASE_PAGE, w->length);
        return;
    }
    if (gathered.disk != d || gathered.count == CACHE_BATCH)
        ask(false);
    gather(r, w);
}

static void own_done(struct io *io, int result)
{
    struct own_part *part = (struct own_part *)(void *)io;
    struct request *r = part->request;

    free(part);
    disk_part_end(r, result);
}

/* Read bytes [from, to) of the request from the disk's own file. */
static void read_own(struct request *r, size_t from, size_t to)
{
    struct volume *v = r->disk->volume;
    struct own_part *part;

    if (from == to)
        return;
    part = calloc(1, sizeof(*part));
    if (!part || !disk_buffer(r, r->what.size)) {
        free(part);
        r->status = BLKIF_RSP_ERROR;
        return;
    }
    part->request = r;
    part->io = (struct io){.kind = IO_READ,
                           .fd = v->fd,
                           .lane = &v->lane,
                           .buffer = r->buffer + from,
                           .size = to - from,
                           .offset = volume_offset(v, r->what.start + from),
                           .done = own_done};
    r->parts++;
    io_begin(&part->io);
}

void disk_read(struct request *r)
{
    struct volume *v = r->disk->volume;
    struct walk w = {0};
    size_t own_from = 0, own_to = 0;

    begun[begun_count++] = r;
    while (next_piece(r, &w) && r->status == BLKIF_RSP_OKAY) {
        switch (volume_place(v, (r->what.start + w.at) / OVERLAY_CLUSTER)) {
        case VOLUME_OWN:
            if (own_to != w.at) {
                read_own(r, own_from, own_to);
                own_from = w.at;
            }
            own_to = w.at + w.length;
            break;
        case VOLUME_BASE:
            read_base(r, &w);
            break;
        case VOLUME_ZERO:
            if (disk_buffer(r, r->what.size))
                memset(r->buffer + w.at, 0, w.length);
            break;
        }
    }
    read_own(r, own_from, own_to);
}

void disk_read_kick(void)
{
    unsigned count = begun_count;

    ask(false);
    begun_count = 0;
    for (unsigned i = 0; i < count; i++)
        disk_part_end(begun[i], 0);
}

/* What was waited for is in the cache now, unless that has lost it again. */
static void ask_again(struct request *r)
{
    struct walk w = {0};

    assert(!gathered.count);
    while (next_piece(r, &w)) {
        if (!is_marked(r->joined, w.number))
            continue;
        if (gathered.count == CACHE_BATCH)
            ask(true);
        gather(r, &w);
    }
    ask(true);
}

void disk_read_end(struct request *r)
{
    struct grant_copy list[GRANT_BATCH];
    struct walk w = {0};
    unsigned count = 0;

    if (r->status != BLKIF_RSP_OKAY || !r->buffer)
        return;
    ask_again(r);
    while (next_piece(r, &w)) {
        const struct request_segment *segment = &r->what.segment[w.segment];

        if (is_marked(r->there, w.number))
            continue;
        list[count++] =
            (struct grant_copy){r->buffer + w.at, segment->ref,
                                (uint16_t)(segment->offset + w.offset), (uint16_t)w.length};
        if (count < GRANT_BATCH)
            continue;
        if (!grant_copy_to(r->disk->domain, list, count))
            r->status = BLKIF_RSP_ERROR;
        count = 0;
    }
    if (count && !grant_copy_to(r->disk->domain, list, count))
        r->status = BLKIF_RSP_ERROR;
}
