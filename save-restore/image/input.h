/* SPDX-License-Identifier: MIT */
/* Where an image is read from: a file, or a stream that only goes forwards. */
#ifndef IMAGE_INPUT_H
#define IMAGE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Called now and then while a stream gives nothing; false stops. */
typedef bool input_patience_fn(void *context);

struct input {
    int fd;
    char *name;
    bool owned;
    bool file;       /* can be read anywhere */
    uint64_t base;   /* of a file: where the image begins in it */
    uint64_t offset; /* of what is read next */
    input_patience_fn *patience;
    void *context;
};

/* 0, or -1 with errno. A path is opened; without one, fd is used and stays the caller's. */
int input_open(struct input *in, const char *path, int fd, const char *name);
void input_close(struct input *in);
/*
 * Read `size` bytes and go on behind them. Returns how many there were: fewer only at the end; or -1
 * with errno (ECANCELED: patience said so).
 */
ssize_t input_read(struct input *in, void *to, size_t size);
/* Of a file: the same anywhere, also from several threads at once. */
ssize_t input_read_at(const struct input *in, uint64_t offset, void *to, size_t size);
/* The length of a file from base on, or -1. */
int64_t input_length(const struct input *in);

#endif
