/* SPDX-License-Identifier: MIT */
/*
 * A flush of an overlay: the data, then the map that tells of them, each to the medium before the next step. Only bits
 * that were set before the data went there are written: what is marked meanwhile waits for the next flush.
 */
#include "volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PART_MOST 256u /* pages of the map that are written at once */

struct part {
    struct io io;
    struct volume *volume;
};

enum volume_place volume_place(const struct volume *v, uint64_t cluster)
{
    if (!v->base || (v->overlay && overlay_has(v->overlay, cluster)))
        return VOLUME_OWN;
    return cluster * OVERLAY_CLUSTER < v->base->size ? VOLUME_BASE : VOLUME_ZERO;
}

void volume_written(struct volume *v, uint64_t start, uint64_t end)
{
    uint64_t first = start / OVERLAY_CLUSTER;

    if (v->overlay)
        overlay_mark(v->overlay, first, (end + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER - first);
}

/* ---- flushing ---- */

static void begin(struct volume *v);

static void finish(struct volume *v)
{
    struct volume_flush *f = v->served;
    struct overlay *o = v->overlay;
    bool more = v->waiting != NULL; /* otherwise the last to be told may free the volume */

    if (v->result && !v->lost) {
        v->lost = true;
        if (v->on_loss)
            v->on_loss(v->owner);
    }
    for (uint64_t i = 0; o && v->saving && i < o->map_pages; i++)
        o->unsaved[i] |= v->saving[i] && v->result;
    free(v->saving);
    v->saving = NULL;
    v->served = NULL;
    v->flushing = false;
    while (f) {
        struct volume_flush *next = f->next;

        f->done(f, v->result);
        f = next;
    }
    if (more && v->waiting && !v->flushing)
        begin(v);
}

static struct volume *volume_of_sync(struct io *io)
{
    return (struct volume *)(void *)((char *)io - offsetof(struct volume, sync));
}

static void second_sync_done(struct io *io, int result)
{
    struct volume *v = volume_of_sync(io);

    v->result = result;
    finish(v);
}

static void sync_file(struct volume *v, void (*done)(struct io *, int))
{
    v->sync = (struct io){.kind = IO_SYNC, .fd = v->fd, .lane = &v->lane, .done = done};
    io_begin(&v->sync);
}

static void map_written(struct volume *v)
{
    if (v->result)
        finish(v);
    else
        sync_file(v, second_sync_done);
}

static void part_done(struct io *io, int result)
{
    struct part *part = (struct part *)(void *)io;
    struct volume *v = part->volume;

    if (result)
        v->result = result;
    free(io->buffer);
    free(part);
    if (!--v->parts)
        map_written(v);
}

/* Write pages [first, first + count) of the map as it was when the flush began. */
static void write_part(struct volume *v, const uint8_t *map, uint64_t first, uint64_t count)
{
    struct part *part = calloc(1, sizeof(*part));
    size_t bytes = (size_t)count * OVERLAY_PAGE;
    uint8_t *copy = part ? aligned_alloc(OVERLAY_PAGE, bytes) : NULL;

    if (!copy) {
        free(part);
        v->result = -ENOMEM;
        return;
    }
    memcpy(copy, map, bytes);
    part->io = (struct io){.kind = IO_WRITE,
                           .fd = v->fd,
                           .lane = &v->lane,
                           .buffer = copy,
                           .size = bytes,
                           .offset = v->overlay->map_offset + first * OVERLAY_PAGE,
                           .done = part_done};
    part->volume = v;
    v->parts++;
    io_begin(&part->io);
}

static void write_map(struct volume *v, const uint8_t *copies)
{
    struct overlay *o = v->overlay;

    v->parts = 1; /* until all are begun */
    for (uint64_t i = 0; i < o->map_pages;) {
        uint64_t count = 0;

        while (i + count < o->map_pages && count < PART_MOST && v->saving[i + count])
            count++;
        if (!count) {
            i++;
            continue;
        }
        write_part(v, copies, i, count);
        copies += count * OVERLAY_PAGE;
        i += count;
    }
    if (!--v->parts)
        map_written(v);
}

/* The first synchronisation, and with it what has to be written after it. */
struct first_sync {
    struct io io;
    struct volume *volume;
    uint8_t *copies;
};

static void first_sync_done(struct io *io, int result)
{
    struct first_sync *first = (struct first_sync *)(void *)io;
    struct volume *v = first->volume;

    v->result = result;
    if (result || !first->copies)
        finish(v);
    else
        write_map(v, first->copies);
    free(first->copies);
    free(first);
}

/* Copy what the map says now; the flags go over to the flush. False: no memory. */
static bool copy_map(struct volume *v, uint8_t **copies)
{
    struct overlay *o = v->overlay;
    uint64_t pages = 0;
    uint8_t *to;

    *copies = NULL;
    for (uint64_t i = 0; i < o->map_pages; i++)
        pages += o->unsaved[i];
    if (!pages)
        return true;
    v->saving = calloc(o->map_pages, sizeof(*v->saving));
    to = *copies = malloc((size_t)pages * OVERLAY_PAGE);
    if (!v->saving || !to)
        return false;
    for (uint64_t i = 0; i < o->map_pages; i++) {
        if (!o->unsaved[i])
            continue;
        memcpy(to, (const uint8_t *)o->bits + i * OVERLAY_PAGE, OVERLAY_PAGE);
        to += OVERLAY_PAGE;
        v->saving[i] = true;
        o->unsaved[i] = false;
    }
    return true;
}

static void begin(struct volume *v)
{
    struct first_sync *first = calloc(1, sizeof(*first));

    v->flushing = true;
    v->served = v->waiting;
    v->waiting = NULL;
    v->result = 0;
    if (v->lost || !first || (v->overlay && !copy_map(v, &first->copies))) {
        v->result = v->lost ? -EIO : -ENOMEM;
        if (first)
            free(first->copies);
        free(first);
        finish(v);
        return;
    }
    first->volume = v;
    first->io =
        (struct io){.kind = IO_SYNC, .fd = v->fd, .lane = &v->lane, .done = first_sync_done};
    io_begin(&first->io);
}

void volume_flush(struct volume *v, struct volume_flush *f)
{
    f->next = v->waiting;
    v->waiting = f;
    if (!v->flushing)
        begin(v);
}

void volume_free(struct volume *v, bool clean)
{
    if (v->overlay) {
        /* After a loss it is as after a power cut: no bit may come to stand for data that are not there. */
        if (v->overlay->bits)
            overlay_close(v->overlay, clean || v->lost);
        if (v->overlay->live_fd >= 0)
            close(v->overlay->live_fd);
        free(v->overlay);
    }
    if (v->base)
        base_put(v->base);
    if (v->fd >= 0)
        close(v->fd);
    free(v);
}
