/* SPDX-License-Identifier: MIT */
/*
 * A kernel file of the user's, ready to be put into a domain: found, unpacked (or taken from the
 * cache of unpacked kernels, which is by content), and parsed. The file is hostile input; the
 * parsers are those of the hypervisor (hv/boot), which check every offset and size.
 */
#ifndef BUILDER_IMAGE_H
#define BUILDER_IMAGE_H

#include "libpal/error.h"

#include "elf_image.h"

struct pal_image {
    struct elf_image elf;
    void *file; /* the file as it is, mapped */
    size_t file_size;
    void *unpacked; /* NULL when the file is plain */
    size_t unpacked_size;
};

/* A whole file, mapped for reading; an empty one is refused. `code` is the error's. */
int pal_map_file(const char *path, void **at, size_t *size, enum pal_code code,
                 struct pal_error *e);

/* memory: bytes that the domain has; a kernel that unpacks to more is refused unseen. */
int pal_image_open(struct pal_image *image, const char *path, uint64_t memory, struct pal_error *e);
void pal_image_close(struct pal_image *image);

/* ---- the cache (cache.c) ---- */

/* Where unpacked kernels are kept; $PAL_CACHE_DIR instead of /var/cache/pal in tests. */
const char *pal_cache_directory(void);
/* The unpacked form of these packed bytes, mapped; NULL when it is not there. */
void *pal_cache_find(const void *packed, size_t packed_size, size_t unpacked_size);
/* Keep it. What goes wrong is of no consequence but the time of the next unpacking. */
void pal_cache_keep(const void *packed, size_t packed_size, const void *data, size_t size);

#endif
