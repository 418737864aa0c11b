/* SPDX-License-Identifier: MIT */
/* How a verb is called: its words parsed, its error told. */
#include "verb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libpal/interrupt.h"
#include "libpal/progress.h"

#define KEY_JSON     0x1000
#define KEY_PROGRESS 0x1001

#define COMMON_OPTIONS                                                                             \
    {"json", KEY_JSON, NULL, 0, "Print the answer as one JSON object", 10},                        \
        {"help", '?', NULL, 0, "Print this list", 11},                                             \
    {                                                                                              \
        0                                                                                          \
    }

static const struct argp_option common_options[] = {COMMON_OPTIONS};
static const struct argp_option long_options[] = {
    {"progress", KEY_PROGRESS, "FORM", 0,
     "How far it is, on standard error: bar, json, none, or auto (a bar on a terminal)", 10},
    COMMON_OPTIONS};

static error_t parse_common(int key, char *value, struct argp_state *state)
{
    struct call *c = state->input;

    switch (key) {
    case KEY_JSON:
        c->json = true;
        return 0;
    case KEY_PROGRESS:
        if (!pal_progress_choose(value))
            pal_fail(&c->error, PAL_USE_ARGUMENTS,
                     "--progress is auto, bar, json or none, not '%s'", value);
        return 0;
    case '?':
        argp_help(state->root_argp, stdout, ARGP_HELP_STD_HELP, state->name);
        exit(PAL_EXIT_OK);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* argp stops at an option that it does not know, or that lacks its value; which it was, the words
 * tell. */
static void unknown_option(struct call *c, const struct argp_state *state)
{
    int at = state->next > 1 && state->next <= state->argc ? state->next - 1 : 1;
    const char *word = at < state->argc ? state->argv[at] : "";

    if (word[0] != '-' && at + 1 < state->argc)
        word = state->argv[at + 1];
    pal_fail(&c->error, PAL_USE_ARGUMENTS,
             "'%s' is no option of `pal %s`, or it lacks a value, or has one too many", word,
             c->verb->name);
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct call *c = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = c;
        return 0;
    case ARGP_KEY_ARG:
        if (c->arguments >= c->verb->most)
            pal_fail(&c->error, PAL_USE_ARGUMENTS, "'%s' is one word too many", value);
        else
            c->argument[c->arguments++] = value;
        return 0;
    case ARGP_KEY_END:
        if (c->arguments < c->verb->least)
            pal_fail(&c->error, PAL_USE_ARGUMENTS, "%s is missing", c->verb->arguments);
        return 0;
    case ARGP_KEY_ERROR:
        unknown_option(c, state);
        return 0;
    default:
        /* argp's own keys are above 0x1000000, ours below. */
        if (!c->verb->option || key <= 0 || key >= 0x1000000)
            return ARGP_ERR_UNKNOWN;
        if (!c->verb->option(c, key, value))
            pal_fail(&c->error, PAL_USE_ARGUMENTS, "'%s' is not a good value", value ? value : "");
        return 0;
    }
}

static int finish(struct call *c, int status)
{
    if (c->error.code == PAL_OK)
        return status;
    pal_failed_to(&c->error, "%s failed", c->verb->name);
    pal_error_print(&c->error, stderr);
    if (c->json)
        pal_json_print_error(c->verb->name, &c->error);
    return c->verb->own_status && status ? status : pal_code_exit(c->error.code);
}

bool verb_asks_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (!strcmp(argv[i], "--json"))
            return true;
    }
    return false;
}

static int misused(struct call *c)
{
    pal_failed_to(&c->error, "cannot take these words: pal %s %s", c->verb->name,
                  c->verb->arguments);
    pal_remedy(&c->error, "see `pal %s --help`", c->verb->name);
    return finish(c, c->verb->own_status ? PAL_EXIT_OWN_FAILURE : PAL_EXIT_USAGE);
}

int verb_call(const struct verb *verb, int argc, char **argv)
{
    struct argp_child children[] = {{.argp = NULL}, {0}};
    struct argp common = {.options = verb->progress ? long_options : common_options,
                          .parser = parse_common};
    char doc[2048], name[64];
    struct argp argp = {.options = verb->options,
                        .parser = parse,
                        .args_doc = verb->arguments,
                        .doc = doc,
                        .children = children};
    struct call c = {.verb = verb, .json = verb_asks_json(argc, argv)};

    children[0].argp = &common;
    snprintf(doc, sizeof(doc), "%s%s%s", verb->summary, verb->details ? "\n\v" : "",
             verb->details ? verb->details : "");
    snprintf(name, sizeof(name), "pal %s", verb->name);
    argv[0] = name;
    pal_progress_choose(verb->progress ? "auto" : "none");
    /* argp's own messages are not of our form: what is wrong comes in c.error. */
    if (argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, NULL, &c))
        pal_fail(&c.error, PAL_USE_ARGUMENTS, "the words cannot be understood");
    return c.error.code == PAL_OK ? finish(&c, verb->run(&c)) : misused(&c);
}

bool verb_number(struct call *c, const char *value, unsigned long most, unsigned long *number)
{
    char *end;

    errno = 0;
    *number = strtoul(value, &end, 10);
    if (!*value || *value == '-' || *end || errno || *number > most) {
        pal_fail(&c->error, PAL_USE_ARGUMENTS, "'%s' is not a number from 0 to %lu", value, most);
        return false;
    }
    return true;
}

static json_t *described(const struct pal_domain *d)
{
    return json_pack("{s:s, s:i}", "name", d->name, "id", (int)d->id);
}

/* Takes `done`. */
static void answer(struct call *c, json_t *done)
{
    if (c->json && c->error.code == PAL_OK) {
        json_t *answer = pal_json_answer(c->verb->name);

        json_object_set(answer, "domains", done);
        pal_json_print(answer);
    }
    json_decref(done);
}

/* Stops at the first that fails, so that what follows is not done by surprise. */
static int each(struct call *c, verb_action action,
                int (*find)(struct pal *, const char *, struct pal_domain *, struct pal_error *))
{
    json_t *done = json_array();
    struct pal p;
    int rc = 0;

    if (pal_open(&p, &c->error)) {
        json_decref(done);
        pal_failed_to(&c->error, "cannot %s \"%s\"", c->verb->name, c->argument[0]);
        return 1;
    }
    for (unsigned i = 0; i < c->arguments && !rc; i++) {
        struct pal_domain d;

        rc = find(&p, c->argument[i], &d, &c->error);
        if (!rc)
            rc = action(c, &p, &d);
        if (rc && c->error.code != PAL_OK)
            pal_failed_to(&c->error, "cannot %s \"%s\"", c->verb->name, c->argument[i]);
        else
            json_array_append_new(done, described(&d));
    }
    pal_close(&p);
    answer(c, done);
    return rc;
}

int verb_each_guest(struct call *c, verb_action action)
{
    return each(c, action, pal_domain_find_guest);
}

static bool is_among(const struct pal_domain *list, unsigned count, uint32_t id)
{
    for (unsigned i = 0; i < count; i++) {
        if (list[i].id == id)
            return true;
    }
    return false;
}

/* The named guests, each once; without names all there are. -1: the error is set. */
static int find_guests(struct call *c, struct pal *p, struct pal_domain **list)
{
    int count = 0, all;

    if (!c->arguments) {
        all = pal_domains(p, list, &c->error);
        for (int i = 0; i < all; i++) {
            if ((*list)[i].id)
                (*list)[count++] = (*list)[i];
        }
        return all < 0 ? -1 : count;
    }
    *list = calloc(c->arguments, sizeof(**list));
    if (!*list)
        return pal_fail(&c->error, PAL_SYS_FAILED, "out of memory");
    for (unsigned i = 0; i < c->arguments; i++) {
        struct pal_domain *d = &(*list)[count];

        if (pal_domain_find_guest(p, c->argument[i], d, &c->error)) {
            free(*list);
            return pal_failed_to(&c->error, "cannot %s \"%s\"", c->verb->name, c->argument[i]);
        }
        count += !is_among(*list, (unsigned)count, d->id);
    }
    return count;
}

int verb_all_guests(struct call *c, verb_together action)
{
    json_t *done = json_array();
    struct pal_domain *list;
    struct pal p;
    int rc = 1;

    if (!pal_open(&p, &c->error)) {
        int count = find_guests(c, &p, &list);

        if (count >= 0) {
            rc = action(c, &p, list, (unsigned)count);
            for (int i = 0; i < count; i++)
                json_array_append_new(done, described(&list[i]));
            free(list);
        }
        pal_close(&p);
    }
    pal_failed_to(&c->error, "cannot %s domains", c->verb->name);
    answer(c, done);
    return rc;
}

int verb_each_domain(struct call *c, verb_action action)
{
    return each(c, action, pal_domain_find);
}

/* NULL: there is no such act, or not with so many words. */
static const struct verb_act *find_act(const struct call *c)
{
    const struct verb_act *a = c->verb->acts;

    if (!c->arguments)
        return a;
    while (a->word && strcmp(a->word, c->argument[0]))
        a++;
    return a->word && c->arguments >= a->least && c->arguments <= a->most ? a : NULL;
}

static int do_act(struct call *c, bool apart)
{
    const struct verb_act *a = find_act(c);
    struct pal p;
    int rc;

    if (!a) {
        pal_fail(&c->error, PAL_USE_ARGUMENTS, "it is %s", c->verb->act_words);
        return 1;
    }
    rc = apart ? 0 : pal_open(&p, &c->error);
    if (!rc) {
        pal_interrupt_catch();
        rc = a->act(c, apart ? NULL : &p);
        pal_interrupt_release();
        if (!apart)
            pal_close(&p);
    }
    if (!rc)
        return 0;
    pal_failed_to(&c->error, "%s %s failed", c->verb->name, a->word);
    return 1;
}

int verb_act(struct call *c)
{
    return do_act(c, false);
}

int verb_act_apart(struct call *c)
{
    return do_act(c, true);
}

double verb_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void verb_sleep(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&t, NULL);
}
