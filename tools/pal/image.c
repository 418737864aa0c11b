/* SPDX-License-Identifier: MIT */
/* Images of domains: what is in one, whether it is sound, how two differ. */
#include "verb.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libpal/interrupt.h"
#include "save_restore.h"

static bool show_ranges;

static const struct argp_option options[] = {
    {"ranges", 'r', NULL, 0, "With diff: list the ranges of frames that differ", 0}, {0}};

static bool option(struct call *c, int key, const char *value)
{
    (void)c;
    (void)value;
    show_ranges |= key == 'r';
    return key == 'r';
}

/* ---- info and verify ---- */

static const char *const codecs[] = {"stored", "lz4", "zlib"};

static json_t *info_json(const char *path, const struct image_info *i)
{
    json_t *o = json_pack(
        "{s:s, s:i, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "file", path, "version",
        (int)i->header.version, "created_seconds", (json_int_t)(i->header.created_ns / 1000000000u),
        "vcpus", (int)i->domain.vcpus, "bytes", (json_int_t)i->end.length, "pages",
        (json_int_t)i->domain.pages, "data_pages", (json_int_t)i->end.data_pages, "zero_pages",
        (json_int_t)i->end.zero_pages, "repeat_pages", (json_int_t)i->end.repeat_pages, "chunks",
        (json_int_t)i->end.chunks, "packed_bytes", (json_int_t)i->end.packed_bytes, "pinned_tables",
        (json_int_t)i->pinned);
    json_t *tables = json_array();

    for (unsigned level = 0; level < 4; level++)
        json_array_append_new(tables, json_integer((json_int_t)i->tables[level]));
    json_object_set_new(o, "tables", tables);
    return o;
}

static void info_text(const char *path, const struct image_info *i)
{
    time_t made = (time_t)(i->header.created_ns / 1000000000u);
    char when[40];

    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime(&made));
    printf("%s: image of version %u, made %s\n", path, i->header.version, when);
    printf("  virtual CPUs %8u\n", i->domain.vcpus);
    printf("  memory       %8.1f MiB in %" PRIu64 " pages: %" PRIu64 " with data, %" PRIu64
           " zero, %" PRIu64 " repeated\n",
           (double)i->domain.pages / 256, i->domain.pages, i->end.data_pages, i->end.zero_pages,
           i->end.repeat_pages);
    printf("  page tables  %8" PRIu64 " (levels 1 to 4: %" PRIu64 ", %" PRIu64 ", %" PRIu64
           ", %" PRIu64 "), %" PRIu64 " pinned\n",
           i->tables[0] + i->tables[1] + i->tables[2] + i->tables[3], i->tables[0], i->tables[1],
           i->tables[2], i->tables[3], i->pinned);
    printf("  file         %8.1f MiB, %.1f %% of the memory\n", (double)i->end.length / (1 << 20),
           i->domain.pages ? 100.0 * (double)i->end.length / 4096 / (double)i->domain.pages : 0.0);
    for (unsigned k = 0; k < 3; k++) {
        if (i->chunks_by[k])
            printf("  %-12s %8" PRIu64 " chunks, %.1f MiB\n", codecs[k], i->chunks_by[k],
                   (double)i->packed_by[k] / (1 << 20));
    }
}

static int info(struct call *c, struct pal *p)
{
    const char *path = c->argument[1];
    struct image_info i;

    (void)p;
    if (image_info_read(path, &i, &c->error))
        return -1;
    if (c->json) {
        json_t *answer = pal_json_answer("image");

        json_object_set_new(answer, "image", info_json(path, &i));
        pal_json_print(answer);
    } else {
        info_text(path, &i);
    }
    return 0;
}

static bool go_on(void *context, const struct image_progress *at)
{
    (void)at;
    return !pal_interrupt_check(context);
}

static int verify(struct call *c, struct pal *p)
{
    struct image_reader_options o = {.progress = go_on, .progress_context = &c->error};
    const char *path = c->argument[1];
    bool input = !strcmp(path, "-");
    struct image_info i;

    (void)p;
    if (image_verify(input ? "standard input" : path, input ? 0 : -1, &o, &i, &c->error))
        return -1;
    if (c->json) {
        json_t *answer = pal_json_answer("image");

        json_object_set_new(answer, "sound", json_true());
        json_object_set_new(answer, "image", info_json(path, &i));
        pal_json_print(answer);
    } else {
        printf("%s is sound: %" PRIu64 " pages of %" PRIu64 " KiB of memory\n", path,
               i.domain.pages, i.domain.pages * 4);
    }
    return 0;
}

/* ---- diff ---- */

static bool show_range(void *context, uint32_t gfn, uint32_t count, enum image_difference how)
{
    static const char *const words[] = {"content", "type", "only in the first",
                                        "only in the second"};
    struct call *c = context;

    if (show_ranges && !c->json)
        printf("%#10x %6u %s\n", gfn, count, words[how]);
    return !pal_interrupt_check(&c->error);
}

static int diff(struct call *c, struct pal *p)
{
    struct image_diff d;
    uint64_t all;

    (void)p;
    if (image_diff(c->argument[1], c->argument[2], show_range, c, &d, &c->error))
        return -1;
    all = d.differ[0] + d.differ[1] + d.differ[2] + d.differ[3];
    if (c->json) {
        json_t *answer = pal_json_answer("image");

        json_object_set_new(
            answer, "difference",
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "same", (json_int_t)d.same,
                      "content", (json_int_t)d.differ[IMAGE_DIFFERS_CONTENT], "type",
                      (json_int_t)d.differ[IMAGE_DIFFERS_TYPE], "only_first",
                      (json_int_t)d.differ[IMAGE_ONLY_FIRST], "only_second",
                      (json_int_t)d.differ[IMAGE_ONLY_SECOND], "tables", (json_int_t)d.tables,
                      "description", d.description, "states", d.states));
        pal_json_print(answer);
        return 0;
    }
    printf("%" PRIu64 " pages are the same, %" PRIu64 " differ (%" PRIu64 " of them tables)%s%s\n",
           d.same, all, d.tables, d.description ? "; so do the descriptions" : "",
           d.states ? "; so do the states of virtual CPUs" : "");
    return 0;
}

static const struct verb_act acts[] = {
    {"info", info, 2, 2},
    {"verify", verify, 2, 2},
    {"diff", diff, 3, 3},
    {0},
};

const struct verb verb_image = {
    .name = "image",
    .summary = "Look into images of domains: info, verify, diff",
    .arguments = "info|verify|diff FILE [FILE]",
    .details =
        "`info` tells what is in an image by its records' headers; `verify` reads and checks "
        "all of it, the page tables, too; `diff` compares two, page by page.",
    .least = 2,
    .most = 3,
    .words = WORDS_FILE,
    .options = options,
    .acts = acts,
    .act_words = "`info FILE`, `verify FILE` or `diff FILE FILE`",
    .option = option,
    .run = verb_act_apart,
};
