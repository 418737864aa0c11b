/* SPDX-License-Identifier: MIT */
/* What may be changed while a domain runs. */
#include "verb.h"
#include "verbs.h"

static struct {
    long weight, cap, vcpus; /* -1: as it is */
} wanted = {-1, -1, -1};

#define KEY_VCPUS 0x100
#define KEY_CAP   0x101

static const struct argp_option options[] = {
    {"weight", 'w', "N", 0,
     "Its share of the CPUs against other domains' (1 to 65535; 256 is usual)", 0},
    {"cap", KEY_CAP, "PERCENT", 0, "At most so much of one CPU (100: one whole CPU; 0: no limit)",
     0},
    {"vcpus", KEY_VCPUS, "N", 0, "Virtual CPUs in use, up to what it was created with", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    unsigned long n = 0;

    switch (key) {
    case 'w':
        if (!verb_number(c, value, 65535, &n) || n == 0)
            return false;
        wanted.weight = (long)n;
        return true;
    case KEY_CAP:
        if (!verb_number(c, value, 6400, &n))
            return false;
        wanted.cap = (long)n;
        return true;
    case KEY_VCPUS:
        if (!verb_number(c, value, PAL_VCPUS_MAX, &n) || n == 0)
            return false;
        wanted.vcpus = (long)n;
        return true;
    default:
        return false;
    }
}

static int set_schedule(struct call *c, struct pal *p, const struct pal_domain *d)
{
    unsigned weight, cap;

    if (pal_domain_get_schedule(&p->hv, d->id, &weight, &cap, &c->error))
        return -1;
    if (wanted.weight >= 0)
        weight = (unsigned)wanted.weight;
    if (wanted.cap >= 0)
        cap = (unsigned)wanted.cap;
    return pal_domain_set_schedule(&p->hv, d->id, weight, cap, &c->error);
}

/* The guest's kernel watches these nodes and takes CPUs off or on. */
static int set_vcpus(struct call *c, struct pal *p, const struct pal_domain *d)
{
    unsigned most = d->info.max_vcpu_id + 1;
    char path[80];
    int rc = 0;

    if (d->id == 0) {
        pal_fail(&c->error, PAL_DOM_CONTROL, "its virtual CPUs are its kernel's to take off");
        return pal_remedy(&c->error, "write 0 or 1 to /sys/devices/system/cpu/cpuN/online");
    }
    if (pal_domain_has_ended(&d->info))
        return pal_fail(&c->error, PAL_DOM_STATE, "it has ended (%s)", pal_domain_reason(&d->info));
    if (wanted.vcpus > (long)most)
        return pal_fail(&c->error, PAL_USE_ARGUMENTS, "it was created with %u virtual CPUs", most);
    for (unsigned i = 0; i < most && !rc; i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/cpu/%u/availability", d->id, i);
        rc = pal_store_write(&p->store, &c->error, path, i < wanted.vcpus ? "online" : "offline");
    }
    return rc;
}

static int set(struct call *c, struct pal *p, struct pal_domain *d)
{
    int rc = 0;

    if (wanted.weight >= 0 || wanted.cap >= 0)
        rc = set_schedule(c, p, d);
    if (!rc && wanted.vcpus >= 0)
        rc = set_vcpus(c, p, d);
    return rc;
}

static int run(struct call *c)
{
    if (wanted.weight < 0 && wanted.cap < 0 && wanted.vcpus < 0) {
        pal_failed_to(&c->error, "nothing to set");
        return pal_fail(&c->error, PAL_USE_ARGUMENTS, "none of --weight, --cap, --vcpus is given");
    }
    return verb_each_domain(c, set);
}

const struct verb verb_set = {
    .name = "set",
    .summary = "Change a running domain: weight, cap, virtual CPUs",
    .arguments = "NAME...",
    .least = 1,
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .options = options,
    .option = option,
    .run = run,
};
