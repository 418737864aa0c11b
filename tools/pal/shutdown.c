/* SPDX-License-Identifier: MIT */
/*
 * Asks the guest's kernel by control/shutdown in the store; the kernel takes the request by
 * clearing the node (drivers/xen/manage.c of Linux), then ends as its user space has it. A request
 * that was not taken in time is taken back: what was told to have failed must not happen later.
 */
#include "verb.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

#include "ending.h"
#include "libpal/progress.h"
#include "libpal/record.h"

#define TAKE_SECONDS  10.0 /* a running kernel takes the request at once */
#define AGAIN_SECONDS 60.0 /* for the watcher to make it again */

static struct {
    bool wait;
    unsigned long timeout;
} wanted = {false, 120};

static const struct argp_option options[] = {
    {"wait", 'w', NULL, 0, "Wait until it has ended (reboot: until it runs again)", 0},
    {"timeout", 't', "SECONDS", 0, "Wait, but fail after so long (120)", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    wanted.wait = true;
    return key == 'w' || (key == 't' && verb_number(c, value, 1000000, &wanted.timeout));
}

/* Is the number still that domain's? A new one of the same number has another handle or a later
 * start; of those that reboot, the number changes. */
static bool is_there(struct pal *p, const struct pal_domain *d,
                     struct xen_domctl_getdomaininfo *now)
{
    struct pal_error ignored = {0};

    return !pal_domain_info(&p->hv, d->id, now, &ignored) &&
           !memcmp(now->handle, d->info.handle, sizeof(now->handle));
}

/* Has it ended, and is it gone or kept? */
static bool has_ended(struct pal *p, const struct pal_domain *d)
{
    struct xen_domctl_getdomaininfo now;

    return !is_there(p, d, &now) || pal_domain_has_ended(&now);
}

/* ---- the request ---- */

struct request {
    const struct pal_domain *d;
    bool was_taken;
};

static void put_back(struct pal_batch *b, void *data)
{
    struct request *r = data;
    char path[64], *left;
    unsigned length;

    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", r->d->id);
    left = xs_read(b->store->xs, b->t, path, &length);
    r->was_taken = !left || !*left;
    if (!r->was_taken)
        b->failed = !xs_write(b->store->xs, b->t, path, "", 0);
    free(left);
}

/* False: it was taken, after all. */
static bool withdraw(struct pal *p, const struct pal_domain *d)
{
    struct request r = {d, false};
    struct pal_error ignored = {0};

    pal_store_batch(&p->store, put_back, &r, &ignored);
    return !r.was_taken;
}

static bool is_taken(struct pal *p, const struct pal_domain *d)
{
    char *left = pal_store_read(&p->store, "/local/domain/%u/control/shutdown", d->id);
    bool taken = !left || !*left;

    free(left);
    return taken;
}

/* Until the kernel has taken the request, or has ended. */
static int wait_taken(struct call *c, struct pal *p, const struct pal_domain *d)
{
    double until = verb_now() + TAKE_SECONDS;

    while (!is_taken(p, d) && !has_ended(p, d)) {
        if (verb_now() > until && withdraw(p, d))
            return pal_fail(&c->error, PAL_DOM_IGNORES, "its kernel does not answer the request");
        verb_sleep(0.02);
    }
    return 0;
}

static int wait_ended(struct call *c, struct pal *p, const struct pal_domain *d)
{
    static const struct pal_phase phases[] = {{"it is ending", 1, false}};
    struct pal_progress *progress = pal_progress_begin(c->verb->name, d->name, phases, 1);
    double until = verb_now() + (double)wanted.timeout;
    int rc = 0;

    pal_progress_phase(progress, 0, 0);
    while (!rc && !has_ended(p, d)) {
        if (verb_now() > until)
            rc = pal_fail(&c->error, PAL_DOM_TIMEOUT,
                          withdraw(p, d) ? "its kernel has not answered within %lu s"
                                         : "it has not ended within %lu s",
                          wanted.timeout);
        verb_sleep(0.05);
    }
    pal_progress_end(progress, !rc);
    return rc;
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
    if (pal_store_write(&p->store, &c->error, path, what))
        return -1;
    return wanted.wait ? wait_ended(c, p, d) : wait_taken(c, p, d);
}

/* ---- after the end ---- */

/* Without the watcher nobody else sees to what has ended. */
static int clear_away(struct call *c, struct pal *p, const struct pal_domain *d)
{
    struct xen_domctl_getdomaininfo now;
    enum pal_action action;

    if (ending_is_watched() || !is_there(p, d, &now) || !pal_domain_has_ended(&now))
        return 0;
    return ending_handle(p, d->id, &now, &action, &c->error) < 0 ? -1 : 0;
}

static int ask_poweroff(struct call *c, struct pal *p, struct pal_domain *d)
{
    if (ask(c, p, d, "poweroff"))
        return -1;
    return wanted.wait ? clear_away(c, p, d) : 0;
}

/* Does its file say that it is made again? */
static bool comes_again(const struct pal_domain *d)
{
    struct pal_error no_record = {0};
    struct pal_config config;
    bool again;

    if (pal_record_is_kept(d->id) || pal_record_read(d->id, &config, &no_record))
        return false;
    again = config.on_reboot == PAL_ACTION_RESTART;
    pal_config_free(&config);
    return again;
}

/* The same domain by its handle, under another number. */
static bool runs_again(struct pal *p, struct pal_domain *d)
{
    struct pal_error ignored = {0};
    struct pal_domain *list;
    int count = pal_domains(p, &list, &ignored);
    bool found = false;

    for (int i = 0; i < count && !found; i++) {
        found = list[i].id != d->id && !(list[i].info.flags & XEN_DOMINF_paused) &&
                !memcmp(list[i].info.handle, d->info.handle, sizeof(d->info.handle));
        if (found)
            *d = list[i];
    }
    if (count >= 0)
        free(list);
    return found;
}

static int wait_again(struct call *c, struct pal *p, struct pal_domain *d)
{
    double until = verb_now() + AGAIN_SECONDS;

    while (!runs_again(p, d)) {
        if (verb_now() > until) {
            pal_fail(&c->error, PAL_DOM_TIMEOUT, "it has ended, but it was not made again");
            return pal_remedy(&c->error, "see what `pal watch` says (journalctl -u pal-watch)");
        }
        verb_sleep(0.05);
    }
    return 0;
}

static int ask_reboot(struct call *c, struct pal *p, struct pal_domain *d)
{
    bool again = wanted.wait && comes_again(d);

    if (ask(c, p, d, "reboot"))
        return -1;
    if (wanted.wait && clear_away(c, p, d))
        return -1;
    return again ? wait_again(c, p, d) : 0;
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
    .details = "What follows its end is said by <on_poweroff> in the domain's file.",
    .least = 1,
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .progress = true,
    .options = options,
    .option = option,
    .run = run_shutdown,
};

const struct verb verb_reboot = {
    .name = "reboot",
    .summary = "Ask domains to reboot",
    .arguments = "NAME...",
    .details = "What follows its end is said by <on_reboot> in the domain's file.",
    .least = 1,
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .progress = true,
    .options = options,
    .option = option,
    .run = run_reboot,
};
