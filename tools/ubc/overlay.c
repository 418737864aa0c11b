/* SPDX-License-Identifier: MIT */
/* The format and why it survives: OVERLAY.md. */
#include "overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC          "PALCOW1\n"
#define VERSION        1u
#define SESSION_OFFSET 4096u
#define MAP_OFFSET     8192u
#define SESSION        16u

struct header {
    char magic[8];
    uint32_t version, cluster;
    uint64_t size, map_offset, map_pages, data_offset;
    uint8_t id[16];
    uint64_t base_size;
    int64_t base_seconds;
    uint32_t base_nanoseconds, pad;
    char base[OVERLAY_BASE_MAX];
    uint8_t rest[2980];
    uint32_t sum; /* CRC-32 of all before */
};
_Static_assert(sizeof(struct header) == OVERLAY_PAGE, "one page");

static int fail(char *why, const char *what, ...) __attribute__((format(printf, 2, 3)));
static int fail(char *why, const char *what, ...)
{
    va_list list;

    va_start(list, what);
    vsnprintf(why, OVERLAY_WHY, what, list);
    va_end(list);
    return -1;
}

static uint32_t sum_of(const struct header *h)
{
    return (uint32_t)crc32(0, (const Bytef *)h, offsetof(struct header, sum));
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

static uint64_t map_pages(uint64_t size)
{
    return divide_up(divide_up(size, OVERLAY_CLUSTER), OVERLAY_IN_PAGE);
}

/* ---- making ---- */

static int fill_in(int fd, const char *base_path, const struct stat *base, uint64_t size, char *why)
{
    struct header *h = aligned_alloc(OVERLAY_PAGE, OVERLAY_PAGE);
    int rc = -1, error;

    if (!h)
        return fail(why, "out of memory");
    memset(h, 0, sizeof(*h));
    memcpy(h->magic, MAGIC, sizeof(h->magic));
    h->version = VERSION;
    h->cluster = OVERLAY_CLUSTER;
    h->size = size;
    h->map_offset = MAP_OFFSET;
    h->map_pages = map_pages(size);
    h->data_offset = MAP_OFFSET + h->map_pages * OVERLAY_PAGE;
    h->base_size = (uint64_t)base->st_size;
    h->base_seconds = base->st_mtim.tv_sec;
    h->base_nanoseconds = (uint32_t)base->st_mtim.tv_nsec;
    snprintf(h->base, sizeof(h->base), "%s", base_path);
    if (getrandom(h->id, sizeof(h->id), 0) != sizeof(h->id))
        abort(); /* cannot fail for so few bytes once the system runs */
    h->sum = sum_of(h);
    /* The map has its place from the beginning: a flush never finds the disk full. */
    error = posix_fallocate(fd, 0, (off_t)h->data_offset);
    if (error)
        fail(why, "no room for its map: %s", strerror(error));
    else if (pwrite(fd, h, sizeof(*h), 0) != sizeof(*h) ||
             ftruncate(fd, (off_t)(h->data_offset +
                                   divide_up(size, OVERLAY_CLUSTER) * OVERLAY_CLUSTER)) ||
             fsync(fd))
        fail(why, "%s", strerror(errno));
    else
        rc = 0;
    free(h);
    return rc;
}

/* The name itself, too, outlives a power cut. */
static void sync_directory(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}

int overlay_create(const char *path, const char *base_path, const struct stat *base, uint64_t size,
                   char why[OVERLAY_WHY])
{
    char *temporary;
    int fd, rc;

    if (!size)
        size = (uint64_t)base->st_size / 512 * 512;
    if (size % 512 || !size || size > OVERLAY_MOST || size < (uint64_t)base->st_size / 512 * 512)
        return fail(why, "a disk of %" PRIu64 " bytes cannot lie over its base", size);
    if (strlen(base_path) >= OVERLAY_BASE_MAX)
        return fail(why, "the base's path is too long");
    if (asprintf(&temporary, "%s.%d.new", path, getpid()) < 0)
        return fail(why, "out of memory");
    fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        free(temporary);
        return fail(why, "%s", strerror(errno));
    }
    rc = fill_in(fd, base_path, base, size, why);
    if (!rc && link(temporary, path)) /* unlike renaming, never over another */
        rc = fail(why, "%s", strerror(errno));
    unlink(temporary);
    close(fd);
    if (!rc)
        sync_directory(path);
    free(temporary);
    return rc;
}

/* ---- opening ---- */

static int read_page(int fd, uint64_t offset, void *page)
{
    ssize_t got = pread(fd, page, OVERLAY_PAGE, (off_t)offset);

    return got == OVERLAY_PAGE ? 0 : -1;
}

static int check(const struct header *h, uint64_t file_size, char *why)
{
    if (memcmp(h->magic, MAGIC, sizeof(h->magic)))
        return fail(why, "it is not an overlay");
    if (h->version != VERSION)
        return fail(why, "it is of version %" PRIu32 ", which this program does not know",
                    h->version);
    if (h->sum != sum_of(h))
        return fail(why, "its header is damaged");
    if (h->cluster != OVERLAY_CLUSTER || !h->size || h->size % 512 || h->size > OVERLAY_MOST ||
        h->base_size / 512 * 512 > h->size || h->map_offset != MAP_OFFSET ||
        h->map_pages != map_pages(h->size) ||
        h->data_offset != MAP_OFFSET + h->map_pages * OVERLAY_PAGE ||
        !memchr(h->base, 0, sizeof(h->base)))
        return fail(why, "its header makes no sense");
    if (file_size < h->data_offset)
        return fail(why, "it is cut off");
    return 0;
}

int overlay_look(int fd, struct overlay *o, char why[OVERLAY_WHY])
{
    struct header *h = aligned_alloc(OVERLAY_PAGE, OVERLAY_PAGE);
    struct stat st;
    int rc;

    memset(o, 0, sizeof(*o));
    o->fd = fd;
    o->live_fd = -1;
    if (!h || fstat(fd, &st)) {
        free(h);
        return fail(why, "it cannot be looked at");
    }
    rc = read_page(fd, 0, h) ? fail(why, "it is not an overlay")
                             : check(h, (uint64_t)st.st_size, why);
    if (!rc) {
        o->size = h->size;
        o->map_offset = h->map_offset;
        o->map_pages = h->map_pages;
        o->data_offset = h->data_offset;
        memcpy(o->id, h->id, sizeof(o->id));
        o->base_size = h->base_size;
        o->base_seconds = h->base_seconds;
        o->base_nanoseconds = h->base_nanoseconds;
        memcpy(o->base, h->base, sizeof(o->base));
    }
    free(h);
    return rc;
}

/* What the file itself says is there. */
static int read_map(const struct overlay *o, uint64_t *to, char *why)
{
    uint64_t clusters = divide_up(o->size, OVERLAY_CLUSTER);

    for (uint64_t page = 0; page < o->map_pages; page++) {
        if (read_page(o->fd, o->map_offset + page * OVERLAY_PAGE, to + page * OVERLAY_PAGE / 8))
            return fail(why, "its map cannot be read");
    }
    for (uint64_t bit = clusters; bit < o->map_pages * OVERLAY_IN_PAGE; bit++) {
        if (to[bit / 64] >> bit % 64 & 1)
            return fail(why, "its map is damaged: it tells of what is beyond the disk's end");
    }
    return 0;
}

/* Both files name the same time of use: then the live map is what the last backend left behind. */
static bool is_left_behind(const struct overlay *o, const uint8_t *live, uint8_t *page)
{
    static const uint8_t none[SESSION];

    return !read_page(o->fd, SESSION_OFFSET, page) && memcmp(live, none, SESSION) &&
           !memcmp(live, page, SESSION);
}

/* First the overlay's mark, then the live map's: between the two they do not belong together, and nothing is lost. */
static int begin_session(const struct overlay *o, uint8_t *live, uint8_t *page, char *why)
{
    memset(page, 0, OVERLAY_PAGE);
    if (getrandom(page, SESSION, 0) != SESSION)
        abort();
    if (pwrite(o->fd, page, OVERLAY_PAGE, SESSION_OFFSET) != OVERLAY_PAGE || fdatasync(o->fd))
        return fail(why, "it cannot be written: %s", strerror(errno));
    memcpy(live, page, SESSION);
    return 0;
}

/* `saved` is the map as the file has it; afterwards o->bits is what holds. */
static int take_live(struct overlay *o, const uint64_t *saved, char *why)
{
    size_t bytes = (size_t)(o->map_pages * OVERLAY_PAGE), all = OVERLAY_PAGE + bytes;
    uint8_t *page = aligned_alloc(OVERLAY_PAGE, OVERLAY_PAGE), *live;
    struct stat st;
    bool fits;
    int rc = 0;

    if (!page || fstat(o->live_fd, &st)) {
        free(page);
        return fail(why, "its live map cannot be looked at");
    }
    fits = (size_t)st.st_size == all;
    if ((!fits && ftruncate(o->live_fd, 0)) || posix_fallocate(o->live_fd, 0, (off_t)all)) {
        free(page);
        return fail(why, "no memory for its live map");
    }
    live = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED, o->live_fd, 0);
    if (live == MAP_FAILED) {
        free(page);
        return fail(why, "its live map cannot be mapped: %s", strerror(errno));
    }
    o->live = live;
    o->bits = (uint64_t *)(void *)(live + OVERLAY_PAGE);
    if (!fits || !is_left_behind(o, live, page)) {
        memset(live, 0, SESSION);
        memcpy(o->bits, saved, bytes);
        rc = begin_session(o, live, page, why);
    }
    free(page);
    return rc;
}

int overlay_open(int fd, int live, struct overlay *o, char why[OVERLAY_WHY])
{
    uint64_t *saved;
    int rc = overlay_look(fd, o, why);

    if (rc)
        return rc;
    o->live_fd = live;
    saved = aligned_alloc(OVERLAY_PAGE, (size_t)(o->map_pages * OVERLAY_PAGE));
    o->unsaved = calloc(o->map_pages, sizeof(*o->unsaved));
    rc = saved && o->unsaved ? read_map(o, saved, why) : fail(why, "out of memory");
    if (!rc && live >= 0)
        rc = take_live(o, saved, why);
    if (!rc && live < 0) {
        o->bits = saved;
        return 0;
    }
    for (uint64_t page = 0; !rc && page < o->map_pages; page++)
        o->unsaved[page] = memcmp((const uint8_t *)o->bits + page * OVERLAY_PAGE,
                                  (const uint8_t *)saved + page * OVERLAY_PAGE, OVERLAY_PAGE) != 0;
    free(saved);
    if (rc)
        overlay_close(o, false);
    return rc;
}

void overlay_close(struct overlay *o, bool forget_live)
{
    if (o->live) {
        if (forget_live)
            memset(o->live, 0, SESSION);
        munmap(o->live, (size_t)((o->map_pages + 1) * OVERLAY_PAGE));
        if (forget_live && ftruncate(o->live_fd, 0))
            return; /* without its mark it is nobody's any more */
    } else {
        free(o->bits);
    }
    free(o->unsaved);
    o->live = o->bits = NULL;
    o->unsaved = NULL;
}

bool overlay_fits(const struct overlay *o, const struct stat *base)
{
    return (uint64_t)base->st_size == o->base_size && base->st_mtim.tv_sec == o->base_seconds &&
           (uint32_t)base->st_mtim.tv_nsec == o->base_nanoseconds;
}

void overlay_mark(struct overlay *o, uint64_t first, uint64_t count)
{
    for (uint64_t cluster = first; cluster < first + count; cluster++) {
        uint64_t bit = 1ull << cluster % 64;

        if (o->bits[cluster / 64] & bit)
            continue;
        o->bits[cluster / 64] |= bit;
        o->unsaved[cluster / OVERLAY_IN_PAGE] = true;
    }
}

uint64_t overlay_used(const struct overlay *o)
{
    uint64_t used = 0;

    for (uint64_t i = 0; i < o->map_pages * OVERLAY_PAGE / 8; i++)
        used += (uint64_t)__builtin_popcountll(o->bits[i]);
    return used;
}
