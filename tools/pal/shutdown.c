/* SPDX-License-Identifier: MIT */
/*
 * Asks the guest's kernel by control/shutdown in the store; the kernel takes the request by
 * clearing the node (drivers/xen/manage.c of Linux), then ends as its user space has it.
 */
#include "verb.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

#include "ending.h"

#define TAKE_SECONDS 10.0 /* a running kernel takes the request at once */

static struct {
    bool wait;
    unsigned long timeout;
} wanted = {false, 120};

static const struct argp_option options[] = {
    {"wait", 'w', NULL, 0, "Wait until it has ended", 0},
    {"timeout", 't', "SECONDS", 0, "With --wait: fail after so long (120)", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    if (key == 'w')
        wanted.wait = true;
    else if (key == 't')
        return verb_number(c, value, 1000000, &wanted.timeout);
    return key == 'w';
}

/* Has it ended, and is it gone or kept? A new domain of the same number has another handle. */
static bool has_ended(struct pal *p, const struct pal_domain *d)
{
    struct xen_domctl_getdomaininfo now;
    struct pal_error ignored = {0};

    return pal_domain_info(&p->hv, d->id, &now, &ignored) || pal_domain_has_ended(&now) ||
           memcmp(now.handle, d->info.handle, sizeof(now.handle));
}

/* Has the kernel taken the request, or ended already? */
static int wait_taken(struct call *c, struct pal *p, const struct pal_domain *d)
{
    double until = verb_now() + TAKE_SECONDS;

    for (;;) {
        char *left = pal_store_read(&p->store, "/local/domain/%u/control/shutdown", d->id);
        bool taken = !left || !*left;

        free(left);
        if (taken || has_ended(p, d))
            return 0;
        if (verb_now() > until)
            return pal_fail(&c->error, PAL_DOM_IGNORES, "its kernel does not answer the request");
        verb_sleep(0.02);
    }
}

static int wait_ended(struct call *c, struct pal *p, const struct pal_domain *d)
{
    double until = verb_now() + (double)wanted.timeout;

    while (!has_ended(p, d)) {
        if (verb_now() > until)
            return pal_fail(&c->error, PAL_DOM_TIMEOUT, "it has not ended within %lu s",
                            wanted.timeout);
        verb_sleep(0.05);
    }
    return 0;
}

static int ask(struct call *c, struct pal *p, struct pal_domain *d, const char *what)
{
    char path[64];

    if (pal_domain_has_ended(&d->info))
        return pal_fail(&c->error, PAL_DOM_STATE, "it has ended (%s)", pal_domain_reason(&d->info));
    if (d->info.flags & XEN_DOMINF_paused) {
        pal_fail(&c->error, PAL_DOM_STATE, "it is paused, so it cannot answer");
        return pal_remedy(&c->error, "let it go on first: `pal unpause %s`", d->name);
    }
    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", d->id);
    if (pal_store_write(&p->store, &c->error, path, what) || wait_taken(c, p, d))
        return -1;
    return wanted.wait ? wait_ended(c, p, d) : 0;
}

/* Without the watcher nobody else sees to what has ended. */
static int clear_away(struct call *c, struct pal *p, const struct pal_domain *d)
{
    struct xen_domctl_getdomaininfo now;
    struct pal_error gone = {0};

    if (ending_is_watched() || pal_domain_info(&p->hv, d->id, &now, &gone) ||
        memcmp(now.handle, d->info.handle, sizeof(now.handle)))
        return 0;
    return ending_handle(p, d->id, &now, &c->error);
}

static int ask_poweroff(struct call *c, struct pal *p, struct pal_domain *d)
{
    if (ask(c, p, d, "poweroff"))
        return -1;
    return wanted.wait ? clear_away(c, p, d) : 0;
}

static int ask_reboot(struct call *c, struct pal *p, struct pal_domain *d)
{
    return ask(c, p, d, "reboot");
}

static int run_shutdown(struct call *c)
{
    return verb_each_guest(c, ask_poweroff);
}

static int run_reboot(struct call *c)
{
    return verb_each_guest(c, ask_reboot);
}

const struct verb verb_shutdown = {
    .name = "shutdown",
    .aliases = "stop",
    .summary = "Ask domains to shut down",
    .arguments = "NAME...",
    .least = 1,
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .options = options,
    .option = option,
    .run = run_shutdown,
};

const struct verb verb_reboot = {
    .name = "reboot",
    .summary = "Ask domains to reboot",
    .arguments = "NAME...",
    .details = "What follows is said by <on_reboot> in the domain's file.",
    .least = 1,
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .options = options,
    .option = option,
    .run = run_reboot,
};
