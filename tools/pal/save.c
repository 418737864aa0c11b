/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libpal/interrupt.h"
#include "libpal/region.h"
#include "save_restore.h"

#define PATH_MOST      4096
#define DETACH_SECONDS 5

static struct {
    struct save_options save;
    bool estimate, detach;
    const char *all; /* the directory */
} wanted;

static const struct argp_option options[] = {
    {"checkpoint", 'k', NULL, 0, "Let the domain run on after the copy", 0},
    {"fast", 'f', NULL, 0, "Leave out only zero and repeated pages: no compression", 0},
    {"small", 's', NULL, 0, "Pack it as small as it goes, however long it takes", 0},
    {"verify", 'V', NULL, 0, "Read the file again and check it before it counts", 0},
    {"timeout", 't', "PHASE=SECONDS", 0, "Deadline of a phase: ask, freeze, copy, seal", 0},
    {"estimate", 'e', NULL, 0, "Only tell how large the image would be", 0},
    {"detach", 'd', NULL, 0, "Let go of regions that it has mapped, first", 0},
    {"all", 'a', "DIR", 0, "Save all domains, into this directory", 0},
    {0}};

static bool set_timeout(struct call *c, const char *value)
{
    const char *is = strchr(value, '=');
    unsigned long seconds;

    for (unsigned i = 0; is && i < SAVE_PHASES; i++) {
        const char *name = save_phase_name(i);

        if (strlen(name) == (size_t)(is - value) && !strncmp(name, value, strlen(name))) {
            if (!verb_number(c, is + 1, 1000000, &seconds))
                return false;
            wanted.save.deadline[i] = seconds ? (unsigned)seconds : 1;
            return true;
        }
    }
    return false;
}

static bool option(struct call *c, int key, const char *value)
{
    switch (key) {
    case 'k':
        return wanted.save.checkpoint = true;
    case 'f':
        wanted.save.mode = IMAGE_MODE_FAST;
        return true;
    case 's':
        wanted.save.mode = IMAGE_MODE_SMALL;
        return true;
    case 'V':
        return wanted.save.read_back = true;
    case 't':
        return set_timeout(c, value);
    case 'e':
        return wanted.estimate = true;
    case 'd':
        return wanted.detach = true;
    case 'a':
        wanted.all = value;
        return true;
    default:
        return false;
    }
}

/* ---- answers ---- */

static json_t *describe(const struct pal_domain *d, const char *path,
                        const struct save_result *result)
{
    const struct image_end *t = &result->totals;

    return json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:b}", "name", d->name, "id",
                     (int)d->id, "file", path, "bytes", (json_int_t)t->length, "data_pages",
                     (json_int_t)t->data_pages, "zero_pages", (json_int_t)t->zero_pages,
                     "repeat_pages", (json_int_t)t->repeat_pages, "copy_seconds", result->copied,
                     "frozen_seconds", result->frozen, "running", wanted.save.checkpoint);
}

static void tell(const struct pal_domain *d, const char *path, const struct save_result *result)
{
    double mib = (double)result->totals.length / (1 << 20);

    printf("%s is saved in %s: %.1f MiB, %.1f s%s\n", d->name, path, mib, result->frozen,
           wanted.save.checkpoint ? "; it runs on" : "");
}

/* ---- one ---- */

static int save_mapped(struct pal *p, struct pal_domain *d, const char *path, int fd,
                       const char *name, struct save_result *result, struct pal_error *e)
{
    struct pal_seat *seats = NULL;
    int count, rc;

    count = pal_regions_detach(p, d->id, DETACH_SECONDS, &seats, e);
    if (count < 0)
        return -1;
    rc = save_domain(p, d, path, fd, name, &wanted.save, result, e);
    if (rc || wanted.save.checkpoint) /* it runs on */
        pal_regions_attach(p, d->id, seats, count);
    free(seats);
    return rc;
}

/* What others write to is not the domain's to put away: it is refused, or let go first. */
static int save(struct pal *p, struct pal_domain *d, const char *path, int fd, const char *name,
                struct save_result *result, struct pal_error *e)
{
    char region[32] = "";
    uint64_t pages;

    if (wanted.detach)
        return save_mapped(p, d, path, fd, name, result, e);
    if (pal_regions_mapped(p, d->id, &pages, region, e))
        return -1;
    if (pages)
        return pal_fail(e, PAL_REG_MAPPED, "it has %llu KiB of regions mapped (\"%s\")",
                        (unsigned long long)pages << 2, region);
    return save_domain(p, d, path, fd, name, &wanted.save, result, e);
}

static int save_to_output(struct call *c, struct pal *p, struct pal_domain *d)
{
    struct save_result result;

    if (isatty(STDOUT_FILENO)) {
        pal_fail(&c->error, PAL_USE_ARGUMENTS, "the image would go to your terminal");
        return pal_remedy(&c->error, "pipe it: `pal save %s - | ...`", d->name);
    }
    return save(p, d, NULL, STDOUT_FILENO, "standard output", &result, &c->error);
}

static int save_to_file(struct call *c, struct pal *p, struct pal_domain *d, const char *path)
{
    struct save_result result;

    if (save(p, d, path, -1, path, &result, &c->error))
        return -1;
    if (c->json) {
        json_t *answer = pal_json_answer("save"), *image = describe(d, path, &result);

        json_object_set_new(answer, "image", image);
        pal_json_print(answer);
    } else {
        tell(d, path, &result);
    }
    return 0;
}

/* ---- all ---- */

static int save_all(struct call *c, struct pal *p, const char *directory)
{
    struct pal_domain *list;
    int count = pal_domains(p, &list, &c->error), failed = 0;
    json_t *images = json_array();

    if (count < 0)
        return -1;
    mkdir(directory, 0700);
    for (int i = 0; i < count && !pal_interrupt_signal(); i++) {
        struct pal_error e = {0};
        struct save_result result;
        char path[PATH_MOST];

        if (list[i].id == 0 || pal_domain_has_ended(&list[i].info))
            continue;
        snprintf(path, sizeof(path), "%s/%s.pal", directory, list[i].name);
        if (!save(p, &list[i], path, -1, path, &result, &e)) {
            json_array_append_new(images, describe(&list[i], path, &result));
            if (!c->json)
                tell(&list[i], path, &result);
            continue;
        }
        failed++;
        pal_error_print(&e, stderr);
    }
    free(list);
    if (c->json) {
        json_t *answer = pal_json_answer("save");

        json_object_set(answer, "images", images);
        pal_json_print(answer);
    }
    json_decref(images);
    if (failed)
        return pal_fail(&c->error, PAL_SYS_FAILED, "%d of the domains could not be saved", failed);
    return pal_interrupt_check(&c->error);
}

/* ---- how much ---- */

static int estimate(struct call *c, struct pal *p, struct pal_domain *d)
{
    struct image_estimate is;

    if (save_estimate(p, d, &is, &c->error))
        return -1;
    if (c->json) {
        json_t *answer = pal_json_answer("save");

        json_object_set_new(
            answer, "estimate",
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name", d->name, "pages",
                      (json_int_t)is.pages, "sampled", (json_int_t)is.sampled, "zero_pages",
                      (json_int_t)is.zero_pages, "bytes", (json_int_t)is.bytes[IMAGE_MODE_DEFAULT],
                      "bytes_fast", (json_int_t)is.bytes[IMAGE_MODE_FAST], "bytes_small",
                      (json_int_t)is.bytes[IMAGE_MODE_SMALL]));
        pal_json_print(answer);
        return 0;
    }
    printf("an image of %s: about %llu MiB (--fast: %llu MiB, --small: %llu MiB) for %llu MiB of "
           "memory\n",
           d->name, (unsigned long long)is.bytes[IMAGE_MODE_DEFAULT] >> 20,
           (unsigned long long)is.bytes[IMAGE_MODE_FAST] >> 20,
           (unsigned long long)is.bytes[IMAGE_MODE_SMALL] >> 20, (unsigned long long)is.pages >> 8);
    return 0;
}

static int act(struct call *c, struct pal *p)
{
    struct pal_domain d;

    if (wanted.all)
        return save_all(c, p, wanted.all);
    if (pal_domain_find_guest(p, c->argument[0], &d, &c->error))
        return -1;
    if (wanted.estimate)
        return estimate(c, p, &d);
    return strcmp(c->argument[1], "-") ? save_to_file(c, p, &d, c->argument[1])
                                       : save_to_output(c, p, &d);
}

static int check_words(struct call *c)
{
    unsigned words = wanted.all ? 0 : wanted.estimate ? 1 : 2;

    if (wanted.all && wanted.estimate)
        return pal_fail(&c->error, PAL_USE_ARGUMENTS, "one cannot estimate all at once");
    if (c->arguments == words)
        return 0;
    return pal_fail(&c->error, PAL_USE_ARGUMENTS,
                    "it is `save NAME FILE`, `save NAME --estimate` or `save --all DIR`");
}

static int run(struct call *c)
{
    struct pal p;
    int rc;

    if (check_words(c) || pal_open(&p, &c->error))
        return 1;
    pal_interrupt_catch();
    rc = act(c, &p);
    pal_interrupt_release();
    if (rc)
        pal_failed_to(&c->error, "cannot save \"%s\"", wanted.all ? "all" : c->argument[0]);
    pal_close(&p);
    return rc ? 1 : 0;
}

const struct verb verb_save = {
    .name = "save",
    .summary = "Put a domain away in a file",
    .arguments = "[NAME] [FILE|-]",
    .details =
        "The guest suspends itself and is gone when the file is complete; `pal restore` brings "
        "it back. When anything fails it runs on, and there is no file. The word - stands "
        "for standard output. Its disks are not in the image: after --checkpoint the image "
        "is of use only with copies of them as they were.",
    .most = 2,
    .words = WORDS_DOMAIN,
    .progress = true,
    .options = options,
    .option = option,
    .run = run,
};
