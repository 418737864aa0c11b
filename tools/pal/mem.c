/* SPDX-License-Identifier: MIT */
/* Where the machine's memory is: every MiB of it, on one screen. */
#include "verb.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdlib.h>

#include "libpal/balloon.h"
#include "libpal/hv_own.h"
#include "libpal/ledger.h"

struct account {
    struct pal_hv_memory hv;
    uint64_t promised_kib;
    uint64_t moving_kib; /* on its way between owners at this moment */
    int count;
    struct pal_domain *domain;
    struct pal_memory *memory;
};

/* The machine goes on while we look: look again until nothing moved between two readings of what is
 * free, a few times at most. What then is missing is shown as moving. */
static int take_account(struct call *c, struct pal *p, struct account *a)
{
    struct pal_hv_memory after;
    uint64_t domains;

    for (int attempt = 0;; attempt++) {
        if (pal_hv_memory(&p->hv, &a->hv, &c->error))
            return -1;
        a->count = pal_domains(p, &a->domain, &c->error);
        if (a->count < 0)
            return -1;
        a->memory = calloc((size_t)a->count + 1, sizeof(*a->memory));
        if (!a->memory)
            return pal_fail(&c->error, PAL_SYS_FAILED, "out of memory");
        domains = 0;
        for (int i = 0; i < a->count; i++) {
            struct pal_error gone = {0};

            if (pal_memory_of(p, &a->domain[i], &a->memory[i], &gone))
                a->memory[i] = (struct pal_memory){0};
            domains += a->memory[i].current_kib;
        }
        if (pal_hv_memory(&p->hv, &after, &c->error))
            return -1;
        bool still =
            after.free == a->hv.free && after.heap == a->hv.heap && after.regions == a->hv.regions;
        uint64_t known = a->hv.heap + a->hv.regions + a->hv.free + domains;

        if ((still && known <= a->hv.managed) || attempt == 10) {
            a->moving_kib = known < a->hv.managed ? a->hv.managed - known : 0;
            return pal_ledger_promised(&p->hv, &a->promised_kib, &c->error);
        }
        free(a->domain);
        free(a->memory);
    }
}

static json_int_t bytes(uint64_t kib)
{
    return (json_int_t)kib << 10;
}

static void print_json(const struct account *a)
{
    json_t *answer = pal_json_answer("mem"), *domains = json_array();

    for (int i = 0; i < a->count; i++) {
        const struct pal_memory *m = &a->memory[i];
        json_t *o =
            json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:I}", "id", (int)a->domain[i].id, "name",
                      a->domain[i].name, "current_bytes", bytes(m->current_kib), "target_bytes",
                      bytes(m->target_kib), "minimum_bytes", bytes(m->min_kib), "maximum_bytes",
                      bytes(m->max_kib), "limit_bytes", bytes(m->limit_kib));

        if (m->has_agent)
            json_object_set_new(o, "used_bytes", json_integer(bytes(m->used_kib)));
        json_array_append_new(domains, o);
    }
    json_object_set_new(answer, "machine_bytes", json_integer(bytes(a->hv.machine)));
    json_object_set_new(answer, "image_bytes", json_integer(bytes(a->hv.image)));
    json_object_set_new(answer, "tables_bytes", json_integer(bytes(a->hv.tables)));
    json_object_set_new(answer, "heap_bytes", json_integer(bytes(a->hv.heap)));
    json_object_set_new(answer, "regions_bytes", json_integer(bytes(a->hv.regions)));
    json_object_set_new(answer, "moving_bytes", json_integer(bytes(a->moving_kib)));
    json_object_set_new(answer, "free_bytes", json_integer(bytes(a->hv.free)));
    json_object_set_new(answer, "cached_bytes", json_integer(bytes(a->hv.cached)));
    json_object_set_new(answer, "promised_bytes", json_integer(bytes(a->promised_kib)));
    json_object_set_new(answer, "domains", domains);
    pal_json_print(answer);
}

static void mib(char text[16], uint64_t kib)
{
    snprintf(text, 16, "%.1f", (double)kib / 1024);
}

static void plain_row(struct pal_table *t, const char *name, uint64_t kib)
{
    char now[16];

    mib(now, kib);
    pal_table_row(t, (const char *const[]){name, now, "", "", "", ""});
}

static void domain_row(struct pal_table *t, const char *name, const struct pal_memory *m)
{
    char now[16], target[16], least[16], most[16], used[16] = "";

    mib(now, m->current_kib);
    mib(target, m->target_kib);
    mib(least, m->min_kib);
    mib(most, m->max_kib);
    if (m->has_agent)
        mib(used, m->used_kib);
    pal_table_row(t, (const char *const[]){name, now, target, least, most, used});
}

static int print_table(const struct account *a, struct pal_error *e)
{
    static const struct pal_column columns[] = {{"MiB OF", false, false}, {"NOW", true, false},
                                                {"TARGET", true, false},  {"MIN", true, false},
                                                {"MAX", true, false},     {"USED", true, false}};
    struct pal_table *t = pal_table_new(columns, 6, NULL, e);

    if (!t)
        return -1;
    for (int i = 0; i < a->count; i++)
        domain_row(t, a->domain[i].name, &a->memory[i]);
    plain_row(t, "free", a->hv.free);
    if (a->moving_kib)
        plain_row(t, "moving", a->moving_kib);
    if (a->hv.regions)
        plain_row(t, "regions", a->hv.regions);
    plain_row(t, "hypervisor: heap", a->hv.heap);
    plain_row(t, "hypervisor: tables", a->hv.tables);
    plain_row(t, "hypervisor: image", a->hv.image);
    plain_row(t, "machine", a->hv.machine);
    pal_table_print(t);
    if (a->hv.cached)
        printf("Of what is free, %.1f MiB hold pages of images until somebody needs them.\n",
               (double)a->hv.cached / 1024);
    if (a->promised_kib)
        printf("Of what is free, %.1f MiB are promised to domains that are starting.\n",
               (double)a->promised_kib / 1024);
    return 0;
}

static int run(struct call *c)
{
    struct account a = {0};
    struct pal p;
    int rc;

    pal_failed_to(&c->error, "cannot tell where the memory is");
    if (pal_open(&p, &c->error))
        return 1;
    rc = take_account(c, &p, &a);
    if (!rc && c->json)
        print_json(&a);
    else if (!rc)
        rc = print_table(&a, &c->error);
    free(a.domain);
    free(a.memory);
    pal_close(&p);
    return rc != 0;
}

const struct verb verb_mem = {
    .name = "mem",
    .summary = "Show where the machine's memory is",
    .arguments = "",
    .run = run,
};
