/* SPDX-License-Identifier: MIT */
/* Of one domain, or of the machine. */
#include "verb.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int show_machine(struct call *c, struct pal *p)
{
    struct xen_sysctl_physinfo host;
    struct pal_hv_version version = {0};
    json_t *answer;

    if (pal_hv_physinfo(&p->hv, &host, &c->error) || pal_hv_version(&p->hv, &version, &c->error))
        return 1;
    if (!c->json) {
        printf("interface       Xen %u.%u%s (%s)\n", version.major, version.minor, version.extra,
               version.capabilities);
        printf("CPUs            %u, %u MHz\n", host.nr_cpus, host.cpu_khz / 1000);
        printf("memory          %" PRIu64 " MiB, %" PRIu64 " MiB free\n",
               (uint64_t)host.total_pages >> 8,
               (uint64_t)(host.free_pages + host.scrub_pages) >> 8);
        return 0;
    }
    answer = pal_json_answer("info");
    json_object_set_new(
        answer, "machine",
        json_pack("{s:o, s:s, s:i, s:I, s:I, s:I}", "interface",
                  json_sprintf("%u.%u%s", version.major, version.minor, version.extra),
                  "capabilities", version.capabilities, "cpus", (int)host.nr_cpus, "cpu_khz",
                  (json_int_t)host.cpu_khz, "memory_bytes", (json_int_t)host.total_pages << 12,
                  "memory_free_bytes", (json_int_t)(host.free_pages + host.scrub_pages) << 12));
    pal_json_print(answer);
    return 0;
}

static json_t *vcpus_json(struct pal *p, const struct pal_domain *d)
{
    json_t *all = json_array();

    for (uint32_t i = 0; i <= d->info.max_vcpu_id && i < 128; i++) {
        struct xen_domctl_getvcpuinfo v;
        struct pal_error ignored = {0};

        if (pal_vcpu_info(&p->hv, d->id, i, &v, &ignored))
            break;
        json_array_append_new(all, json_pack("{s:i, s:b, s:b, s:b, s:f, s:i}", "vcpu", (int)i,
                                             "online", (int)v.online, "blocked", (int)v.blocked,
                                             "running", (int)v.running, "cpu_seconds",
                                             (double)v.cpu_time / 1e9, "cpu", (int)v.cpu));
    }
    return all;
}

static json_t *domain_json(struct pal *p, const struct pal_domain *d)
{
    const struct xen_domctl_getdomaininfo *i = &d->info;
    unsigned weight = 0, cap = 0;
    struct pal_error ignored = {0};
    char uuid[37];
    json_t *o;

    pal_uuid_text(i->handle, uuid);
    o = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:f, s:o}", "id", (int)d->id, "name", d->name,
                  "uuid", uuid, "state", pal_domain_state(i), "memory_bytes",
                  (json_int_t)i->tot_pages << 12, "memory_max_bytes",
                  (json_int_t)i->max_pages << 12, "cpu_seconds", (double)i->cpu_time / 1e9, "vcpus",
                  vcpus_json(p, d));
    if (!pal_domain_get_schedule(&p->hv, d->id, &weight, &cap, &ignored)) {
        json_object_set_new(o, "weight", json_integer(weight));
        json_object_set_new(o, "cap", json_integer(cap));
    }
    if (pal_domain_has_ended(i))
        json_object_set_new(o, "reason", json_string(pal_domain_reason(i)));
    return o;
}

static void print_text(const char *key, const json_t *value)
{
    char *text;

    if (json_is_string(value)) {
        printf("%-15s %s\n", key, json_string_value(value));
    } else if (strstr(key, "bytes")) {
        printf("%-15.*s %lld MiB\n", (int)strlen(key) - 6, key,
               (long long)json_integer_value(value) >> 20);
    } else if (json_is_array(value)) {
        printf("%-15s %zu\n", key, json_array_size(value));
    } else {
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        printf("%-15s %s\n", key, text);
        free(text);
    }
}

static int run(struct call *c)
{
    struct pal_domain d;
    struct pal p;
    int rc;

    pal_failed_to(&c->error, "cannot describe %s", c->arguments ? c->argument[0] : "the machine");
    if (pal_open(&p, &c->error))
        return 1;
    if (!c->arguments) {
        rc = show_machine(c, &p);
    } else {
        rc = pal_domain_find(&p, c->argument[0], &d, &c->error);
        if (!rc) {
            json_t *o = domain_json(&p, &d), *value;
            const char *key;

            if (c->json) {
                json_t *answer = pal_json_answer("info");

                json_object_set(answer, "domain", o);
                pal_json_print(answer);
            } else {
                json_object_foreach(o, key, value) print_text(key, value);
            }
            json_decref(o);
        }
    }
    pal_close(&p);
    return rc;
}

const struct verb verb_info = {
    .name = "info",
    .aliases = "status",
    .summary = "Describe a domain, or without a name the machine",
    .arguments = "[NAME]",
    .most = 1,
    .words = WORDS_DOMAIN,
    .run = run,
};
