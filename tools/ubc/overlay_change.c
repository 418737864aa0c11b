/* SPDX-License-Identifier: MIT */
/*
 * Changes of an overlay that nobody uses. Data never move: a map that needs more pages is written anew behind the data, and the header
 * that names its new place decides.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "overlay_format.h"

/* The header as it is. NULL: why. To be freed. */
static struct overlay_header *present(const struct overlay *o, char *why)
{
    struct overlay_header *h = aligned_alloc(OVERLAY_PAGE, OVERLAY_PAGE);
    bool is_spare;

    if (h && !overlay_read_header(o->fd, h, &is_spare, why))
        return h;
    if (!h)
        overlay_fail(why, "out of memory");
    free(h);
    return NULL;
}

/* A last cluster of which the disk had only a part: nothing but zeros behind that part. */
static int clean_tail(const struct overlay *o, char *why)
{
    static const uint8_t zeros[OVERLAY_CLUSTER];
    uint64_t tail = o->size % OVERLAY_CLUSTER;
    size_t bytes = (size_t)(OVERLAY_CLUSTER - tail);

    if (!tail || !overlay_has(o, o->size / OVERLAY_CLUSTER))
        return 0;
    if (pwrite(o->fd, zeros, bytes, (off_t)(o->data_offset + o->size)) != (ssize_t)bytes)
        return overlay_fail(why, "it cannot be written: %s", strerror(errno));
    return 0;
}

/* Write the map where the new header says; what was added to it is 0. */
static int write_map(const struct overlay *o, const struct overlay_header *h, char *why)
{
    static const uint8_t zeros[OVERLAY_PAGE];
    int error = posix_fallocate(o->fd, (off_t)h->map_offset, (off_t)(h->map_pages * OVERLAY_PAGE));

    if (error)
        return overlay_fail(why, "no room for its map: %s", strerror(error));
    for (uint64_t page = 0; page < h->map_pages; page++) {
        uint64_t at = page * OVERLAY_PAGE;
        const uint8_t *from = page < o->map_pages ? (const uint8_t *)o->bits + at : zeros;

        if (pwrite(o->fd, from, OVERLAY_PAGE, (off_t)(h->map_offset + at)) != OVERLAY_PAGE)
            return overlay_fail(why, "its map cannot be written: %s", strerror(errno));
    }
    return 0;
}

/* What the header is to be for a disk of that size. */
static void lay_out(struct overlay_header *h, uint64_t size)
{
    uint64_t map_end = h->map_offset + h->map_pages * OVERLAY_PAGE;
    uint64_t pages = overlay_pages_of_map(size);
    bool moves;

    h->size = size;
    moves = pages != h->map_pages ||
            (h->map_offset >= h->data_offset && h->map_offset < overlay_data_end(h));
    h->map_pages = pages;
    if (!moves)
        return;
    /* The old one stays whole until the header has changed. */
    h->map_offset = overlay_data_end(h) > map_end ? overlay_data_end(h) : map_end;
    h->version = OVERLAY_MOVED_VERSION;
}

/* The map's old place: room for others, or for data, which must be zeros until they are written. */
static void give_back(const struct overlay *o)
{
    off_t from = (off_t)o->map_offset, bytes = (off_t)(o->map_pages * OVERLAY_PAGE);

    /* Without holes in files it stays; where data can come it has to be overwritten then. */
    if (fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, bytes) &&
        o->map_offset > o->data_offset) {
        static const uint8_t zeros[OVERLAY_PAGE];

        for (uint64_t page = 0; page < o->map_pages; page++) {
            if (pwrite(o->fd, zeros, sizeof(zeros), from + (off_t)(page * OVERLAY_PAGE)) < 0)
                return; /* what is written later is written whole; the tail is cleaned before it can be seen */
        }
    }
}

/* Read the head again; the map is what it was, and longer. */
static int take_over(struct overlay *o, char *why)
{
    struct overlay now;

    if (overlay_look(o->fd, &now, why))
        return -1;
    if (now.map_pages != o->map_pages) {
        size_t bytes = (size_t)(now.map_pages * OVERLAY_PAGE);
        uint64_t *bits = aligned_alloc(OVERLAY_PAGE, bytes);
        bool *unsaved = calloc(now.map_pages, sizeof(*unsaved));

        if (!bits || !unsaved) {
            free(bits);
            free(unsaved);
            return overlay_fail(why, "out of memory");
        }
        memset(bits, 0, bytes);
        memcpy(bits, o->bits, (size_t)(o->map_pages * OVERLAY_PAGE));
        free(o->bits);
        free(o->unsaved);
        o->bits = bits;
        o->unsaved = unsaved;
    }
    now.bits = o->bits;
    now.unsaved = o->unsaved;
    *o = now;
    return 0;
}

int overlay_grow(struct overlay *o, uint64_t size, char why[OVERLAY_WHY])
{
    struct overlay_header *h;
    uint64_t before;
    int rc;

    if (size % 512 || size > OVERLAY_MOST || size < o->size)
        return overlay_fail(why, "a disk of %" PRIu64 " bytes cannot become one of %" PRIu64,
                            o->size, size);
    h = present(o, why);
    if (!h)
        return -1;
    before = overlay_length(h);
    lay_out(h, size);
    rc = clean_tail(o, why);
    if (!rc && h->map_offset != o->map_offset && (rc = write_map(o, h, why)) &&
        ftruncate(o->fd, (off_t)before))
        rc = -1; /* what is behind the end is cut off when it is used */
    if (!rc) {
        memcpy(h->id_before, h->id, sizeof(h->id));
        rc = overlay_replace_header(o->fd, h, before, why);
    }
    if (!rc && h->map_offset != o->map_offset)
        give_back(o);
    free(h);
    return rc ? -1 : take_over(o, why);
}

int overlay_rebase(struct overlay *o, const char *base_path, const struct stat *base,
                   char why[OVERLAY_WHY])
{
    struct overlay_header *h;
    int rc;

    if (strlen(base_path) >= OVERLAY_BASE_MAX)
        return overlay_fail(why, "the base's path is too long");
    if ((uint64_t)base->st_size / 512 * 512 > o->size)
        return overlay_fail(why, "the base has %" PRIu64 " bytes, the disk only %" PRIu64,
                            (uint64_t)base->st_size, o->size);
    h = present(o, why);
    if (!h)
        return -1;
    overlay_name_base(h, base_path, base);
    memcpy(h->id_before, h->id, sizeof(h->id));
    overlay_new_id(h);
    rc = overlay_replace_header(o->fd, h, overlay_length(h), why);
    free(h);
    return rc ? -1 : take_over(o, why);
}
