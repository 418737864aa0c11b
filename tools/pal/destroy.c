/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include "libpal/progress.h"

/* What the progress asks while the hypervisor takes the domain apart: by a connection of its own,
 * since it asks from another thread. */
struct teardown {
    struct pal_hv hv;
    uint32_t id;
    uint64_t pages; /* that it had */
};

static uint64_t bytes_gone(void *data)
{
    struct teardown *t = data;
    struct xen_domctl_getdomaininfo info;
    struct pal_error gone = {0};
    uint64_t left = pal_domain_info(&t->hv, t->id, &info, &gone) ? 0 : info.tot_pages;

    return (left < t->pages ? t->pages - left : 0) << PAL_PAGE_SHIFT;
}

static int destroy(struct call *c, struct pal *p, struct pal_domain *d)
{
    static const struct pal_phase phases[] = {{"memory", 95, true}, {"devices", 5, false}};
    struct teardown t = {.id = d->id, .pages = d->info.tot_pages};
    struct pal_progress *progress = pal_progress_begin("destroy", d->name, phases, 2);
    struct pal_error no_display = {0};
    int rc;

    pal_progress_phase(progress, 0, t.pages << PAL_PAGE_SHIFT);
    if (progress && !pal_hv_open(&t.hv, &no_display))
        pal_progress_ask(progress, bytes_gone, &t);
    rc = pal_domain_end(p, d->id, &c->error);
    pal_progress_end(progress, !rc);
    pal_hv_close(&t.hv);
    return rc;
}

static int run(struct call *c)
{
    return verb_each_guest(c, destroy);
}

const struct verb verb_destroy = {
    .name = "destroy",
    .aliases = "kill",
    .summary = "End domains at once, as if their power were cut",
    .arguments = "NAME...",
    .least = 1,
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .progress = true,
    .run = run,
};
