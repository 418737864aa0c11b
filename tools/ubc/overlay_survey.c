/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "overlay_format.h"

#define READ_MOST (1u << 20)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The next bytes of the file that are no hole, at or after *from, before `end`. False: there are none. */
static bool next_extent(int fd, uint64_t *from, uint64_t *to, uint64_t end)
{
    off_t data = lseek(fd, (off_t)*from, SEEK_DATA), hole;

    if (data < 0 && errno != ENXIO) { /* this file system has no holes */
        *to = end;
        return *from < end;
    }
    if (data < 0 || (uint64_t)data >= end)
        return false;
    hole = lseek(fd, data, SEEK_HOLE);
    *from = (uint64_t)data;
    *to = hole < 0 ? end : smaller((uint64_t)hole, end);
    return true;
}

/* Clusters [first, end) have data in the file: whose are they? */
static void count(const struct overlay *o, uint64_t first, uint64_t end, struct overlay_survey *s)
{
    for (uint64_t cluster = first; cluster < end; cluster++) {
        if (overlay_has(o, cluster))
            s->filled++;
        else
            s->stray++;
    }
}

static int read_all(const struct overlay *o, uint64_t from, uint64_t to, uint8_t *buffer,
                    bool (*go_on)(void *context, uint64_t bytes), void *context, char *why)
{
    while (from < to) {
        ssize_t got = pread(o->fd, buffer, (size_t)smaller(READ_MOST, to - from), (off_t)from);

        if (got <= 0)
            return overlay_fail(why, "it cannot be read at byte %" PRIu64 ": %s", from,
                                got ? strerror(errno) : "it ends there");
        from += (uint64_t)got;
        if (!go_on(context, (uint64_t)got))
            return overlay_fail(why, "it was stopped");
    }
    return 0;
}

int overlay_survey(const struct overlay *o, struct overlay_survey *s,
                   bool (*go_on)(void *context, uint64_t bytes), void *context,
                   char why[OVERLAY_WHY])
{
    uint64_t end = o->data_offset + overlay_clusters(o->size) * OVERLAY_CLUSTER;
    uint64_t from = o->data_offset, to, counted = 0;
    static uint8_t buffer[READ_MOST];
    int rc = 0;

    *s = (struct overlay_survey){.own = overlay_used(o)};
    for (; !rc && next_extent(o->fd, &from, &to, end); from = to) {
        uint64_t first = (from - o->data_offset) / OVERLAY_CLUSTER;
        uint64_t after = overlay_divide_up(to - o->data_offset, OVERLAY_CLUSTER);

        /* Blocks of the file system may be smaller: one cluster, two extents. */
        first = first < counted ? counted : first;
        count(o, first, after, s);
        counted = after > counted ? after : counted;
        if (go_on)
            rc = read_all(o, from, to, buffer, go_on, context, why);
    }
    return rc;
}
