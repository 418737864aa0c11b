/* SPDX-License-Identifier: MIT */
#include "image/codec.h"

#include <stdlib.h>
#include <string.h>

#include <lz4.h>
#include <zlib.h>

#define RAW_DEFLATE (-15) /* no header, no checksum: the chunk has its own */

struct codec {
    void *lz4;
    z_stream deflate, inflate;
    bool have_deflate, have_inflate;
    int level;
};

struct codec *codec_new(void)
{
    return calloc(1, sizeof(struct codec));
}

void codec_free(struct codec *c)
{
    if (!c)
        return;
    free(c->lz4);
    if (c->have_deflate)
        deflateEnd(&c->deflate);
    if (c->have_inflate)
        inflateEnd(&c->inflate);
    free(c);
}

static size_t pack_lz4(struct codec *c, int acceleration, const void *in, size_t size, void *out)
{
    int got;

    if (!c->lz4)
        c->lz4 = malloc((size_t)LZ4_sizeofState());
    if (!c->lz4)
        return 0;
    got = LZ4_compress_fast_extState(c->lz4, in, out, (int)size, (int)size - 1, acceleration);
    return got > 0 ? (size_t)got : 0;
}

static bool deflate_ready(struct codec *c, int level)
{
    if (!c->have_deflate) {
        if (deflateInit2(&c->deflate, level, Z_DEFLATED, RAW_DEFLATE, 8, Z_DEFAULT_STRATEGY))
            return false;
        c->have_deflate = true;
    } else if (deflateReset(&c->deflate)) {
        return false;
    } else if (c->level != level && deflateParams(&c->deflate, level, Z_DEFAULT_STRATEGY)) {
        return false;
    }
    c->level = level;
    return true;
}

static size_t pack_zlib(struct codec *c, int level, const void *in, size_t size, void *out)
{
    if (!deflate_ready(c, level))
        return 0;
    c->deflate.next_in = (void *)in; /* deflate() only reads it */
    c->deflate.avail_in = (uInt)size;
    c->deflate.next_out = out;
    c->deflate.avail_out = (uInt)size - 1;
    if (deflate(&c->deflate, Z_FINISH) != Z_STREAM_END)
        return 0;
    return size - 1 - c->deflate.avail_out;
}

size_t codec_pack(struct codec *c, enum effort effort, const void *in, size_t size, void *out,
                  enum image_codec *codec)
{
    /* Of LZ4 the acceleration, of zlib the level. */
    static const int how[EFFORTS] = {0, 128, 1, 1, 4, 6};
    bool lz4 = effort <= EFFORT_LZ4;

    *codec = IMAGE_STORED;
    if (effort == EFFORT_STORED || size == 0)
        return 0;
    *codec = lz4 ? IMAGE_LZ4 : IMAGE_ZLIB;
    return lz4 ? pack_lz4(c, how[effort], in, size, out) : pack_zlib(c, how[effort], in, size, out);
}

static bool unpack_zlib(struct codec *c, const void *in, size_t packed, void *out, size_t size)
{
    if (!c->have_inflate) {
        if (inflateInit2(&c->inflate, RAW_DEFLATE))
            return false;
        c->have_inflate = true;
    } else if (inflateReset(&c->inflate)) {
        return false;
    }
    c->inflate.next_in = (void *)in;
    c->inflate.avail_in = (uInt)packed;
    c->inflate.next_out = out;
    c->inflate.avail_out = (uInt)size;
    return inflate(&c->inflate, Z_FINISH) == Z_STREAM_END && !c->inflate.avail_in &&
           !c->inflate.avail_out;
}

bool codec_unpack(struct codec *c, enum image_codec codec, const void *in, size_t packed, void *out,
                  size_t size)
{
    switch (codec) {
    case IMAGE_STORED:
        if (packed != size)
            return false;
        memcpy(out, in, size);
        return true;
    case IMAGE_LZ4:
        return LZ4_decompress_safe(in, out, (int)packed, (int)size) == (int)size;
    case IMAGE_ZLIB:
        return unpack_zlib(c, in, packed, out, size);
    }
    return false;
}
