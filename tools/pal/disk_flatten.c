/* SPDX-License-Identifier: MIT */
/* pal disk flatten: an overlay and its base as one raw image, with holes where there are zeros. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "libpal/interrupt.h"
#include "libpal/progress.h"

#define PIECE (1u << 20)

/* A file that data come from, and its last extent without holes that was looked up. */
struct source {
    const char *path;
    int fd;
    uint64_t from, to;
};

struct flattening {
    const struct image *image;
    struct source own, base;
    uint64_t base_size;
    const char *path; /* of what is made */
    int out;
    struct pal_progress *progress;
    struct pal_error *error;
    uint8_t *buffer; /* of PIECE bytes */
};

/* Is there anything but holes in bytes [from, to) of the file? */
static bool has_data(struct source *s, uint64_t from, uint64_t to)
{
    if (from < s->from || from >= s->to) {
        off_t data = lseek(s->fd, (off_t)from, SEEK_DATA), hole;

        /* None any more, or a file (a device) that does not know of holes. */
        s->from = data >= 0 ? (uint64_t)data : errno == ENXIO ? UINT64_MAX : from;
        hole = data >= 0 ? lseek(s->fd, data, SEEK_HOLE) : -1;
        s->to = hole > 0 ? (uint64_t)hole : UINT64_MAX;
    }
    return s->from < to;
}

/* Where a cluster comes from; NULL: zeros. */
static struct source *source_of(struct flattening *f, uint64_t cluster)
{
    if (overlay_has(&f->image->o, cluster))
        return &f->own;
    return cluster * OVERLAY_CLUSTER < f->base_size ? &f->base : NULL;
}

static int read_piece(const struct flattening *f, const struct source *s, uint64_t at, size_t size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t n = pread(s->fd, f->buffer + got, size - got, (off_t)(at + got));

        if (n < 0)
            return pal_fail(f->error, PAL_DISK_FILE, "%s: byte %" PRIu64 ": %s", s->path, at + got,
                            strerror(errno));
        if (n == 0)
            break;
        got += (size_t)n;
    }
    memset(f->buffer + got, 0, size - got); /* behind the end */
    return 0;
}

static bool is_zero(const uint8_t *data, size_t size)
{
    return !size || (!*data && !memcmp(data, data + 1, size - 1));
}

/* What is not zeros goes to the disk's place `at`. */
static int write_piece(const struct flattening *f, uint64_t at, size_t size)
{
    for (size_t done = 0; done < size; done += OVERLAY_CLUSTER) {
        size_t part = size - done < OVERLAY_CLUSTER ? size - done : OVERLAY_CLUSTER;
        ssize_t n;

        if (is_zero(f->buffer + done, part))
            continue;
        n = pwrite(f->out, f->buffer + done, part, (off_t)(at + done));
        if (n != (ssize_t)part)
            return pal_fail(f->error, PAL_DISK_FILE, "%s: %s", f->path,
                            n < 0 ? strerror(errno) : "no room");
    }
    return 0;
}

/* Clusters from here on that come from the same source, as many as go into a piece. */
static uint64_t run_of(struct flattening *f, uint64_t cluster, uint64_t end)
{
    const struct source *s = source_of(f, cluster);
    uint64_t count = 1;

    while (count < PIECE / OVERLAY_CLUSTER && cluster + count < end &&
           source_of(f, cluster + count) == s)
        count++;
    return count;
}

static int copy(struct flattening *f)
{
    const struct overlay *o = &f->image->o;
    uint64_t end = (o->size + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER, count;

    for (uint64_t cluster = 0; cluster < end; cluster += count) {
        struct source *s = source_of(f, cluster);
        uint64_t at = cluster * OVERLAY_CLUSTER, from = at + (s == &f->own ? o->data_offset : 0);
        uint64_t limit = s == &f->base ? f->base_size : o->size;
        size_t size;

        count = run_of(f, cluster, end);
        size =
            (size_t)(limit - at < count * OVERLAY_CLUSTER ? limit - at : count * OVERLAY_CLUSTER);
        if (s && has_data(s, from, from + size) &&
            (read_piece(f, s, from, size) || write_piece(f, at, size)))
            return -1;
        pal_progress_add(f->progress, size);
        if (pal_interrupt_check(f->error))
            return -1;
    }
    return 0;
}

static int write_out(struct flattening *f)
{
    static const struct pal_phase phases[] = {{"writing", 1, true}};
    char *temporary, why[OVERLAY_WHY];
    int rc;

    if (asprintf(&temporary, "%s.%d.new", f->path, getpid()) < 0)
        return pal_fail(f->error, PAL_SYS_FAILED, "out of memory");
    f->out = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (f->out < 0) {
        rc = pal_fail(f->error, PAL_DISK_FILE, "%s: %s", f->path, strerror(errno));
        free(temporary);
        return rc;
    }
    f->progress = pal_progress_begin("disk", f->image->path, phases, 1);
    pal_progress_phase(f->progress, 0, f->image->o.size);
    rc = ftruncate(f->out, (off_t)f->image->o.size)
             ? pal_fail(f->error, PAL_DISK_FILE, "%s: %s", f->path, strerror(errno))
             : copy(f);
    if (!rc && fsync(f->out))
        rc = pal_fail(f->error, PAL_DISK_FILE, "%s: %s", f->path, strerror(errno));
    pal_progress_end(f->progress, !rc);
    close(f->out);
    if (rc)
        unlink(temporary);
    else if (overlay_publish(temporary, f->path, why))
        rc = pal_fail(f->error, PAL_DISK_FILE, "%s: %s", f->path, why);
    free(temporary);
    return rc;
}

/* The base, locked against who would write to it. */
static int take_base(struct flattening *f)
{
    const struct overlay *o = &f->image->o;
    enum base_state state;
    struct stat st;

    f->base.path = o->base;
    state = image_base(f->image, NULL, &f->base.fd, &st);
    if (state != BASE_FITS)
        return pal_fail(f->error, PAL_DISK_BASE, "its base %s %s", o->base,
                        state == BASE_MISSING ? "is not there"
                                              : "was changed after the overlay was made over it");
    f->base_size = (uint64_t)st.st_size / 512 * 512;
    if (flock(f->base.fd, LOCK_SH | LOCK_NB))
        return pal_fail(f->error, PAL_DEV_IN_USE, "%s is being written to", o->base);
    return 0;
}

int disk_flatten(struct call *c, struct pal *p)
{
    struct flattening f = {.path = c->argument[2], .error = &c->error, .base.fd = -1};
    struct image i;
    int rc;

    (void)p;
    pal_failed_to(&c->error, "cannot make an image of %s", c->argument[1]);
    if (!access(f.path, F_OK)) {
        pal_fail(&c->error, PAL_DISK_FILE, "%s is there already", f.path);
        return pal_remedy(&c->error, "name a new file, or remove that one first");
    }
    if (image_open_overlay(&i, c->argument[1], IMAGE_READ, &c->error))
        return -1;
    f.image = &i;
    f.own = (struct source){.path = i.path, .fd = i.fd};
    f.buffer = malloc(PIECE);
    rc = f.buffer ? take_base(&f) : pal_fail(&c->error, PAL_SYS_FAILED, "out of memory");
    if (!rc)
        rc = write_out(&f);
    if (!rc && c->json) {
        json_t *answer = pal_json_answer("disk");

        json_object_set_new(answer, "bytes", json_integer((json_int_t)i.o.size));
        pal_json_print(answer);
    }
    if (f.base.fd >= 0)
        close(f.base.fd);
    free(f.buffer);
    image_close(&i);
    return rc;
}
