/* SPDX-License-Identifier: MIT */
/*
 * A file that holds what differs from a base image: OVERLAY.md. Here are its bytes and its map; who moves data and
 * when the map becomes durable is volume.c's.
 */
#ifndef UBC_OVERLAY_H
#define UBC_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/stat.h>

#define OVERLAY_CLUSTER  4096u
#define OVERLAY_PAGE     4096u
#define OVERLAY_IN_PAGE  (OVERLAY_PAGE * 8u) /* clusters that a page of the map tells of */
#define OVERLAY_MOST     (1ull << 44)        /* bytes of a disk */
#define OVERLAY_BASE_MAX 1024u               /* bytes of the base's path, with its end */
#define OVERLAY_WHY      200u

struct overlay {
    int fd;
    uint64_t size; /* of the disk */
    uint64_t map_offset, map_pages, data_offset;
    uint8_t id[16];
    uint64_t base_size;
    int64_t base_seconds; /* when the base was last changed */
    uint32_t base_nanoseconds;
    char base[OVERLAY_BASE_MAX];
    uint64_t *bits; /* the map as it is now */
    bool *unsaved;  /* pages of it that are not in the file like that */
    void *live;     /* where it is mapped, NULL: it is not */
    int live_fd;
};

/*
 * Make an empty one at `path`, which must not exist. base_path: absolute; base: what stat says of it; size: bytes of the
 * disk, 0: the base's. Durable on return. All return 0 or -1 with the reason in `why`.
 */
int overlay_create(const char *path, const char *base_path, const struct stat *base, uint64_t size,
                   char why[OVERLAY_WHY]);
/* Read and check the head of one; for those who only want to know. */
int overlay_look(int fd, struct overlay *o, char why[OVERLAY_WHY]);
/*
 * Open one for use. live: a file on a file system in memory (-1: none), that keeps the map of a backend that was killed;
 * it is taken when it belongs to the overlay as it is now. The caller holds the overlay's lock.
 */
int overlay_open(int fd, int live, struct overlay *o, char why[OVERLAY_WHY]);
/* After a flush: nobody needs the live map any more. */
void overlay_close(struct overlay *o, bool forget_live);
/* Is it made for this base as it is now? */
bool overlay_fits(const struct overlay *o, const struct stat *base);

static inline bool overlay_has(const struct overlay *o, uint64_t cluster)
{
    return o->bits[cluster / 64] >> cluster % 64 & 1;
}
/* Data of these clusters are in the file. */
void overlay_mark(struct overlay *o, uint64_t first, uint64_t count);
/* Clusters that are in the file. */
uint64_t overlay_used(const struct overlay *o);

#endif
