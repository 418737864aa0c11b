/* SPDX-License-Identifier: MIT */
#include "libpal/warm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libpal/config.h"
#include "libpal/interrupt.h"

#define FIRST_LINE "palimpsest-warm 1 "

/* ---- images ---- */

int pal_base_open(const char *path, struct pal_base *i, struct pal_error *e)
{
    struct stat st;

    /* Past domain 0's own page cache, where the file system can do that. */
    i->fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (i->fd < 0 && errno == EINVAL)
        i->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (i->fd < 0)
        return pal_fail(e, PAL_IMG_UNREADABLE, "%s: %s", path, strerror(errno));
    if (fstat(i->fd, &st) || identity_of(i->fd, &i->identity) || !S_ISREG(st.st_mode) ||
        !st.st_size) {
        close(i->fd);
        return pal_fail(e, PAL_IMG_UNREADABLE, "%s is no file with an image", path);
    }
    identity_name(&i->identity, i->name);
    /* As the disks that stand on it: whole sectors. */
    i->pages = ((uint64_t)st.st_size / 512 * 512 + PAL_PAGE_SIZE - 1) / PAL_PAGE_SIZE;
    return 0;
}

void pal_base_close(struct pal_base *i)
{
    close(i->fd);
}

/* ---- recording ---- */

static int object_of(struct pal_hv *hv, const struct pal_base *i, uint32_t *object,
                     struct pal_error *e)
{
    struct pal_cache *all;
    int count = pal_hv_cache_objects(hv, &all, e), found = 0;

    for (int k = 0; k < count && !found; k++) {
        found = !memcmp(all[k].name, i->name, sizeof(i->name));
        if (found)
            *object = all[k].object;
    }
    free(all);
    if (count >= 0 && !found)
        pal_fail(e, PAL_IMG_UNREADABLE, "nothing of the image, as it is now, is in the cache");
    return found ? 0 : -1;
}

static void write_ranges(FILE *f, const uint32_t *page, long count)
{
    for (long i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && page[next] == page[next - 1] + 1;)
            next++;
        fprintf(f, "%" PRIu32 " %ld\n", page[i], next - i);
    }
}

long pal_warm_record(struct pal_hv *hv, const struct pal_base *i, const char *list,
                     struct pal_error *e)
{
    uint32_t object, *page;
    char part[4096];
    long count;
    FILE *f;
    int bad;

    if (object_of(hv, i, &object, e))
        return -1;
    count = pal_hv_cache_pages(hv, object, &page, e);
    if (count < 0)
        return -1;
    /* The name shows only what is complete. */
    snprintf(part, sizeof(part), "%s.part", list);
    f = fopen(part, "we");
    if (f) {
        fprintf(f, FIRST_LINE "%" PRIu64 "\n", i->pages);
        write_ranges(f, page, count);
    }
    free(page);
    if (!f)
        return pal_fail(e, PAL_SAVE_WRITE, "%s: %s", part, strerror(errno));
    bad = fflush(f) || ferror(f) || fsync(fileno(f));
    if (fclose(f) || bad || rename(part, list)) {
        int error = errno;

        unlink(part);
        return pal_fail(e, PAL_SAVE_WRITE, "%s: %s", list, strerror(error));
    }
    return count;
}

/* ---- warming ---- */

struct range {
    uint64_t first, count;
};

/* The next range of a list; 0: the end, -1: it is none. */
static int next_range(FILE *f, uint64_t pages, struct range *r)
{
    char line[64], *end;

    if (!fgets(line, sizeof(line), f))
        return 0;
    errno = 0;
    r->first = strtoull(line, &end, 10);
    if (errno || end == line || *end != ' ')
        return -1;
    r->count = strtoull(end, &end, 10);
    return !errno && *end == '\n' && r->first < pages && r->count && r->count <= pages - r->first
               ? 1
               : -1;
}

static FILE *open_list(const char *list, uint64_t pages, struct pal_error *e)
{
    FILE *f = fopen(list, "re");
    char line[64], *end;

    if (!f) {
        pal_fail(e, PAL_IMG_UNREADABLE, "%s: %s", list, strerror(errno));
        pal_remedy(e, "boot a domain from the image, then `pal cache record IMAGE`");
        return NULL;
    }
    if (!fgets(line, sizeof(line), f) || strncmp(line, FIRST_LINE, strlen(FIRST_LINE)) ||
        strtoull(line + strlen(FIRST_LINE), &end, 10) != pages || *end != '\n') {
        fclose(f);
        pal_fail(e, PAL_IMG_DAMAGED, "%s is no list for an image of this size", list);
        return NULL;
    }
    return f;
}

/* Is the file still what its object's name says? What was read before this is then of that content. */
static int unchanged(const struct pal_base *i, struct pal_error *e)
{
    struct identity now;

    if (identity_of(i->fd, &now) || memcmp(&now, &i->identity, sizeof(now)))
        return pal_fail(e, PAL_IMG_UNREADABLE, "the image was changed while it was read");
    return 0;
}

/* Pages [first, first + count), at most PAL_CACHE_PIECE; beyond the last whole sector are zeros. Returns how many are there. */
static int warm_piece(struct pal_hv *hv, const struct pal_base *i, uint32_t object, uint64_t first,
                      unsigned count, uint8_t *buffer, struct pal_error *e)
{
    uint64_t size = i->identity.size / 512 * 512 - first * PAL_PAGE_SIZE;
    size_t want = count * PAL_PAGE_SIZE, good = want < size ? want : (size_t)size, got = 0;

    while (got < good) {
        ssize_t n = pread(i->fd, buffer + got, want - got, (off_t)(first * PAL_PAGE_SIZE + got));

        if (n <= 0)
            return pal_fail(e, PAL_IMG_UNREADABLE, "reading the image: %s",
                            n ? strerror(errno) : "it ends too early");
        got += (size_t)n;
    }
    memset(buffer + good, 0, want - good);
    if (unchanged(i, e))
        return -1;
    return pal_hv_cache_insert(hv, object, first, count, buffer, e);
}

/* The whole of a range; adds to *there. */
static int warm_range(struct pal_hv *hv, const struct pal_base *i, uint32_t object,
                      const struct range *r, uint8_t *buffer, struct pal_progress *progress,
                      long *there, struct pal_error *e)
{
    for (uint64_t at = 0; at < r->count; at += PAL_CACHE_PIECE) {
        uint64_t left = r->count - at;
        unsigned count = left < PAL_CACHE_PIECE ? (unsigned)left : PAL_CACHE_PIECE;
        int n = warm_piece(hv, i, object, r->first + at, count, buffer, e);

        if (n < 0 || pal_interrupt_check(e))
            return -1;
        *there += n;
        pal_progress_at(progress, (r->first + at + count) * PAL_PAGE_SIZE);
    }
    return 0;
}

static int warm_list(struct pal_hv *hv, const struct pal_base *i, uint32_t object, FILE *f,
                     uint8_t *buffer, struct pal_progress *progress, long *there,
                     struct pal_error *e)
{
    struct range r;
    int more;

    while ((more = next_range(f, i->pages, &r)) > 0) {
        if (warm_range(hv, i, object, &r, buffer, progress, there, e))
            return -1;
    }
    return more ? pal_fail(e, PAL_IMG_DAMAGED, "the list has a line that is no range of pages") : 0;
}

long pal_warm_up(struct pal_hv *hv, const struct pal_base *i, const char *list,
                 struct pal_progress *progress, struct pal_error *e)
{
    const struct range all = {0, i->pages};
    uint8_t *buffer;
    uint32_t object;
    long there = 0;
    FILE *f = NULL;
    int rc = -1;

    if (!identity_is_settled(&i->identity))
        return pal_fail(e, PAL_IMG_UNREADABLE, "the image was changed a moment ago; try again");
    if (list && !(f = open_list(list, i->pages, e)))
        return -1;
    buffer = aligned_alloc(PAL_PAGE_SIZE, PAL_CACHE_PIECE * PAL_PAGE_SIZE);
    if (!buffer)
        pal_fail(e, PAL_SYS_FAILED, "out of memory");
    else if (!pal_hv_cache_object(hv, i->name, i->pages, &object, e))
        rc = f ? warm_list(hv, i, object, f, buffer, progress, &there, e)
               : warm_range(hv, i, object, &all, buffer, progress, &there, e);
    free(buffer);
    if (f)
        fclose(f);
    return rc ? -1 : there;
}

int pal_cache_enter(struct pal_hv *hv, uint32_t domain, const struct pal_config *c,
                    struct pal_error *e)
{
    if (!c->cache_off && !c->cache_kib)
        return 0;
    return pal_hv_cache_limit(hv, domain, c->cache_off,
                              c->cache_kib ? c->cache_kib >> 2 : PAL_CACHE_NO_LIMIT, e);
}
