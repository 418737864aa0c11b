/* SPDX-License-Identifier: MIT */
/* The format and why it survives: OVERLAY.md. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "overlay_format.h"

/* ---- making ---- */

static int fill_in(int fd, const char *base_path, const struct stat *base, uint64_t size, char *why)
{
    struct overlay_header *h = aligned_alloc(OVERLAY_PAGE, OVERLAY_PAGE);
    int rc = -1, error;

    if (!h)
        return overlay_fail(why, "out of memory");
    memset(h, 0, sizeof(*h));
    memcpy(h->magic, OVERLAY_MAGIC, sizeof(h->magic));
    h->version = OVERLAY_FIRST_VERSION;
    h->cluster = OVERLAY_CLUSTER;
    h->size = size;
    h->map_offset = OVERLAY_MAP_OFFSET;
    h->map_pages = overlay_pages_of_map(size);
    h->data_offset = OVERLAY_MAP_OFFSET + h->map_pages * OVERLAY_PAGE;
    overlay_name_base(h, base_path, base);
    overlay_new_id(h);
    h->sum = overlay_sum(h);
    /* The map has its place from the beginning: a flush never finds the disk full. */
    error = posix_fallocate(fd, 0, (off_t)h->data_offset);
    if (error)
        overlay_fail(why, "no room for its map: %s", strerror(error));
    else if (pwrite(fd, h, sizeof(*h), 0) != sizeof(*h) ||
             ftruncate(fd, (off_t)overlay_length(h)) || fsync(fd))
        overlay_fail(why, "%s", strerror(errno));
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

int overlay_publish(const char *temporary, const char *path, char why[OVERLAY_WHY])
{
    int rc = link(temporary, path) /* unlike renaming, never over another */
                 ? overlay_fail(why, "%s", strerror(errno))
                 : 0;

    unlink(temporary);
    if (!rc)
        sync_directory(path);
    return rc;
}

int overlay_create(const char *path, const char *base_path, const struct stat *base, uint64_t size,
                   char why[OVERLAY_WHY])
{
    char *temporary;
    int fd, rc;

    if (!size)
        size = (uint64_t)base->st_size / 512 * 512;
    if (size % 512 || !size || size > OVERLAY_MOST || size < (uint64_t)base->st_size / 512 * 512)
        return overlay_fail(why, "a disk of %" PRIu64 " bytes cannot lie over its base", size);
    if (strlen(base_path) >= OVERLAY_BASE_MAX)
        return overlay_fail(why, "the base's path is too long");
    if (asprintf(&temporary, "%s.%d.new", path, getpid()) < 0)
        return overlay_fail(why, "out of memory");
    fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        free(temporary);
        return overlay_fail(why, "%s", strerror(errno));
    }
    rc = fill_in(fd, base_path, base, size, why);
    close(fd);
    if (!rc)
        rc = overlay_publish(temporary, path, why);
    else
        unlink(temporary);
    free(temporary);
    return rc;
}

/* ---- opening ---- */

int overlay_look(int fd, struct overlay *o, char why[OVERLAY_WHY])
{
    struct overlay_header *h = aligned_alloc(OVERLAY_PAGE, OVERLAY_PAGE);
    bool is_spare;
    int rc;

    memset(o, 0, sizeof(*o));
    o->fd = fd;
    o->live_fd = -1;
    rc = h ? overlay_read_header(fd, h, &is_spare, why) : overlay_fail(why, "out of memory");
    if (!rc) {
        o->version = h->version;
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

bool overlay_is(int fd)
{
    char magic[sizeof(OVERLAY_MAGIC) - 1];

    return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
           !memcmp(magic, OVERLAY_MAGIC, sizeof(magic));
}

int overlay_live(const struct overlay *o, const char *directory, int flags)
{
    char name[2 * sizeof(o->id) + 1], *path;
    int fd;

    for (unsigned i = 0; i < sizeof(o->id); i++)
        sprintf(name + 2 * i, "%02x", o->id[i]);
    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return -1;
    fd = open(path, flags | O_CLOEXEC, 0600);
    free(path);
    return fd;
}

/* What the file itself says is there. */
static int read_map(const struct overlay *o, uint64_t *to, char *why)
{
    uint64_t clusters = overlay_clusters(o->size);

    for (uint64_t page = 0; page < o->map_pages; page++) {
        if (overlay_read_page(o->fd, o->map_offset + page * OVERLAY_PAGE,
                              to + page * OVERLAY_PAGE / 8))
            return overlay_fail(why, "its map cannot be read");
    }
    for (uint64_t bit = clusters; bit < o->map_pages * OVERLAY_IN_PAGE; bit++) {
        if (to[bit / 64] >> bit % 64 & 1)
            return overlay_fail(why,
                                "its map is damaged: it tells of what is beyond the disk's end");
    }
    return 0;
}

/* Both files name the same time of use: then the live map is what the last backend left behind. */
static bool is_left_behind(const struct overlay *o, const uint8_t *live, uint8_t *page)
{
    static const uint8_t none[OVERLAY_MARK];

    return !overlay_read_page(o->fd, OVERLAY_MARK_OFFSET, page) &&
           memcmp(live, none, OVERLAY_MARK) && !memcmp(live, page, OVERLAY_MARK);
}

/* First the overlay's mark, then the live map's: between the two they do not belong together, and nothing is lost. */
static int begin_session(const struct overlay *o, uint8_t *live, uint8_t *page, char *why)
{
    memset(page, 0, OVERLAY_PAGE);
    if (getrandom(page, OVERLAY_MARK, 0) != OVERLAY_MARK)
        abort();
    if (pwrite(o->fd, page, OVERLAY_PAGE, OVERLAY_MARK_OFFSET) != OVERLAY_PAGE || fdatasync(o->fd))
        return overlay_fail(why, "it cannot be written: %s", strerror(errno));
    memcpy(live, page, OVERLAY_MARK);
    return 0;
}

static size_t live_size(const struct overlay *o)
{
    return (size_t)((o->map_pages + 1) * OVERLAY_PAGE);
}

static int map_live(struct overlay *o, char *why)
{
    uint8_t *live = mmap(NULL, live_size(o), PROT_READ | PROT_WRITE, MAP_SHARED, o->live_fd, 0);

    if (live == MAP_FAILED)
        return overlay_fail(why, "its live map cannot be mapped: %s", strerror(errno));
    o->live = live;
    o->bits = (uint64_t *)(void *)(live + OVERLAY_PAGE);
    return 0;
}

/* `saved` is the map as the file has it; afterwards o->bits is what holds. */
static int take_live(struct overlay *o, const uint64_t *saved, char *why)
{
    uint8_t *page;
    struct stat st;
    bool fits;
    int rc = 0;

    if (fstat(o->live_fd, &st))
        return overlay_fail(why, "its live map cannot be looked at");
    fits = (size_t)st.st_size == live_size(o);
    if ((!fits && ftruncate(o->live_fd, 0)) || posix_fallocate(o->live_fd, 0, (off_t)live_size(o)))
        return overlay_fail(why, "no memory for its live map");
    if (map_live(o, why))
        return -1;
    page = aligned_alloc(OVERLAY_PAGE, OVERLAY_PAGE);
    if (!page)
        return overlay_fail(why, "out of memory");
    if (!fits || !is_left_behind(o, o->live, page)) {
        memset(o->live, 0, OVERLAY_MARK);
        memcpy(o->bits, saved, live_size(o) - OVERLAY_PAGE);
        rc = begin_session(o, o->live, page, why);
    }
    free(page);
    return rc;
}

/* Which pages of the map are not in the file as they are now. */
static void compare(struct overlay *o, const uint64_t *saved)
{
    for (uint64_t page = 0; page < o->map_pages; page++)
        o->unsaved[page] = memcmp((const uint8_t *)o->bits + page * OVERLAY_PAGE,
                                  (const uint8_t *)saved + page * OVERLAY_PAGE, OVERLAY_PAGE) != 0;
}

/* The head, and the map as the file has it, which is to be freed. */
static int open_saved(int fd, struct overlay *o, uint64_t **saved, char *why)
{
    *saved = NULL;
    if (overlay_look(fd, o, why))
        return -1;
    *saved = aligned_alloc(OVERLAY_PAGE, (size_t)(o->map_pages * OVERLAY_PAGE));
    o->unsaved = calloc(o->map_pages, sizeof(*o->unsaved));
    return *saved && o->unsaved ? read_map(o, *saved, why) : overlay_fail(why, "out of memory");
}

int overlay_open(int fd, int live, struct overlay *o, char why[OVERLAY_WHY])
{
    uint64_t *saved;
    int rc = open_saved(fd, o, &saved, why);

    o->live_fd = live;
    if (!rc && live >= 0)
        rc = overlay_mend(fd, why) ? -1 : take_live(o, saved, why);
    if (!rc && live < 0) {
        o->bits = saved;
        return 0;
    }
    if (!rc)
        compare(o, saved);
    free(saved);
    if (rc)
        overlay_close(o, false);
    return rc;
}

/* The live map of a use that is over without having been ended, or that goes on. NULL: there is none. */
static uint64_t *read_live(const struct overlay *o)
{
    size_t bytes = (size_t)(o->map_pages * OVERLAY_PAGE);
    uint8_t *page = aligned_alloc(OVERLAY_PAGE, OVERLAY_PAGE), mark[OVERLAY_MARK];
    uint64_t *bits = aligned_alloc(OVERLAY_PAGE, bytes);
    struct stat st;
    bool good =
        page && bits && !fstat(o->live_fd, &st) && (size_t)st.st_size == OVERLAY_PAGE + bytes &&
        pread(o->live_fd, mark, sizeof(mark), 0) == sizeof(mark) && is_left_behind(o, mark, page) &&
        pread(o->live_fd, bits, bytes, OVERLAY_PAGE) == (ssize_t)bytes;

    free(page);
    if (!good)
        free(bits);
    return good ? bits : NULL;
}

/* False: it is that of a copy of this overlay, which is in use: none of ours. */
static bool lock_live(const struct overlay *o, enum overlay_lock lock)
{
    return lock == OVERLAY_UNLOCKED ||
           !flock(o->live_fd, (lock == OVERLAY_EXCLUSIVE ? LOCK_EX : LOCK_SH) | LOCK_NB);
}

int overlay_open_apart(int fd, const char *directory, enum overlay_lock lock, struct overlay *o,
                       char why[OVERLAY_WHY])
{
    uint64_t *saved, *live;

    if (open_saved(fd, o, &saved, why)) {
        free(saved);
        overlay_close(o, false);
        return -1;
    }
    o->bits = saved;
    o->live_fd = overlay_live(o, directory, lock == OVERLAY_EXCLUSIVE ? O_RDWR : O_RDONLY);
    live = o->live_fd >= 0 && lock_live(o, lock) ? read_live(o) : NULL;
    if (live) {
        o->bits = live;
        compare(o, saved);
        o->unflushed = overlay_used(o);
        o->bits = saved;
        o->unflushed -= overlay_used(o);
        o->bits = live;
        free(saved);
    } else if (o->live_fd >= 0) {
        close(o->live_fd);
        o->live_fd = -1;
    }
    return 0;
}

int overlay_save(struct overlay *o, char why[OVERLAY_WHY])
{
    static const uint8_t none[OVERLAY_MARK];

    if (overlay_mend(o->fd, why))
        return -1;
    if (o->live_fd < 0)
        return 0;
    if (fdatasync(o->fd))
        return overlay_fail(why, "it cannot be written: %s", strerror(errno));
    for (uint64_t page = 0; page < o->map_pages; page++) {
        uint64_t at = page * OVERLAY_PAGE;

        if (o->unsaved[page] && pwrite(o->fd, (const uint8_t *)o->bits + at, OVERLAY_PAGE,
                                       (off_t)(o->map_offset + at)) != OVERLAY_PAGE)
            return overlay_fail(why, "its map cannot be written: %s", strerror(errno));
    }
    if (fdatasync(o->fd))
        return overlay_fail(why, "it cannot be written: %s", strerror(errno));
    if (pwrite(o->live_fd, none, sizeof(none), 0) != sizeof(none) || ftruncate(o->live_fd, 0))
        return overlay_fail(why, "its live map cannot be written: %s", strerror(errno));
    close(o->live_fd);
    o->live_fd = -1;
    o->unflushed = 0;
    return 0;
}

void overlay_leave(struct overlay *o)
{
    if (o->live_fd >= 0)
        close(o->live_fd);
    o->live_fd = -1;
    overlay_close(o, false);
}

void overlay_tell(const struct overlay *o, struct overlay_head *head)
{
    *head = (struct overlay_head){o->size, o->map_offset, o->map_pages, o->data_offset, true};
    for (uint64_t page = 0; page < o->map_pages; page++)
        head->all_saved = head->all_saved && !o->unsaved[page];
}

static bool is_empty(const uint64_t *page)
{
    bool empty = true;

    for (unsigned i = 0; empty && i < OVERLAY_PAGE / sizeof(*page); i++)
        empty = !page[i];
    return empty;
}

int overlay_take(int fd, int live, const struct overlay_head *head, struct overlay *o,
                 char why[OVERLAY_WHY])
{
    memset(o, 0, sizeof(*o));
    o->fd = fd;
    o->live_fd = live;
    o->size = head->size;
    o->map_offset = head->map_offset;
    o->map_pages = head->map_pages;
    o->data_offset = head->data_offset;
    o->unsaved = calloc(o->map_pages, sizeof(*o->unsaved));
    if (!o->unsaved)
        return overlay_fail(why, "out of memory");
    if (map_live(o, why)) {
        overlay_close(o, false);
        return -1;
    }
    /* Which pages the file lacks is not told: those that say anything are written again. */
    for (uint64_t page = 0; page < o->map_pages; page++)
        o->unsaved[page] = !head->all_saved && !is_empty(o->bits + page * OVERLAY_PAGE / 8);
    return 0;
}

void overlay_close(struct overlay *o, bool forget_live)
{
    if (o->live) {
        if (forget_live)
            memset(o->live, 0, OVERLAY_MARK);
        munmap(o->live, live_size(o));
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
