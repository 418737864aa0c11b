/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include <stdlib.h>

static const char *wanted; /* columns */

static const struct argp_option options[] = {
    {"output", 'o', "COLS", 0, "Only these columns: NAME,ID,...; or, besides the usual, +UUID", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    (void)c;
    wanted = value;
    return key == 'o';
}

static json_t *domain_json(const struct pal_domain *d)
{
    char uuid[37];
    json_t *o;

    pal_uuid_text(d->info.handle, uuid);
    o = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:i, s:f}", "id", (int)d->id, "name", d->name,
                  "uuid", uuid, "state", pal_domain_state(&d->info), "memory_bytes",
                  (json_int_t)d->info.tot_pages << PAL_PAGE_SHIFT, "memory_max_bytes",
                  (json_int_t)d->info.max_pages << PAL_PAGE_SHIFT, "vcpus",
                  (int)d->info.nr_online_vcpus, "cpu_seconds", (double)d->info.cpu_time / 1e9);

    if (pal_domain_has_ended(&d->info))
        json_object_set_new(o, "reason", json_string(pal_domain_reason(&d->info)));
    return o;
}

static void print_json(const struct pal_domain *list, int count)
{
    json_t *answer = pal_json_answer("list"), *all = json_array();

    for (int i = 0; i < count; i++)
        json_array_append_new(all, domain_json(&list[i]));
    json_object_set_new(answer, "domains", all);
    pal_json_print(answer);
}

static int print_table(const struct pal_domain *list, int count, struct pal_error *e)
{
    static const struct pal_column columns[] = {
        {"NAME", false, false},   {"ID", true, false},     {"STATE", false, false},
        {"MEM/MiB", true, false}, {"MAX/MiB", true, true}, {"VCPUS", true, false},
        {"CPU/s", true, false},   {"REASON", false, true}, {"UUID", false, true}};
    struct pal_table *t = pal_table_new(columns, sizeof(columns) / sizeof(columns[0]), wanted, e);

    if (!t)
        return -1;
    for (int i = 0; i < count; i++) {
        const struct xen_domctl_getdomaininfo *info = &list[i].info;
        char id[16], memory[24], most[24], vcpus[16], seconds[32], uuid[37];
        const char *ended = pal_domain_has_ended(info) ? pal_domain_reason(info) : "";

        snprintf(id, sizeof(id), "%u", list[i].id);
        snprintf(memory, sizeof(memory), "%llu",
                 (unsigned long long)info->tot_pages >> (20 - PAL_PAGE_SHIFT));
        snprintf(most, sizeof(most), "%llu",
                 (unsigned long long)info->max_pages >> (20 - PAL_PAGE_SHIFT));
        snprintf(vcpus, sizeof(vcpus), "%u", info->nr_online_vcpus);
        snprintf(seconds, sizeof(seconds), "%.1f", (double)info->cpu_time / 1e9);
        pal_uuid_text(info->handle, uuid);
        pal_table_row(t, (const char *[]){list[i].name, id, pal_domain_state(info), memory, most,
                                          vcpus, seconds, ended, uuid});
    }
    pal_table_print(t);
    return 0;
}

/* With names: only those, each of which must be there. */
static int select_named(struct call *c, struct pal *p, struct pal_domain **list)
{
    *list = calloc(c->arguments, sizeof(**list));
    for (unsigned i = 0; i < c->arguments; i++) {
        if (pal_domain_find(p, c->argument[i], &(*list)[i], &c->error)) {
            free(*list);
            return -1;
        }
    }
    return (int)c->arguments;
}

static int run(struct call *c)
{
    struct pal_domain *list;
    struct pal p;
    int count;

    pal_failed_to(&c->error, "cannot list the domains");
    if (pal_open(&p, &c->error))
        return 1;
    count = c->arguments ? select_named(c, &p, &list) : pal_domains(&p, &list, &c->error);
    if (count >= 0) {
        if (c->json)
            print_json(list, count);
        else if (print_table(list, count, &c->error))
            count = -1;
        free(list);
    }
    pal_close(&p);
    return count < 0;
}

const struct verb verb_list = {
    .name = "list",
    .aliases = "ls ps",
    .summary = "List the domains and what they use",
    .arguments = "[NAME...]",
    .most = ARGUMENTS_MAX,
    .details = "Columns for --output: NAME, ID, STATE, MEM/MiB, MAX/MiB, VCPUS, CPU/s, REASON, "
               "UUID. --json has all of them.",
    .words = WORDS_DOMAIN,
    .options = options,
    .option = option,
    .run = run,
};
