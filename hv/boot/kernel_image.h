/* SPDX-License-Identifier: MIT */
/*
 * A kernel as the boot loader hands it over: a Linux bzImage, a gzip file or a plain ELF file, in
 * memory. It is hostile input like any other: each offset and size is checked in the space it
 * refers to, and what an unpacked image may take is known and limited before anything is unpacked.
 *
 * Facts about bzImage: Documentation/x86/boot.rst of Linux (the setup header; payload_offset and
 * payload_length exist since protocol 2.08), and that whatever the packing, the last four bytes of
 * the payload are the unpacked size, little-endian: gzip has them of itself, for the others the
 * kernel's build appends them.
 */
#ifndef HV_BOOT_KERNEL_IMAGE_H
#define HV_BOOT_KERNEL_IMAGE_H

#include "base/types.h"

enum kernel_packing { KERNEL_PLAIN, KERNEL_GZIP, KERNEL_XZ, KERNEL_ZSTD, KERNEL_LZ4 };

/* Larger unpacked images are refused: no kernel's addresses leave room for more. */
#define KERNEL_IMAGE_UNPACKED_MAX MiB(512)

struct kernel_payload {
    const uint8_t *data; /* within the file */
    size_t size;         /* bytes there, without an appended size */
    enum kernel_packing packing;
    size_t unpacked_size; /* bytes, as the image says; at most KERNEL_IMAGE_UNPACKED_MAX */
};

/*
 * Find the kernel proper in a file of size bytes. 0, or -XEN_EINVAL with *why set to a static
 * phrase that says what is wrong with it. Reads the file, writes nothing but the results.
 */
int kernel_image_find(const void *file, size_t size, struct kernel_payload *payload,
                      const char **why);

/* Bytes of working memory that kernel_image_unpack wants for it; 0 for a plain one. */
size_t kernel_image_work_size(const struct kernel_payload *payload);

/*
 * Unpack to out, which has room for payload->unpacked_size bytes. 0, or -XEN_EINVAL with *why set.
 * A stream that gives more or less than it declared is refused. For a plain image this is a
 * copy; the caller may as well use payload->data in place.
 */
int kernel_image_unpack(const struct kernel_payload *payload, void *out, void *work,
                        size_t work_size, const char **why);

/* The packing's name for messages. */
const char *kernel_image_packing_name(enum kernel_packing packing);

#endif
