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

#include "libpal/record.h"
#include "trim.h"

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

/* `is_there`: the domain is, so that only its log may be missing. */
static FILE *open_log(const char *name, bool is_there, struct pal_error *e)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/guest-%s.log", LOG_DIRECTORY, name);
    file = fopen(path, "r");
    if (!file && errno == ENOENT && !is_there) {
        pal_fail(e, PAL_DOM_UNKNOWN, "there is no domain called \"%s\", nor a log of one", name);
    } else if (!file) {
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

/* All that there is, as text for a terminal; to be freed. */
static char *take(FILE *file, size_t *size)
{
    char *text = NULL;
    FILE *memory = open_memstream(&text, size);
    int ch;

    if (!memory)
        return NULL;
    while ((ch = getc(file)) != EOF) {
        if (ch != '\r')
            putc((ch < ' ' && ch != '\n' && ch != '\t') || ch >= 127 ? '?' : ch, memory);
    }
    clearerr(file);
    fclose(memory);
    return text;
}

static void show(FILE *file, const struct call *c)
{
    size_t size;
    char *text = take(file, &size);

    if (c->json && text) {
        json_t *answer = pal_json_answer("logs");

        json_object_set_new(answer, "name", json_string(c->argument[0]));
        json_object_set_new(answer, "text", json_stringn(text, size));
        pal_json_print(answer);
    } else if (text) {
        fwrite(text, 1, size, stdout);
    }
    fflush(stdout);
    free(text);
}

static bool has_more(FILE *file)
{
    int ch = getc(file);

    if (ch == EOF)
        clearerr(file);
    else
        ungetc(ch, file);
    return ch != EOF;
}

static void follow(FILE *file, const struct call *c, struct pal *p, const struct pal_domain *d)
{
    struct xen_domctl_getdomaininfo now;
    struct pal_error gone = {0};
    bool is_over = false;
    unsigned quiet = 0; /* looks after the end that found nothing */

    while (quiet < 2 && !ferror(stdout)) {
        is_over =
            is_over || pal_domain_info(&p->hv, d->id, &now, &gone) || pal_domain_has_ended(&now);
        verb_sleep(0.2); /* what it said at last comes a little later */
        if (has_more(file)) {
            show(file, c);
            quiet = 0;
        } else if (is_over) {
            quiet++;
        }
    }
}

/* The domain when there is one. One that has ended still has its log. */
static FILE *find_log(struct call *c, struct pal *p, struct pal_domain *d, bool *is_there)
{
    struct pal_error unknown = {0};
    char name[PAL_NAME_MAX + 1];

    *is_there = !pal_domain_find(p, c->argument[0], d, &unknown);
    if (*is_there && d->id == 0) {
        pal_fail(&c->error, PAL_DOM_CONTROL, "domain 0 has no log of this kind");
        pal_remedy(&c->error, "see `dmesg` and journalctl, and `pal dmesg` for the hypervisor");
        return NULL;
    }
    if (*is_there)
        return open_log(pal_record_first_name(d->id, name) ? name : d->name, true, &c->error);
    if (!pal_name_is_good(c->argument[0])) {
        c->error = unknown;
        pal_failed_to(&c->error, "cannot show the log of \"%s\"", c->argument[0]);
        return NULL;
    }
    return open_log(c->argument[0], false, &c->error);
}

static int run(struct call *c)
{
    struct pal_domain d = {0};
    bool is_there = false;
    struct pal p;
    FILE *file;

    pal_failed_to(&c->error, "cannot show the log of \"%s\"", c->argument[0]);
    if (pal_open(&p, &c->error))
        return 1;
    file = find_log(c, &p, &d, &is_there);
    if (file) {
        if (wanted.lines)
            skip_to_last(file, wanted.lines);
        show(file, c);
        if (wanted.follow && is_there)
            follow(file, c, &p, &d);
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
