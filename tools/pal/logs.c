/* SPDX-License-Identifier: MIT */
/*
 * What a domain has printed: xenconsoled writes it to a file named for the domain. The words are
 * the guest's, so what a terminal might take as a command is shown as '?'.
 */
#include "verb.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_DIRECTORY "/var/log/xen/console"

static struct {
    bool follow;
    unsigned long lines; /* 0: all */
} wanted;

static const struct argp_option options[] = {
    {"follow", 'f', NULL, 0, "Go on with what comes, until the domain ends", 0},
    {"lines", 'n', "N", 0, "Only the last N lines", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    if (key == 'f')
        wanted.follow = true;
    else if (key == 'n')
        return verb_number(c, value, 1000000, &wanted.lines);
    return key == 'f';
}

static FILE *open_log(const char *name, struct pal_error *e)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/guest-%s.log", LOG_DIRECTORY, name);
    file = fopen(path, "r");
    if (!file) {
        pal_fail(e, PAL_CON_ABSENT, "%s: %s", path, strerror(errno));
        pal_remedy(e, "xenconsoled must run with --log=guest --log-dir=%s", LOG_DIRECTORY);
    }
    return file;
}

/* Go to where the last so many lines begin. */
static void skip_to_last(FILE *file, unsigned long lines)
{
    unsigned long count = 0;
    long at;

    fseek(file, 0, SEEK_END);
    for (at = ftell(file); at > 0; at--) {
        fseek(file, at - 1, SEEK_SET);
        if (getc(file) == '\n' && count++ == lines)
            break;
    }
    fseek(file, at, SEEK_SET);
}

static void show(FILE *file)
{
    int ch;

    while ((ch = getc(file)) != EOF) {
        if (ch != '\r')
            putchar((ch < ' ' && ch != '\n' && ch != '\t') || ch >= 127 ? '?' : ch);
    }
    clearerr(file);
    fflush(stdout);
}

static void follow(FILE *file, struct pal *p, const struct pal_domain *d)
{
    struct xen_domctl_getdomaininfo now;
    struct pal_error gone = {0};

    while (!pal_domain_info(&p->hv, d->id, &now, &gone) && !pal_domain_has_ended(&now)) {
        verb_sleep(0.2);
        show(file);
    }
    show(file);
}

static void print_json(FILE *file, const char *name)
{
    json_t *answer = pal_json_answer("logs");
    char *text = NULL;
    size_t size = 0, got;
    FILE *memory = open_memstream(&text, &size);
    char data[4096];

    while (memory && (got = fread(data, 1, sizeof(data), file))) {
        for (size_t i = 0; i < got; i++)
            putc((unsigned char)data[i] >= 127 ? '?' : data[i], memory);
    }
    if (memory)
        fclose(memory);
    json_object_set_new(answer, "name", json_string(name));
    json_object_set_new(answer, "text", json_stringn(text ? text : "", size));
    pal_json_print(answer);
    free(text);
}

static int run(struct call *c)
{
    struct pal_error unknown = {0};
    struct pal_domain d = {0};
    FILE *file = NULL;
    struct pal p;
    bool is_there;

    pal_failed_to(&c->error, "cannot show the log of \"%s\"", c->argument[0]);
    if (pal_open(&p, &c->error))
        return 1;
    /* One that has ended still has its log. */
    is_there = !pal_domain_find(&p, c->argument[0], &d, &unknown);
    if (!is_there && !pal_name_is_good(c->argument[0]))
        pal_fail(&c->error, PAL_DOM_UNKNOWN, "%s", unknown.why);
    else
        file = open_log(is_there ? d.name : c->argument[0], &c->error);
    if (file) {
        if (wanted.lines)
            skip_to_last(file, wanted.lines);
        if (c->json)
            print_json(file, c->argument[0]);
        else
            show(file);
        if (wanted.follow && !c->json && is_there)
            follow(file, &p, &d);
        fclose(file);
    }
    pal_close(&p);
    return !file;
}

const struct verb verb_logs = {
    .name = "logs",
    .summary = "Print what a domain has said on its console",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .words = WORDS_DOMAIN,
    .options = options,
    .option = option,
    .run = run,
};
