/* SPDX-License-Identifier: MIT */
#include "builder/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decompress/decompress.h"
#include "kernel_image.h"

#define FILE_MOST GiB(64) /* an initial RAM disk larger than that is none */

/* The hypervisor has to prepare the machine for its decoders; a program has not. */
enum decompress_result decompress(enum decompress_kind kind, struct decompress_job *job)
{
    return decompress_here(kind, job);
}

int pal_map_file(const char *path, void **at, size_t *size, enum pal_code code, struct pal_error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    int rc = 0;

    if (fd < 0)
        return pal_fail(e, code, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st))
        rc = pal_fail(e, code, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        rc = pal_fail(e, code, "%s is not a plain file", path);
    else if (st.st_size == 0 || (uint64_t)st.st_size > FILE_MOST)
        rc = pal_fail(e, code, "%s is empty, or larger than any image", path);
    if (!rc) {
        *size = (size_t)st.st_size;
        *at = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (*at == MAP_FAILED)
            rc = pal_fail(e, code, "%s: %s", path, strerror(errno));
    }
    close(fd);
    return rc;
}

static int unpack(struct pal_image *image, const struct kernel_payload *payload, const char *path,
                  struct pal_error *e)
{
    size_t work_size = kernel_image_work_size(payload);
    const char *why = "";
    void *work, *out;
    int rc;

    out = mmap(NULL, payload->unpacked_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
               -1, 0);
    work = malloc(work_size);
    if (out == MAP_FAILED || !work) {
        free(work);
        if (out != MAP_FAILED)
            munmap(out, payload->unpacked_size);
        return pal_fail(e, PAL_SYS_FAILED, "out of memory for unpacking %s", path);
    }
    rc = kernel_image_unpack(payload, out, work, work_size, &why);
    free(work);
    if (rc) {
        munmap(out, payload->unpacked_size);
        return pal_fail(e, PAL_IMG_DAMAGED, "%s: %s", path, why);
    }
    image->unpacked = out;
    return 0;
}

static int find(struct pal_image *image, const char *path, uint64_t memory, struct pal_error *e)
{
    struct kernel_payload payload;
    const char *why = "";

    if (kernel_image_find(image->file, image->file_size, &payload, &why))
        return pal_fail(e, PAL_IMG_DAMAGED, "%s: %s", path, why);
    if (payload.packing == KERNEL_PLAIN) {
        image->unpacked_size = payload.size;
        return 0;
    }
    if (payload.unpacked_size > memory) {
        pal_fail(e, PAL_MEM_GUEST, "the kernel unpacks to %zu MiB; the domain's memory is %llu MiB",
                 payload.unpacked_size >> 20, (unsigned long long)memory >> 20);
        return pal_remedy(e, "give it more: <memory unit='MiB'>%zu</memory>",
                          ROUND_UP(4 * payload.unpacked_size, MiB(64)) >> 20);
    }
    image->unpacked_size = payload.unpacked_size;
    image->unpacked = pal_cache_find(payload.data, payload.size, payload.unpacked_size);
    if (image->unpacked)
        return 0;
    if (unpack(image, &payload, path, e))
        return -1;
    pal_cache_keep(payload.data, payload.size, image->unpacked, image->unpacked_size);
    return 0;
}

int pal_image_open(struct pal_image *image, const char *path, uint64_t memory, struct pal_error *e)
{
    const char *why = "";
    const void *elf;

    *image = (struct pal_image){0};
    if (pal_map_file(path, &image->file, &image->file_size, PAL_IMG_UNREADABLE, e))
        return -1;
    if (find(image, path, memory, e))
        goto fail;
    elf = image->unpacked ? image->unpacked : image->file;
    switch (elf_image_parse(&image->elf, elf, image->unpacked_size, &why)) {
    case ELF_IMAGE_GOOD:
        return 0;
    case ELF_IMAGE_CORRUPT:
        pal_fail(e, PAL_IMG_DAMAGED, "%s: %s", path, why);
        break;
    case ELF_IMAGE_NOT_PV:
        pal_fail(e, PAL_IMG_NOT_PV, "%s: %s", path, why);
        break;
    }
fail:
    pal_image_close(image);
    return -1;
}

void pal_image_close(struct pal_image *image)
{
    if (image->unpacked)
        munmap(image->unpacked, image->unpacked_size);
    if (image->file)
        munmap(image->file, image->file_size);
    *image = (struct pal_image){0};
}
