/* SPDX-License-Identifier: MIT */
/*
 * The header: read, and replaced so that one holds at each moment. A write of a page may be cut in the middle by a power cut; so the
 * new one first goes behind the file's end, then into its place.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <zlib.h>

#include "overlay_format.h"

#define OFFSET_MOST (OVERLAY_MOST * 4) /* of what lies in a file whose map has moved */

int overlay_fail(char *why, const char *what, ...)
{
    va_list list;

    va_start(list, what);
    vsnprintf(why, OVERLAY_WHY, what, list);
    va_end(list);
    return -1;
}

int overlay_read_page(int fd, uint64_t offset, void *page)
{
    ssize_t got = pread(fd, page, OVERLAY_PAGE, (off_t)offset);

    return got == OVERLAY_PAGE ? 0 : -1;
}

uint32_t overlay_sum(const struct overlay_header *h)
{
    return (uint32_t)crc32(0, (const Bytef *)h, offsetof(struct overlay_header, sum));
}

/* Do map and data lie where they can? */
static bool is_laid_out(const struct overlay_header *h)
{
    if (h->version == OVERLAY_FIRST_VERSION)
        return h->map_offset == OVERLAY_MAP_OFFSET &&
               h->data_offset == OVERLAY_MAP_OFFSET + h->map_pages * OVERLAY_PAGE;
    return h->data_offset % OVERLAY_PAGE == 0 && h->map_offset % OVERLAY_PAGE == 0 &&
           h->data_offset >= OVERLAY_MAP_OFFSET && h->data_offset <= OFFSET_MOST &&
           h->map_offset >= overlay_data_end(h) && h->map_offset <= OFFSET_MOST;
}

static int check(const struct overlay_header *h, uint64_t file_size, char *why)
{
    if (memcmp(h->magic, OVERLAY_MAGIC, sizeof(h->magic)))
        return overlay_fail(why, "it is not an overlay");
    if (h->version != OVERLAY_FIRST_VERSION && h->version != OVERLAY_MOVED_VERSION)
        return overlay_fail(why, "it is of version %" PRIu32 ", which this program does not know",
                            h->version);
    if (h->sum != overlay_sum(h))
        return overlay_fail(why, "its header is damaged");
    if (h->cluster != OVERLAY_CLUSTER || !h->size || h->size % 512 || h->size > OVERLAY_MOST ||
        h->base_size / 512 * 512 > h->size || h->map_pages != overlay_pages_of_map(h->size) ||
        !is_laid_out(h) || !memchr(h->base, 0, sizeof(h->base)))
        return overlay_fail(why, "its header makes no sense");
    if (file_size < overlay_length(h))
        return overlay_fail(why, "it is cut off: %" PRIu64 " bytes of %" PRIu64, file_size,
                            overlay_length(h));
    return 0;
}

/*
 * The file's last page: is it what was to take the place of the damaged header? That one still has the identity of before or the new one
 * in its first sector, which no guest ever learns: a guest's last cluster cannot pass for it.
 */
static bool is_successor(const struct overlay_header *h, const struct overlay_header *damaged,
                         uint64_t file_size)
{
    char unused[OVERLAY_WHY];

    return !check(h, file_size, unused) && overlay_length(h) + OVERLAY_PAGE == file_size &&
           (!memcmp(damaged->id, h->id, sizeof(h->id)) ||
            !memcmp(damaged->id, h->id_before, sizeof(h->id)));
}

int overlay_read_header(int fd, struct overlay_header *h, bool *is_spare, char *why)
{
    struct overlay_header *last;
    struct stat st;
    int rc;

    *is_spare = false;
    if (fstat(fd, &st))
        return overlay_fail(why, "it cannot be looked at");
    if (overlay_read_page(fd, 0, h))
        return overlay_fail(why, "it is not an overlay");
    rc = check(h, (uint64_t)st.st_size, why);
    if (!rc || st.st_size % OVERLAY_PAGE || st.st_size < 3 * (off_t)OVERLAY_PAGE)
        return rc;
    last = aligned_alloc(OVERLAY_PAGE, OVERLAY_PAGE);
    if (last && !overlay_read_page(fd, (uint64_t)st.st_size - OVERLAY_PAGE, last) &&
        is_successor(last, h, (uint64_t)st.st_size)) {
        memcpy(h, last, sizeof(*h));
        *is_spare = true;
        rc = 0;
    }
    free(last);
    return rc;
}

void overlay_name_base(struct overlay_header *h, const char *path, const struct stat *base)
{
    memset(h->base, 0, sizeof(h->base));
    snprintf(h->base, sizeof(h->base), "%s", path);
    h->base_size = (uint64_t)base->st_size;
    h->base_seconds = base->st_mtim.tv_sec;
    h->base_nanoseconds = (uint32_t)base->st_mtim.tv_nsec;
}

void overlay_new_id(struct overlay_header *h)
{
    if (getrandom(h->id, sizeof(h->id), 0) != sizeof(h->id))
        abort(); /* cannot fail for so few bytes once the system runs */
}

static int put_page(int fd, uint64_t offset, const void *page)
{
    return pwrite(fd, page, OVERLAY_PAGE, (off_t)offset) == OVERLAY_PAGE && !fsync(fd) ? 0 : -1;
}

int overlay_replace_header(int fd, struct overlay_header *h, uint64_t before, char *why)
{
    uint64_t length = overlay_length(h);

    h->sum = overlay_sum(h);
    if (ftruncate(fd, (off_t)length) || put_page(fd, length, h)) {
        overlay_fail(why, "%s", strerror(errno));
        if (ftruncate(fd, (off_t)before))
            return -1; /* what is behind the end is cut off when it is used */
        return -1;
    }
    if (put_page(fd, 0, h))
        return overlay_fail(why, "its header cannot be written: %s", strerror(errno));
    if (ftruncate(fd, (off_t)length) || fsync(fd))
        return overlay_fail(why, "%s", strerror(errno));
    return 0;
}

int overlay_mend(int fd, char *why)
{
    struct overlay_header *h = aligned_alloc(OVERLAY_PAGE, OVERLAY_PAGE);
    bool is_spare;
    struct stat st;
    int rc = -1;

    if (!h)
        overlay_fail(why, "out of memory");
    else if (!overlay_read_header(fd, h, &is_spare, why))
        rc = fstat(fd, &st) || (is_spare && put_page(fd, 0, h)) ||
                     ((uint64_t)st.st_size > overlay_length(h) &&
                      (ftruncate(fd, (off_t)overlay_length(h)) || fsync(fd)))
                 ? overlay_fail(why, "it cannot be written: %s", strerror(errno))
                 : 0;
    free(h);
    return rc;
}
