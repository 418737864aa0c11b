/* SPDX-License-Identifier: MIT */
/* Where an image is written to: a file that gets its name at the end, or a stream. */
#ifndef IMAGE_OUTPUT_H
#define IMAGE_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "libpal/error.h"

/* Called now and then while a stream takes nothing; false stops. */
typedef bool output_patience_fn(void *context);

struct output {
    int fd;
    uint64_t offset; /* bytes written */
    output_patience_fn *patience;
    void *context;
    char *path;       /* of a file; NULL: a stream */
    int directory;    /* that it is in */
    const char *name; /* within path */
    char *temporary;  /* its name now, in the directory; NULL: none yet, or none any more */
    bool waits;       /* a pipe or socket: ask before writing */
    bool owned;       /* a pipe's own opening, which does not block */
    uint64_t flushed; /* of a file: what the disk was told to begin with */
};

int output_create(struct output *o, const char *path, struct pal_error *e);
int output_stream(struct output *o, int fd, struct pal_error *e);
/* Write all of it; the vector is used up. */
int output_write(struct output *o, struct iovec *parts, unsigned count, struct pal_error *e);
/* Everything is on the disk (a stream: nothing to do). */
int output_sync(struct output *o, struct pal_error *e);
/* Give the file its name, and see to it that it keeps it. */
int output_publish(struct output *o, struct pal_error *e);
/* Close, and remove what was not published. */
void output_close(struct output *o);

#endif
