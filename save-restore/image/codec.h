/* SPDX-License-Identifier: MIT */
/* Packing and unpacking the pages of a chunk. */
#ifndef IMAGE_CODEC_H
#define IMAGE_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "image/format.h"

/* How hard to pack, in the order of effort. */
enum effort {
    EFFORT_STORED,
    EFFORT_LZ4_FAST, /* a third of the time for a third more */
    EFFORT_LZ4,
    EFFORT_ZLIB_FAST,
    EFFORT_ZLIB,
    EFFORT_ZLIB_BEST,
    EFFORTS
};

/* Work memory of one thread, made as it is needed. */
struct codec;
struct codec *codec_new(void);
void codec_free(struct codec *c);

/*
 * Pack into `out`, which has room for `size` bytes. Returns the packed size, which is less than `size`,
 * with the codec set; or 0: it does not get smaller (or there is no memory), store it.
 */
size_t codec_pack(struct codec *c, enum effort effort, const void *in, size_t size, void *out,
                  enum image_codec *codec);
/* Unpack into exactly `size` bytes, from exactly `packed` bytes. */
bool codec_unpack(struct codec *c, enum image_codec codec, const void *in, size_t packed, void *out,
                  size_t size);

#endif
