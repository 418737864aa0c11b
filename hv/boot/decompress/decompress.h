/* SPDX-License-Identifier: MIT */
/*
 * One call that unpacks a whole buffer in memory, over the distribution's own libraries: liblzma
 * for XZ, libzstd for Zstandard, zlib for gzip, liblz4 for LZ4.
 *
 * In the hypervisor the libraries are linked, with a few C library functions of our own, into one
 * relocatable object whose only global symbol is decompress (rules.mk). The libraries use SSE
 * registers, the area below the stack pointer and the thread pointer, none of which the hypervisor
 * proper does: enter.c gives them that, at boot, on one CPU, with interrupts off and before there
 * is a guest. In host programs the same decompress.c uses the shared libraries.
 */
#ifndef HV_BOOT_DECOMPRESS_H
#define HV_BOOT_DECOMPRESS_H

#include <stddef.h>
#include <stdint.h>

enum decompress_kind { DECOMPRESS_GZIP, DECOMPRESS_XZ, DECOMPRESS_ZSTD, DECOMPRESS_LZ4 };

enum decompress_result {
    DECOMPRESS_OK,
    DECOMPRESS_CORRUPT,   /* not a valid stream of that kind, or it ends too early */
    DECOMPRESS_TOO_LARGE, /* it wants to give more than out_size bytes */
    DECOMPRESS_NO_MEMORY, /* the decoder wants more working memory than it was given */
};

struct decompress_job {
    const uint8_t *in;
    size_t in_size; /* bytes; what follows the end of the stream is ignored */
    uint8_t *out;
    size_t out_size; /* room, bytes: never a byte more is written */
    void *work;      /* working memory, contents do not matter; not needed afterwards */
    size_t work_size;
    size_t produced; /* result: bytes written; meaningful with DECOMPRESS_OK */
};

/*
 * Bytes of working memory that suffice for every stream of this kind that we accept. XZ keeps its
 * dictionary there: kernels are packed with at most 32 MiB of it.
 */
static inline size_t decompress_work_size(enum decompress_kind kind)
{
    return kind == DECOMPRESS_XZ ? (size_t)33 << 20 : (size_t)256 << 10;
}

/* Unpack. No input, however made, writes outside out and work or runs for ever. */
enum decompress_result decompress(enum decompress_kind kind, struct decompress_job *job);

/*
 * The same for a CPU that is already in the state the libraries want (see the top). decompress() is
 * this with the state put on and taken off; in host programs there is nothing to put on.
 */
enum decompress_result decompress_here(enum decompress_kind kind, struct decompress_job *job);

#endif
