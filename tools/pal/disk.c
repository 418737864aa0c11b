/* SPDX-License-Identifier: MIT */
/* Images of disks: what one is, whether it is sound; overlays made, grown, put on another base, made into one image. */
#include "disk.h"
#include "verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "libpal/device.h"
#include "libpal/interrupt.h"
#include "libpal/progress.h"
#include "size.h"

static struct {
    const char *base;
    uint64_t size; /* KiB */
    bool accept;
} wanted;

static const struct argp_option options[] = {
    {"base", 'b', "IMAGE", 0, "With create, rebase: the image that the overlay is over", 0},
    {"size", 's', "SIZE", 0, "With create: of the disk, such as 20G (as large as the base)", 0},
    {"accept-changed", 'a', NULL, 0, "With rebase: also when the base has other contents now", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    (void)c;
    if (key == 'b')
        return (wanted.base = value);
    if (key == 's')
        return size_parse(value, &wanted.size);
    return key == 'a' && (wanted.accept = true);
}

/* ---- create ---- */

/* What is to be a base: whole path in `path`, opened. */
static int open_base(const char *word, struct image *i, char path[PATH_MAX], struct pal_error *e)
{
    if (!realpath(word, path))
        return pal_fail(e, PAL_DISK_BASE, "%s: %s", word, strerror(errno));
    if (image_open(i, path, IMAGE_READ, e))
        return -1;
    if (!i->is_overlay)
        return 0;
    image_close(i);
    pal_fail(e, PAL_DISK_BASE, "%s is an overlay itself", word);
    return pal_remedy(e, "make an image of it first: `pal disk flatten %s IMAGE`", word);
}

static int create(struct call *c, struct pal *p)
{
    char path[PATH_MAX], why[OVERLAY_WHY], size[BYTES_TEXT];
    uint64_t bytes = wanted.size << 10;
    struct image base;
    int rc = 0;

    (void)p;
    pal_failed_to(&c->error, "cannot make the overlay %s", c->argument[1]);
    if (!wanted.base)
        return pal_fail(&c->error, PAL_USE_ARGUMENTS, "--base IMAGE is missing");
    if (open_base(wanted.base, &base, path, &c->error))
        return -1;
    if (!bytes)
        bytes = (uint64_t)base.st.st_size / 512 * 512;
    if (bytes < (uint64_t)base.st.st_size / 512 * 512 || bytes > OVERLAY_MOST || !bytes) {
        image_bytes(size, (uint64_t)base.st.st_size);
        rc = pal_fail(&c->error, PAL_DISK_SIZE,
                      "%s has %s; the disk cannot have less, nor more "
                      "than 16 TiB",
                      path, size);
    } else if (overlay_create(c->argument[1], path, &base.st, bytes, why)) {
        rc = pal_fail(&c->error, PAL_DISK_FILE, "%s: %s", c->argument[1], why);
    }
    image_close(&base);
    if (!rc && c->json) {
        json_t *answer = pal_json_answer("disk");

        json_object_set_new(answer, "virtual_bytes", json_integer((json_int_t)bytes));
        pal_json_print(answer);
    }
    return rc;
}

/* ---- check ---- */

struct reading {
    struct pal_progress *progress;
    struct pal_error *error;
};

static bool read_more(void *context, uint64_t bytes)
{
    struct reading *r = context;

    pal_progress_add(r->progress, bytes);
    return !pal_interrupt_check(r->error);
}

/* Read all data that it has itself. */
static int survey(const struct image *i, struct overlay_survey *s, struct pal_error *e)
{
    static const struct pal_phase phases[] = {{"reading", 1, true}};
    struct reading r = {pal_progress_begin("disk", i->path, phases, 1), e};
    char why[OVERLAY_WHY];
    int rc;

    pal_progress_phase(r.progress, 0, (uint64_t)i->st.st_blocks * 512);
    rc = overlay_survey(&i->o, s, read_more, &r, why);
    pal_progress_end(r.progress, !rc);
    return rc ? pal_fail(e, PAL_DISK_DAMAGED, "%s: %s", i->path, why) : 0;
}

static int check_base(const struct image *i, struct pal_error *e)
{
    enum base_state state;
    struct stat st;
    int fd;

    state = image_base(i, NULL, &fd, &st);
    if (fd >= 0)
        close(fd);
    if (state == BASE_FITS)
        return 0;
    if (state == BASE_MISSING) {
        pal_fail(e, PAL_DISK_BASE, "its base %s is not there", i->o.base);
        return pal_remedy(e, "if it was moved: `pal disk rebase %s --base IMAGE`", i->path);
    }
    return pal_fail(e, PAL_DISK_BASE, "its base %s was changed after %s was made over it",
                    i->o.base, i->path);
}

static void tell_sound(struct call *c, const struct image *i, const struct overlay_survey *s)
{
    char own[BYTES_TEXT], unused[BYTES_TEXT], unflushed[BYTES_TEXT];

    if (c->json) {
        json_t *answer = pal_json_answer("disk");

        json_object_update_new(answer,
                               json_pack("{s:b, s:I, s:I, s:I, s:I}", "sound", 1, "own_bytes",
                                         (json_int_t)s->own * OVERLAY_CLUSTER, "filled_bytes",
                                         (json_int_t)s->filled * OVERLAY_CLUSTER, "unused_bytes",
                                         (json_int_t)s->stray * OVERLAY_CLUSTER, "unflushed_bytes",
                                         (json_int_t)i->o.unflushed * OVERLAY_CLUSTER));
        pal_json_print(answer);
        return;
    }
    image_bytes(own, s->own * OVERLAY_CLUSTER);
    image_bytes(unused, s->stray * OVERLAY_CLUSTER);
    image_bytes(unflushed, i->o.unflushed * OVERLAY_CLUSTER);
    printf("%s is sound: %s of its own", i->path, own);
    if (i->o.unflushed)
        printf(", of which %s are not flushed", unflushed);
    puts(s->stray ? "" : ".");
    if (s->stray)
        printf(
            "  %s in the file are of no use: written, and not flushed when the power failed or the "
            "file was copied.\n",
            unused);
}

static int check(struct call *c, struct pal *p)
{
    struct overlay_survey s = {0};
    struct image i;
    int rc;

    (void)p;
    pal_failed_to(&c->error, "%s is not found sound", c->argument[1]);
    if (image_open_overlay(&i, c->argument[1], IMAGE_READ, &c->error))
        return -1;
    rc = survey(&i, &s, &c->error);
    if (!rc)
        rc = check_base(&i, &c->error);
    if (!rc)
        tell_sound(c, &i, &s);
    image_close(&i);
    return rc;
}

/* ---- resize ---- */

static int wanted_size(struct call *c, uint64_t now, uint64_t *bytes)
{
    const char *word = c->argument[2];
    uint64_t kib;

    if (!size_parse(word + (*word == '+'), &kib))
        return pal_fail(&c->error, PAL_USE_ARGUMENTS, "'%s' is no size such as 20G or +512M", word);
    *bytes = (kib << 10) + (*word == '+' ? now : 0);
    if (*bytes >= now && *bytes <= OVERLAY_MOST)
        return 0;
    return pal_fail(&c->error, PAL_DISK_SIZE,
                    "the disk has %" PRIu64 " bytes; it can only grow, to 16 TiB at most", now);
}

static int resize(struct call *c, struct pal *p)
{
    char why[OVERLAY_WHY], old[BYTES_TEXT], now[BYTES_TEXT];
    uint64_t before, bytes = 0;
    struct image i;
    int rc;

    (void)p;
    pal_failed_to(&c->error, "cannot resize %s", c->argument[1]);
    if (image_open_overlay(&i, c->argument[1], IMAGE_CHANGE, &c->error))
        return -1;
    before = i.o.size;
    rc = wanted_size(c, before, &bytes);
    if (!rc && bytes > before && overlay_grow(&i.o, bytes, why))
        rc = pal_fail(&c->error, PAL_DISK_FILE, "%s: %s", i.path, why);
    if (!rc && c->json) {
        json_t *answer = pal_json_answer("disk");

        json_object_set_new(answer, "before_bytes", json_integer((json_int_t)before));
        json_object_set_new(answer, "virtual_bytes", json_integer((json_int_t)bytes));
        pal_json_print(answer);
    } else if (!rc) {
        image_bytes(old, before);
        image_bytes(now, bytes);
        printf("%s: %s, before %s; partitions and file systems on it are as large as they were\n",
               i.path, now, old);
    }
    image_close(&i);
    return rc;
}

/* ---- rebase ---- */

/* It is as the overlay knows it, or the user knows what he does. */
static int accept(const struct image *i, const char *path, enum base_state state,
                  struct pal_error *e)
{
    if (state == BASE_FITS || wanted.accept)
        return 0;
    pal_fail(e, PAL_DISK_BASE,
             "%s has another size or time of change than the base of %s had: if its contents are "
             "others, the disk is a mixture of both",
             path, i->path);
    return pal_remedy(e, "if you know that it fits: --accept-changed");
}

static int rebase_on(struct image *i, const char *path, struct pal_error *e)
{
    char why[OVERLAY_WHY];
    enum base_state state;
    struct stat st;
    int fd, rc = -1;

    state = image_base(i, path, &fd, &st);
    if (state == BASE_MISSING) {
        pal_fail(e, PAL_DISK_BASE, "its base %s is not there", path);
        pal_remedy(e, "name its new place: --base IMAGE");
    } else if (S_ISREG(st.st_mode) && overlay_is(fd)) {
        pal_fail(e, PAL_DISK_BASE, "%s is an overlay itself", path);
        pal_remedy(e, "make an image of it first: `pal disk flatten %s IMAGE`", path);
    } else if ((uint64_t)st.st_size / 512 * 512 > i->o.size) {
        pal_fail(e, PAL_DISK_SIZE, "%s has %" PRIu64 " bytes, the disk only %" PRIu64, path,
                 (uint64_t)st.st_size, i->o.size);
        pal_remedy(e, "let it grow first: `pal disk resize %s SIZE`", i->path);
    } else if (!accept(i, path, state, e)) {
        rc = overlay_rebase(&i->o, path, &st, why)
                 ? pal_fail(e, PAL_DISK_FILE, "%s: %s", i->path, why)
                 : 0;
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

static int rebase(struct call *c, struct pal *p)
{
    char path[PATH_MAX];
    struct image i;
    int rc;

    (void)p;
    pal_failed_to(&c->error, "cannot put %s on its base", c->argument[1]);
    if (wanted.base && !realpath(wanted.base, path))
        return pal_fail(&c->error, PAL_DISK_BASE, "%s: %s", wanted.base, strerror(errno));
    if (image_open_overlay(&i, c->argument[1], IMAGE_CHANGE, &c->error))
        return -1;
    if (!wanted.base)
        snprintf(path, sizeof(path), "%s", i.o.base);
    rc = rebase_on(&i, path, &c->error);
    if (!rc && c->json) {
        json_t *answer = pal_json_answer("disk");

        json_object_set_new(answer, "base", json_string(path));
        pal_json_print(answer);
    }
    image_close(&i);
    return rc;
}

/* ---- the verb ---- */

static const struct verb_act acts[] = {
    {"info", disk_info, 2, 2},
    {"create", create, 2, 2},
    {"check", check, 2, 2},
    {"resize", resize, 3, 3},
    {"rebase", rebase, 2, 2},
    {"flatten", disk_flatten, 3, 3},
    {0},
};

const struct verb verb_disk = {
    .name = "disk",
    .summary = "Images of disks: info, create, check, resize, rebase, flatten",
    .arguments = "info|create|check|resize|rebase|flatten FILE [SIZE|OUT]",
    .details =
        "An overlay holds what a domain changed of a base that several share. `resize` lets its "
        "disk grow; `rebase` accepts that the base lies somewhere else, or was changed on "
        "purpose, and makes an overlay of its own of a copy; `flatten` writes overlay and base "
        "together into OUT. All but `info` want nobody to use FILE.",
    .progress = true,
    .least = 2,
    .most = 3,
    .words = WORDS_FILE,
    .acts = acts,
    .act_words = "`info FILE`, `create FILE --base IMAGE`, `check FILE`, `resize FILE SIZE`, "
                 "`rebase FILE` or `flatten FILE OUT`",
    .options = options,
    .option = option,
    .run = verb_act_apart,
};
