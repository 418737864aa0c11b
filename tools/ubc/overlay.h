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

/* What another process needs to know of one that is open. */
struct overlay_head {
    uint64_t size; /* of the disk */
    uint64_t map_offset, map_pages, data_offset;
    bool all_saved; /* the file's map is as the live one */
};

struct overlay {
    int fd;
    uint32_t version;
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
    uint64_t unflushed; /* clusters that only the live map tells of (overlay_open_apart) */
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
/* Hand one that is open over to another process, with both files: that opens it without a transfer. */
void overlay_tell(const struct overlay *o, struct overlay_head *head);
int overlay_take(int fd, int live, const struct overlay_head *head, struct overlay *o,
                 char why[OVERLAY_WHY]);
/* After a flush: nobody needs the live map any more. */
void overlay_close(struct overlay *o, bool forget_live);
/* Does the file begin as overlays do? */
bool overlay_is(int fd);
/* Open its live map in that directory. -1: errno. */
int overlay_live(const struct overlay *o, const char *directory, int flags);

/*
 * For tools. The map as it is, with what a backend that was killed left behind in the directory of live maps; nothing is written. End
 * with overlay_leave().
 */
enum overlay_lock {
    OVERLAY_UNLOCKED, /* somebody else has the overlay's lock: what is told may be old already */
    OVERLAY_SHARED,   /* the caller has it, to read */
    OVERLAY_EXCLUSIVE,
};
int overlay_open_apart(int fd, const char *directory, enum overlay_lock lock, struct overlay *o,
                       char why[OVERLAY_WHY]);
/* Make durable what only the live map tells of, and forget that; mend what a change that was cut off left. With the lock (exclusive). */
int overlay_save(struct overlay *o, char why[OVERLAY_WHY]);
void overlay_leave(struct overlay *o);
/*
 * Changes of one that is saved; all or nothing over a power cut, durable on return; *o is as the file is then. With the lock (exclusive).
 * Grow the disk: what is added reads as zeros.
 */
int overlay_grow(struct overlay *o, uint64_t size, char why[OVERLAY_WHY]);
/* It is for this base from now on, and another overlay than all copies of it. base_path: absolute. */
int overlay_rebase(struct overlay *o, const char *base_path, const struct stat *base,
                   char why[OVERLAY_WHY]);

/* What the file has in the room of its data, in clusters. */
struct overlay_survey {
    uint64_t own;    /* bits of the map */
    uint64_t filled; /* of these: in the file; the others are holes, which guests discarded */
    uint64_t stray;  /* written, and of no use: the power failed before they were flushed */
};
/* go_on: also read all of it, and call this from time to time; false ends it. NULL: only look. -1: it cannot be read, or was ended. */
int overlay_survey(const struct overlay *o, struct overlay_survey *s,
                   bool (*go_on)(void *context, uint64_t bytes), void *context,
                   char why[OVERLAY_WHY]);
/* Give a new file its name, never over another; the name it had goes in any case. Durable on return. */
int overlay_publish(const char *temporary, const char *path, char why[OVERLAY_WHY]);

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
