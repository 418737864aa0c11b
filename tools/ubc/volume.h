/* SPDX-License-Identifier: MIT */
/*
 * What is behind a disk: a base image, an overlay over one, or a plain file or block device that is written itself.
 */
#ifndef UBC_VOLUME_H
#define UBC_VOLUME_H

#include "base.h"
#include "io.h"
#include "overlay.h"

enum volume_place {
    VOLUME_OWN, /* in what the disk alone writes to */
    VOLUME_BASE,
    VOLUME_ZERO, /* beyond the base's end */
};

/* Waits for a flush; result: 0 or a negative errno. */
struct volume_flush {
    struct volume_flush *next;
    void (*done)(struct volume_flush *f, int result);
};

struct volume {
    uint64_t size; /* bytes */
    bool read_only;
    bool cached;         /* reads of its base go by the buffer cache */
    bool write_through;  /* a write is durable when it is answered */
    int fd;              /* what is written to; -1: nothing is */
    struct io_lane lane; /* of fd */
    struct base *base;   /* NULL: there is none */
    struct overlay *overlay;
    /* A flush failed: what was answered may be gone, and no later one is believed, since the kernel reports a loss once, and
     * guests' drivers ask no second time. on_loss(): before anybody hears of it; whoever takes over from this process must know, too. */
    bool lost;
    void (*on_loss)(void *owner);
    void *owner;

    /* Flushes run one after the other, each for all that wait when it begins. */
    bool flushing;
    struct volume_flush *waiting, *served;
    struct io sync;
    unsigned parts; /* of the map, that are being written */
    int result;
    bool *saving; /* pages of the map that this flush makes durable */
};

/* Where a cluster's data are. */
enum volume_place volume_place(const struct volume *v, uint64_t cluster);
/* In the file that is written to, where the disk's byte is. */
static inline uint64_t volume_offset(const struct volume *v, uint64_t position)
{
    return position + (v->overlay ? v->overlay->data_offset : 0);
}
/* Clusters that are written now lie in the file. */
void volume_written(struct volume *v, uint64_t start, uint64_t end);
/* All writes that were done before are durable when f->done() comes without an error; that may be from within. */
void volume_flush(struct volume *v, struct volume_flush *f);
/* Give up all it holds; nothing is under way. `clean`: it was flushed. */
void volume_free(struct volume *v, bool clean);

#endif
