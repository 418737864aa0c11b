/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include <stdlib.h>

static bool clear;

static const struct argp_option options[] = {
    {"clear", 'c', NULL, 0, "Empty the log after reading", 0}, {0}};

static bool option(struct call *c, int key, const char *value)
{
    (void)c;
    (void)value;
    clear = key == 'c';
    return clear;
}

/* Guests' words may be in it: only what a terminal takes without harm is left. Returns the size. */
static long make_plain(char *text, long size)
{
    long to = 0;

    for (long i = 0; i < size; i++) {
        unsigned char ch = (unsigned char)text[i];

        if (ch != '\r' && ch != '\0')
            text[to++] = (ch < ' ' && ch != '\n' && ch != '\t') || ch >= 127 ? '?' : text[i];
    }
    return to;
}

static int run(struct call *c)
{
    struct pal_hv hv;
    char *text;
    long size;

    pal_failed_to(&c->error, "cannot read the hypervisor's log");
    if (pal_hv_open(&hv, &c->error))
        return 1;
    size = pal_hv_log(&hv, clear, &text, &c->error);
    pal_hv_close(&hv);
    if (size < 0)
        return 1;
    size = make_plain(text, size);
    if (c->json) {
        json_t *answer = pal_json_answer("dmesg");

        json_object_set_new(answer, "text", json_stringn(text, (size_t)size));
        pal_json_print(answer);
    } else {
        fwrite(text, 1, (size_t)size, stdout);
    }
    free(text);
    return 0;
}

const struct verb verb_dmesg = {
    .name = "dmesg",
    .summary = "Print the hypervisor's log",
    .arguments = "",
    .options = options,
    .option = option,
    .run = run,
};
