/* SPDX-License-Identifier: MIT */
/* Who uses the machine: like xentop's columns, live or in batches. */
#include "verb.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    bool batch;
    unsigned long rounds, delay; /* 0 rounds: without end */
} wanted = {false, 0, 3};

static const struct argp_option options[] = {
    {"batch", 'b', NULL, 0, "Plain text, one list after the other", 0},
    {"iterations", 'i', "N", 0, "End after N lists", 0},
    {"delay", 'd', "SECONDS", 0, "Between two lists (3)", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    switch (key) {
    case 'b':
        wanted.batch = true;
        return true;
    case 'i':
        return verb_number(c, value, 1000000, &wanted.rounds);
    case 'd':
        return verb_number(c, value, 86400, &wanted.delay) && wanted.delay > 0;
    default:
        return false;
    }
}

struct sample {
    struct pal_domain *list;
    int count;
    double at;
};

static int take(struct pal *p, struct sample *s, struct pal_error *e)
{
    s->count = pal_domains(p, &s->list, e);
    s->at = verb_now();
    return s->count < 0 ? -1 : 0;
}

/* Percent of one CPU since the sample before; 0 for a domain that was not in it. */
static double percent(const struct sample *before, const struct sample *now,
                      const struct pal_domain *d)
{
    for (int i = 0; i < before->count; i++) {
        const struct pal_domain *b = &before->list[i];

        if (b->id == d->id && !memcmp(b->info.handle, d->info.handle, sizeof(d->info.handle)) &&
            now->at > before->at)
            return (double)(d->info.cpu_time - b->info.cpu_time) / 1e7 / (now->at - before->at);
    }
    return 0;
}

static void print_table(const struct sample *before, const struct sample *now)
{
    static const struct pal_column columns[] = {
        {"NAME", false},  {"STATE", false},    {"CPU(sec)", true}, {"CPU(%)", true},
        {"MEM(k)", true}, {"MAXMEM(k)", true}, {"VCPUS", true}};
    struct pal_table *t = pal_table_new(columns, 7);

    for (int i = 0; i < now->count; i++) {
        const struct pal_domain *d = &now->list[i];
        char seconds[32], share[32], memory[32], most[32], vcpus[16];

        snprintf(seconds, sizeof(seconds), "%.0f", (double)d->info.cpu_time / 1e9);
        snprintf(share, sizeof(share), "%.1f", percent(before, now, d));
        snprintf(memory, sizeof(memory), "%llu", (unsigned long long)d->info.tot_pages << 2);
        snprintf(most, sizeof(most), "%llu", (unsigned long long)d->info.max_pages << 2);
        snprintf(vcpus, sizeof(vcpus), "%u", d->info.nr_online_vcpus);
        pal_table_row(t, d->name, pal_domain_state(&d->info), seconds, share, memory, most, vcpus);
    }
    pal_table_print(t);
}

static void print_json(const struct sample *before, const struct sample *now)
{
    json_t *answer = pal_json_answer("top"), *all = json_array();

    for (int i = 0; i < now->count; i++) {
        const struct pal_domain *d = &now->list[i];

        json_array_append_new(
            all,
            json_pack("{s:i, s:s, s:s, s:f, s:f, s:I, s:I, s:i}", "id", (int)d->id, "name", d->name,
                      "state", pal_domain_state(&d->info), "cpu_seconds",
                      (double)d->info.cpu_time / 1e9, "cpu_percent", percent(before, now, d),
                      "memory_bytes", (json_int_t)d->info.tot_pages << 12, "memory_max_bytes",
                      (json_int_t)d->info.max_pages << 12, "vcpus", (int)d->info.nr_online_vcpus));
    }
    json_object_set_new(answer, "domains", all);
    pal_json_print(answer);
}

static int watch(struct call *c, struct pal *p)
{
    bool live = !wanted.batch && !c->json && isatty(STDOUT_FILENO);
    struct sample before = {0}, now;

    for (unsigned long round = 0; !wanted.rounds || round < wanted.rounds; round++) {
        if (round)
            verb_sleep((double)wanted.delay);
        if (take(p, &now, &c->error)) {
            free(before.list);
            return 1;
        }
        if (live)
            fputs("\033[H\033[J", stdout);
        if (c->json)
            print_json(&before, &now);
        else
            print_table(&before, &now);
        fflush(stdout);
        free(before.list);
        before = now;
    }
    free(before.list);
    return 0;
}

static int run(struct call *c)
{
    struct pal p;
    int rc;

    pal_failed_to(&c->error, "cannot watch the domains");
    if (c->json && !wanted.rounds)
        wanted.rounds = 1;
    if (pal_open(&p, &c->error))
        return 1;
    rc = watch(c, &p);
    pal_close(&p);
    return rc;
}

const struct verb verb_top = {
    .name = "top",
    .summary = "Show who uses the machine; Ctrl-C ends",
    .arguments = "",
    .options = options,
    .option = option,
    .run = run,
};
