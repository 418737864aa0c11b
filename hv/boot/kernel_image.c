/* SPDX-License-Identifier: MIT */
/* Recognising and unpacking a kernel file. See kernel_image.h. */
#include "kernel_image.h"

#include <xen/errno.h>
#include "base/string.h"
#include "decompress/decompress.h"

/* Offsets in a bzImage, from its first byte. */
#define SETUP_SECTS    0x1f1 /* u8: sectors of real-mode code after the first; 0 means 4 */
#define BOOT_FLAG      0x1fe /* u16: 0xaa55 */
#define HEADER_MAGIC   0x202 /* "HdrS" */
#define HEADER_VERSION 0x206 /* u16 */
#define PAYLOAD_OFFSET 0x248 /* u32, from the end of the real-mode code */
#define PAYLOAD_LENGTH 0x24c /* u32 */
#define HEADER_END     0x250
#define SECTOR         512

#define VERSION_WITH_PAYLOAD 0x0208
#define SIZE_FIELD           4
/* The smallest complete gzip file is 18 bytes, XZ 32, Zstandard 9; an ELF header alone is 64. */
#define PAYLOAD_MIN 18

static int refuse(const char **why, const char *phrase)
{
    *why = phrase;
    return -XEN_EINVAL;
}

static uint32_t le16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p) | le16(p + 2) << 16;
}

static bool starts_with(const uint8_t *data, size_t size, const char *magic, size_t n)
{
    return size >= n && !memcmp(data, magic, n);
}

static bool is_elf(const uint8_t *data, size_t size)
{
    return starts_with(data, size, "\177ELF", 4);
}

static bool is_gzip(const uint8_t *data, size_t size)
{
    return starts_with(data, size, "\037\213\010", 3);
}

static bool is_bzimage(const uint8_t *data, size_t size)
{
    return size >= HEADER_END && le16(data + BOOT_FLAG) == 0xaa55 &&
           starts_with(data + HEADER_MAGIC, 4, "HdrS", 4);
}

static int find_packing(struct kernel_payload *p, const char **why)
{
    if (is_elf(p->data, p->size))
        p->packing = KERNEL_PLAIN;
    else if (is_gzip(p->data, p->size))
        p->packing = KERNEL_GZIP;
    else if (starts_with(p->data, p->size, "\3757zXZ\0", 6))
        p->packing = KERNEL_XZ;
    else if (starts_with(p->data, p->size, "\050\265\057\375", 4))
        p->packing = KERNEL_ZSTD;
    else if (starts_with(p->data, p->size, "\2\041L\030", 4))
        p->packing = KERNEL_LZ4;
    else
        return refuse(why, "it is packed in a way other than gzip, XZ, Zstandard and LZ4");
    return 0;
}

/* Take the unpacked size from the end of the payload. */
static int find_unpacked_size(struct kernel_payload *p, const char **why)
{
    p->unpacked_size = le32(p->data + p->size - SIZE_FIELD);
    if (p->packing != KERNEL_GZIP)
        p->size -= SIZE_FIELD;
    if (p->packing == KERNEL_PLAIN && p->unpacked_size != p->size)
        return refuse(why, "its payload's length does not match the size that it declares");
    if (p->unpacked_size == 0)
        return refuse(why, "it says that it unpacks to nothing");
    if (p->unpacked_size > KERNEL_IMAGE_UNPACKED_MAX)
        return refuse(why, "it says that it unpacks to more than 512 MiB");
    return 0;
}

static int find_in_bzimage(const uint8_t *file, size_t size, struct kernel_payload *p,
                           const char **why)
{
    size_t sectors = file[SETUP_SECTS] ? file[SETUP_SECTS] : 4;
    size_t start = (sectors + 1) * SECTOR;
    size_t offset = le32(file + PAYLOAD_OFFSET), length = le32(file + PAYLOAD_LENGTH);
    int rc;

    if (le16(file + HEADER_VERSION) < VERSION_WITH_PAYLOAD)
        return refuse(why, "its boot protocol is older than 2.08");
    if (start > size || offset > size - start)
        return refuse(why, "the file ends before its payload: it is cut short");
    if (length > size - start - offset)
        return refuse(why, "the file ends within its payload: it is cut short");
    if (length < PAYLOAD_MIN)
        return refuse(why, "its payload is too short to hold a kernel");
    p->data = file + start + offset;
    p->size = length;
    rc = find_packing(p, why);
    return rc ? rc : find_unpacked_size(p, why);
}

int kernel_image_find(const void *file, size_t size, struct kernel_payload *payload,
                      const char **why)
{
    const uint8_t *data = file;

    *payload = (struct kernel_payload){.data = data, .size = size};
    if (is_bzimage(data, size))
        return find_in_bzimage(data, size, payload, why);
    if (is_elf(data, size)) {
        payload->packing = KERNEL_PLAIN;
        payload->unpacked_size = size;
        return 0;
    }
    if (is_gzip(data, size) && size >= PAYLOAD_MIN) {
        payload->packing = KERNEL_GZIP;
        return find_unpacked_size(payload, why);
    }
    return refuse(why, "it is neither a Linux bzImage, nor an ELF file, nor one packed by gzip");
}

static enum decompress_kind decompress_kind_of(enum kernel_packing packing)
{
    return packing == KERNEL_GZIP  ? DECOMPRESS_GZIP
           : packing == KERNEL_XZ  ? DECOMPRESS_XZ
           : packing == KERNEL_LZ4 ? DECOMPRESS_LZ4
                                   : DECOMPRESS_ZSTD;
}

size_t kernel_image_work_size(const struct kernel_payload *payload)
{
    if (payload->packing == KERNEL_PLAIN)
        return 0;
    return decompress_work_size(decompress_kind_of(payload->packing));
}

int kernel_image_unpack(const struct kernel_payload *payload, void *out, void *work,
                        size_t work_size, const char **why)
{
    struct decompress_job job = {.in = payload->data,
                                 .in_size = payload->size,
                                 .out = out,
                                 .out_size = payload->unpacked_size,
                                 .work = work,
                                 .work_size = work_size};

    if (payload->packing == KERNEL_PLAIN) {
        memcpy(out, payload->data, payload->unpacked_size);
        return 0;
    }
    switch (decompress(decompress_kind_of(payload->packing), &job)) {
    case DECOMPRESS_OK:
        break;
    case DECOMPRESS_TOO_LARGE:
        return refuse(why, "it unpacks to more than it declares");
    case DECOMPRESS_NO_MEMORY:
        return refuse(why, "it wants more memory for unpacking than kernels do");
    case DECOMPRESS_CORRUPT:
    default:
        return refuse(why, "its packed data are damaged");
    }
    if (job.produced != payload->unpacked_size)
        return refuse(why, "it unpacks to less than it declares");
    return 0;
}

const char *kernel_image_packing_name(enum kernel_packing packing)
{
    switch (packing) {
    case KERNEL_PLAIN:
        return "plain";
    case KERNEL_GZIP:
        return "gzip";
    case KERNEL_XZ:
        return "XZ";
    case KERNEL_ZSTD:
        return "Zstandard";
    case KERNEL_LZ4:
        return "LZ4";
    }
    return "?";
}
