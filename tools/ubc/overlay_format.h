/* SPDX-License-Identifier: MIT */
/* Inside overlay*.c: the bytes of an overlay's file (OVERLAY.md). */
#ifndef UBC_OVERLAY_FORMAT_H
#define UBC_OVERLAY_FORMAT_H

#include "overlay.h"

#define OVERLAY_MAGIC       "PALCOW1\n"
#define OVERLAY_MARK_OFFSET 4096u
#define OVERLAY_MARK        16u   /* bytes of it that count */
#define OVERLAY_MAP_OFFSET  8192u /* where the map is at first */

enum { OVERLAY_FIRST_VERSION = 1, OVERLAY_MOVED_VERSION }; /* of the second, the map has moved */

struct overlay_header {
    char magic[8];
    uint32_t version, cluster;
    uint64_t size, map_offset, map_pages, data_offset;
    uint8_t id[16];
    uint64_t base_size;
    int64_t base_seconds;
    uint32_t base_nanoseconds, pad;
    char base[OVERLAY_BASE_MAX];
    uint8_t id_before[16]; /* of the header that this one took the place of */
    uint8_t rest[2964];
    uint32_t sum; /* CRC-32 of all before */
};
_Static_assert(sizeof(struct overlay_header) == OVERLAY_PAGE, "one page");

static inline uint64_t overlay_divide_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

static inline uint64_t overlay_clusters(uint64_t size)
{
    return overlay_divide_up(size, OVERLAY_CLUSTER);
}

static inline uint64_t overlay_pages_of_map(uint64_t size)
{
    return overlay_divide_up(overlay_clusters(size), OVERLAY_IN_PAGE);
}

/* Where the data of a disk of that size end. */
static inline uint64_t overlay_data_end(const struct overlay_header *h)
{
    return h->data_offset + overlay_clusters(h->size) * OVERLAY_CLUSTER;
}

/* The length of the whole file. */
static inline uint64_t overlay_length(const struct overlay_header *h)
{
    uint64_t data = overlay_data_end(h), map = h->map_offset + h->map_pages * OVERLAY_PAGE;

    return data > map ? data : map;
}

/* Note why; -1. */
int overlay_fail(char *why, const char *what, ...) __attribute__((format(printf, 2, 3)));
int overlay_read_page(int fd, uint64_t offset, void *page);
uint32_t overlay_sum(const struct overlay_header *h);
/* The header that holds: the first page's, or, when that was being replaced, the one at the file's end. */
int overlay_read_header(int fd, struct overlay_header *h, bool *is_spare, char *why);
void overlay_name_base(struct overlay_header *h, const char *path, const struct stat *base);
void overlay_new_id(struct overlay_header *h);
/* Put this header, whose sum is made here, into the place of the present one: durable, and there is one that holds at each moment.
 * All that was written before is durable, too. The file gets the length that the new one says. -1: the old one holds and the file has the
 * length of `before`, or, after an error of the medium, either holds. */
int overlay_replace_header(int fd, struct overlay_header *h, uint64_t before, char *why);
/* End a replacement that was cut off: the header in its place, nothing behind the file's end. */
int overlay_mend(int fd, char *why);

#endif
