/* SPDX-License-Identifier: MIT */
#include "read_image.h"

#include <stdlib.h>
#include <string.h>

enum read_result read_image(struct read_image *r, const void *file, size_t size, size_t most)
{
    size_t work_size;
    void *work;
    int error;

    memset(r, 0, sizeof(*r));
    if (kernel_image_find(file, size, &r->payload, &r->why))
        return READ_NOT_FOUND;
    if (r->payload.unpacked_size > most)
        return READ_NOT_UNPACKED;
    work_size = kernel_image_work_size(&r->payload);
    work = malloc(work_size);
    r->unpacked = malloc(r->payload.unpacked_size);
    error = kernel_image_unpack(&r->payload, r->unpacked, work, work_size, &r->why);
    free(work);
    if (error)
        return READ_NOT_UNPACKED;
    switch (elf_image_parse(&r->elf, r->unpacked, r->payload.unpacked_size, &r->why)) {
    case ELF_IMAGE_GOOD:
        return READ_GOOD;
    case ELF_IMAGE_NOT_PV:
        return READ_NOT_PV;
    default:
        return READ_CORRUPT;
    }
}

void read_image_free(struct read_image *r)
{
    free(r->unpacked);
    r->unpacked = NULL;
}
