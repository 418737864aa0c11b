/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include <ctype.h>

/* Those of its own; --json and --help are every verb's. */
static json_t *options_json(const struct verb *v)
{
    json_t *all = json_array();

    for (const struct argp_option *o = v->options; o && o->name; o++) {
        char letter[2] = {(char)(isprint(o->key) ? o->key : 0), 0};

        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:s, s:s}", "name", o->name, "letter", letter,
                                        "value", o->arg ? o->arg : "", "summary", o->doc));
    }
    if (v->progress)
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "name", "progress", "letter",
                                             "", "value", "FORM", "summary",
                                             "How far it is: auto, bar, json, none"));
    return all;
}

static void print_json(void)
{
    json_t *answer = pal_json_answer("help"), *all = json_array();

    for (const struct verb *const *v = verbs; *v; v++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", (*v)->name,
                                             "aliases", (*v)->aliases ? (*v)->aliases : "",
                                             "arguments", (*v)->arguments, "summary", (*v)->summary,
                                             "options", options_json(*v)));
    json_object_set_new(answer, "verbs", all);
    pal_json_print(answer);
}

static int run(struct call *c)
{
    if (c->arguments) {
        char option[] = "--help", *argv[] = {NULL, option, NULL};
        const struct verb *verb = verb_find(c->argument[0]);

        if (verb)
            return verb_call(verb, 2, argv);
        pal_failed_to(&c->error, "no help for \"%s\"", c->argument[0]);
        return pal_fail(&c->error, PAL_USE_VERB, "pal has no such verb");
    }
    if (c->json) {
        print_json();
        return 0;
    }
    puts("Usage: pal VERB [NAME|FILE] [OPTION...]\n\nDomains of this machine: unmodified Linux "
         "guests.\n");
    for (const struct verb *const *v = verbs; *v; v++)
        printf("  %-10s %-14s %s\n", (*v)->name, (*v)->arguments, (*v)->summary);
    puts("\n`pal VERB --help` tells more; every verb takes --json.");
    return 0;
}

const struct verb verb_help = {
    .name = "help",
    .summary = "This list, or the help of one verb",
    .arguments = "[VERB]",
    .most = 1,
    .words = WORDS_VERB,
    .run = run,
};
