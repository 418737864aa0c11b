/* SPDX-License-Identifier: MIT */
/* Images of disks, opened to be looked into or changed while no domain uses them. */
#ifndef PAL_DISK_H
#define PAL_DISK_H

#include "verb.h"

#include <sys/stat.h>

#include "ubc/overlay.h"

enum image_purpose {
    IMAGE_LOOK, /* also while it is in use */
    IMAGE_READ, /* nobody writes to it meanwhile */
    IMAGE_CHANGE,
};

struct image {
    const char *path;
    int fd;
    struct stat st;
    bool is_overlay;
    bool in_use; /* somebody has it locked (IMAGE_LOOK) */
    struct overlay o;
};

/* Directory of live maps: that of pal-blkd. */
const char *image_run(void);
/* Open an image; an overlay's map, too. One that is to be changed is mended and flushed, and gets ready to be changed. -1: why. */
int image_open(struct image *i, const char *path, enum image_purpose purpose, struct pal_error *e);
void image_close(struct image *i);
/* The same for one that must be an overlay. */
int image_open_overlay(struct image *i, const char *path, enum image_purpose purpose,
                       struct pal_error *e);

enum base_state { BASE_FITS, BASE_CHANGED, BASE_MISSING };
/* What an overlay's base is, opened to read. path: NULL: the one that it names. *fd: -1 when it is missing. A block device's size is in
 * st->st_size; nobody knows when it was changed. */
enum base_state image_base(const struct image *i, const char *path, int *fd, struct stat *st);

/* Bytes as people read them. */
#define BYTES_TEXT 24
void image_bytes(char text[BYTES_TEXT], uint64_t bytes);

/* Acts in files of their own. */
int disk_info(struct call *c, struct pal *p);
int disk_flatten(struct call *c, struct pal *p);

#endif
