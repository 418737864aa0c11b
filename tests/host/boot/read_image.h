/* SPDX-License-Identifier: MIT */
/* The whole way from a file to a parsed kernel, as dom0.c goes it. */
#ifndef TESTS_BOOT_READ_IMAGE_H
#define TESTS_BOOT_READ_IMAGE_H

#include "elf_image.h"
#include "kernel_image.h"

enum read_result { READ_GOOD, READ_NOT_FOUND, READ_NOT_UNPACKED, READ_CORRUPT, READ_NOT_PV };

struct read_image {
    struct kernel_payload payload;
    struct elf_image elf;
    uint8_t *unpacked; /* to be freed by read_image_free */
    const char *why;
};

/* Images that say they unpack to more than `most` bytes are not unpacked. */
enum read_result read_image(struct read_image *r, const void *file, size_t size, size_t most);
void read_image_free(struct read_image *r);

#endif
