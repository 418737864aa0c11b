/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include <stdlib.h>

static json_t *domain_json(const struct pal_domain *d)
{
    json_t *o = json_pack(
        "{s:i, s:s, s:s, s:I, s:I, s:i, s:f}", "id", (int)d->id, "name", d->name, "state",
        pal_domain_state(&d->info), "memory_bytes", (json_int_t)d->info.tot_pages << PAL_PAGE_SHIFT,
        "memory_max_bytes", (json_int_t)d->info.max_pages << PAL_PAGE_SHIFT, "vcpus",
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

static void print_table(const struct pal_domain *list, int count)
{
    static const struct pal_column columns[] = {{"NAME", false},  {"ID", true},
                                                {"STATE", false}, {"MEM/MiB", true},
                                                {"VCPUS", true},  {"CPU/s", true}};
    struct pal_table *t = pal_table_new(columns, 6);

    for (int i = 0; i < count; i++) {
        const struct xen_domctl_getdomaininfo *info = &list[i].info;
        char id[16], memory[24], vcpus[16], seconds[32];

        snprintf(id, sizeof(id), "%u", list[i].id);
        snprintf(memory, sizeof(memory), "%llu",
                 (unsigned long long)info->tot_pages >> (20 - PAL_PAGE_SHIFT));
        snprintf(vcpus, sizeof(vcpus), "%u", info->nr_online_vcpus);
        snprintf(seconds, sizeof(seconds), "%.1f", (double)info->cpu_time / 1e9);
        pal_table_row(t, list[i].name, id, pal_domain_state(info), memory, vcpus, seconds);
    }
    pal_table_print(t);
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
        else
            print_table(list, count);
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
    .words = WORDS_DOMAIN,
    .run = run,
};
