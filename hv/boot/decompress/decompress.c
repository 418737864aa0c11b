/* SPDX-License-Identifier: MIT */
/*
 * The four decoders behind one call. Each library is told where its memory comes from, so the C
 * library's heap is never asked: an arena that is only ever filled, and given back as a whole.
 */
#include "decompress.h"

#include <lz4.h>
#include <lzma.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>
#include <zlib.h>

#define ARENA_ALIGN 64

struct arena {
    uint8_t *next;
    size_t left;
};

static struct arena arena_over(void *memory, size_t size)
{
    size_t skip = -(uintptr_t)memory & (ARENA_ALIGN - 1);
    struct arena a = {memory, 0};

    if (skip <= size) {
        a.next += skip;
        a.left = size - skip;
    }
    return a;
}

static void *arena_take(struct arena *a, size_t count, size_t each)
{
    size_t size;
    uint8_t *p = a->next;

    if (__builtin_mul_overflow(count, each, &size) || size > a->left)
        return NULL;
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (size > a->left)
        size = a->left;
    a->next += size;
    a->left -= size;
    return p;
}

/* ---- gzip ---- */

static voidpf gzip_take(voidpf arena, uInt count, uInt each)
{
    return arena_take(arena, count, each);
}

static void gzip_give(voidpf arena, voidpf p)
{
    (void)arena;
    (void)p;
}

/* zlib counts in unsigned int: hand it what is left, a gigabyte at a time. */
static uInt gzip_window(size_t left)
{
    return left > (1u << 30) ? 1u << 30 : (uInt)left;
}

static enum decompress_result gzip_loop(z_stream *z, struct decompress_job *job)
{
    size_t in_left = job->in_size, out_left = job->out_size;
    int rc;

    z->next_in = (Bytef *)job->in;
    z->next_out = job->out;
    do {
        uInt in_now = gzip_window(in_left), out_now = gzip_window(out_left);

        z->avail_in = in_now;
        z->avail_out = out_now;
        rc = inflate(z, Z_NO_FLUSH);
        in_left -= in_now - z->avail_in;
        out_left -= out_now - z->avail_out;
    } while (rc == Z_OK && in_left);
    job->produced = job->out_size - out_left;
    if (rc == Z_STREAM_END)
        return DECOMPRESS_OK;
    /* No progress with input at hand: it had no room. Without input the stream's end is missing. */
    if (rc == Z_BUF_ERROR && in_left && !out_left)
        return DECOMPRESS_TOO_LARGE;
    return rc == Z_MEM_ERROR ? DECOMPRESS_NO_MEMORY : DECOMPRESS_CORRUPT;
}

static enum decompress_result gunzip(struct arena *a, struct decompress_job *job)
{
    z_stream z = {.zalloc = gzip_take, .zfree = gzip_give, .opaque = a};
    enum decompress_result result;

    if (inflateInit2(&z, 15 + 16) != Z_OK) /* largest window, gzip wrapping only */
        return DECOMPRESS_NO_MEMORY;
    result = gzip_loop(&z, job);
    inflateEnd(&z);
    return result;
}

/* ---- XZ ---- */

static void *xz_take(void *arena, size_t count, size_t each)
{
    return arena_take(arena, count, each);
}

static void xz_give(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

static enum decompress_result unxz(struct arena *a, struct decompress_job *job)
{
    const lzma_allocator allocator = {xz_take, xz_give, a};
    uint64_t limit = a->left;
    size_t in_at = 0;
    lzma_ret rc;

    job->produced = 0;
    rc = lzma_stream_buffer_decode(&limit, 0, &allocator, job->in, &in_at, job->in_size, job->out,
                                   &job->produced, job->out_size);
    switch (rc) {
    case LZMA_OK:
        return DECOMPRESS_OK;
    case LZMA_BUF_ERROR:
        return DECOMPRESS_TOO_LARGE;
    case LZMA_MEM_ERROR:
    case LZMA_MEMLIMIT_ERROR:
        return DECOMPRESS_NO_MEMORY;
    default:
        return DECOMPRESS_CORRUPT;
    }
}

/* ---- Zstandard ---- */

/*
 * The whole output is at hand, so matches are read from it and no window is kept apart. Only one
 * frame of the present format is decoded: what follows it is not given to the library, which
 * would try the formats of its youth on it.
 */
static enum decompress_result unzstd(struct arena *a, struct decompress_job *job)
{
    ZSTD_frameHeader header;
    size_t frame, n, work = ZSTD_estimateDCtxSize();
    void *memory = arena_take(a, 1, work);
    ZSTD_DCtx *ctx = memory ? ZSTD_initStaticDCtx(memory, work) : NULL;

    if (!ctx)
        return DECOMPRESS_NO_MEMORY;
    if (ZSTD_getFrameHeader(&header, job->in, job->in_size) || header.frameType != ZSTD_frame)
        return DECOMPRESS_CORRUPT;
    frame = ZSTD_findFrameCompressedSize(job->in, job->in_size);
    if (ZSTD_isError(frame) || frame > job->in_size)
        return DECOMPRESS_CORRUPT;
    n = ZSTD_decompressDCtx(ctx, job->out, job->out_size, job->in, frame);
    if (ZSTD_isError(n))
        return ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall ? DECOMPRESS_TOO_LARGE
                                                                   : DECOMPRESS_CORRUPT;
    job->produced = n;
    return DECOMPRESS_OK;
}

/* ---- LZ4 ---- */

#define LZ4_LEGACY_MAGIC 0x184c2102u
#define LZ4_BLOCK_MOST                                                                             \
    (8 << 20) /* what a block unpacks to at most; all but the last to just that */

static uint32_t word_at(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/*
 * The form that `lz4 -l` writes and kernels use: the magic number, then blocks behind their packed
 * sizes to the end of the input; the magic number may come again. There is no checksum.
 */
static enum decompress_result unlz4(struct decompress_job *job)
{
    size_t at = 4;

    if (job->in_size < 4 || word_at(job->in) != LZ4_LEGACY_MAGIC)
        return DECOMPRESS_CORRUPT;
    while (at < job->in_size) {
        size_t room = job->out_size - job->produced, size;
        int got;

        if (job->in_size - at < 4)
            return DECOMPRESS_CORRUPT;
        size = word_at(job->in + at);
        at += 4;
        if (size == LZ4_LEGACY_MAGIC)
            continue;
        if (size == 0 || size > LZ4_COMPRESSBOUND(LZ4_BLOCK_MOST) || size > job->in_size - at)
            return DECOMPRESS_CORRUPT;
        if (room > LZ4_BLOCK_MOST)
            room = LZ4_BLOCK_MOST;
        got = LZ4_decompress_safe((const char *)job->in + at, (char *)job->out + job->produced,
                                  (int)size, (int)room);
        if (got < 0)
            return DECOMPRESS_CORRUPT; /* or larger than it may be: the library does not tell */
        job->produced += (size_t)got;
        at += size;
    }
    return DECOMPRESS_OK;
}

enum decompress_result decompress_here(enum decompress_kind kind, struct decompress_job *job)
{
    struct arena a = arena_over(job->work, job->work_size);

    job->produced = 0;
    switch (kind) {
    case DECOMPRESS_GZIP:
        return gunzip(&a, job);
    case DECOMPRESS_XZ:
        return unxz(&a, job);
    case DECOMPRESS_ZSTD:
        return unzstd(&a, job);
    case DECOMPRESS_LZ4:
        return unlz4(job);
    }
    return DECOMPRESS_CORRUPT;
}
