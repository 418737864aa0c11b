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

#define TAKE_SECONDS 10.0 /* a running kernel takes the request at once */

static struct {
    bool wait, all;
    unsigned long timeout;
} wanted = {.timeout = 120};

static const struct argp_option options[] = {
    {"wait", 'w', NULL, 0, "Wait until it has ended (reboot: until it runs again)", 0},
    {"timeout", 't', "SECONDS", 0, "Wait, but fail after so long (120)", 0},
    {"all", 'a', NULL, 0, "All domains that run", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    if (key == 'a')
        return wanted.all = true;
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

static bool may_be_asked(const struct pal_domain *d, struct pal_error *e)
{
    if (pal_domain_has_ended(&d->info)) {
        pal_fail(e, PAL_DOM_STATE, "it has ended (%s)", pal_domain_reason(&d->info));
        return false;
    }
    if (d->info.flags & XEN_DOMINF_paused) {
        pal_fail(e, PAL_DOM_STATE, "it is paused, so it cannot answer");
        pal_remedy(e, "let it go on first: `pal unpause %s`", d->name);
        return false;
    }
    return true;
}

static int ask(struct pal *p, const struct pal_domain *d, const char *what, struct pal_error *e)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", d->id);
    return pal_store_write(&p->store, e, path, what);
}

/* ---- all of them together ---- */

/* One that is asked. */
struct target {
    struct pal_domain *d;
    bool comes_again; /* wanted, and its file says so */
    bool asked;       /* and nothing is known of it yet */
    bool failed;
};

/* The last error is the verb's; those before it are told at once. */
static void fail(struct call *c, struct target *t, struct pal_error *e)
{
    pal_failed_to(e, "cannot %s \"%s\"", c->verb->name, t->d->name);
    if (c->error.code != PAL_OK)
        pal_error_print(&c->error, stderr);
    c->error = *e;
    t->failed = true;
}

/* It has not done what is waited for; unless it does now. */
static void give_up(struct call *c, struct pal *p, struct target *t)
{
    struct pal_error e = {0};
    bool withdrawn = withdraw(p, t->d);

    if (!wanted.wait && !withdrawn)
        return;
    if (!wanted.wait)
        pal_fail(&e, PAL_DOM_IGNORES, "its kernel does not answer the request");
    else
        pal_fail(&e, PAL_DOM_TIMEOUT,
                 withdrawn ? "its kernel has not answered within %lu s"
                           : "it has not ended within %lu s",
                 wanted.timeout);
    fail(c, t, &e);
}

/* Until each kernel has taken the request or, with --wait, each has ended. */
static void wait_all(struct call *c, struct pal *p, struct target *t, unsigned count)
{
    double until = verb_now() + (wanted.wait ? (double)wanted.timeout : TAKE_SECONDS);
    unsigned left;

    for (;;) {
        bool late = verb_now() > until;

        left = 0;
        for (unsigned i = 0; i < count; i++) {
            if (!t[i].asked)
                continue;
            if (has_ended(p, t[i].d) || (!wanted.wait && is_taken(p, t[i].d)))
                t[i].asked = false;
            else if (late)
                give_up(c, p, &t[i]);
            left += t[i].asked;
        }
        if (!left || late)
            return;
        verb_sleep(wanted.wait ? 0.05 : 0.02);
    }
}

static void show_and_wait(struct call *c, struct pal *p, struct target *t, unsigned count)
{
    static const struct pal_phase phases[] = {{"ending", 1, false}};
    struct pal_progress *progress = NULL;
    char several[32];

    snprintf(several, sizeof(several), "%u domains", count);
    if (wanted.wait)
        progress = pal_progress_begin(c->verb->name, count == 1 ? t->d->name : several, phases, 1);
    pal_progress_phase(progress, 0, 0);
    wait_all(c, p, t, count);
    pal_progress_end(progress, c->error.code == PAL_OK);
}

/* ---- after the end ---- */

/* Without the watcher nobody else sees to what has ended. */
static int clear_away(struct pal *p, const struct pal_domain *d, struct pal_error *e)
{
    struct xen_domctl_getdomaininfo now;
    enum pal_action action;

    if (ending_is_watched() || !is_there(p, d, &now) || !pal_domain_has_ended(&now))
        return 0;
    return ending_handle(p, d->id, &now, &action, e) < 0 ? -1 : 0;
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

/* By the watcher, who may have others to see to. */
static void wait_again(struct call *c, struct pal *p, struct target *t, double until)
{
    struct pal_error e = {0};

    while (!runs_again(p, t->d)) {
        if (verb_now() > until) {
            pal_fail(&e, PAL_DOM_TIMEOUT, "it has ended, but it was not made again");
            pal_remedy(&e, "see what `pal watch` says (journalctl -u pal-watch)");
            fail(c, t, &e);
            return;
        }
        verb_sleep(0.05);
    }
}

static void see_to_ended(struct call *c, struct pal *p, struct target *t, unsigned count)
{
    double until = verb_now() + (double)wanted.timeout;

    for (unsigned i = 0; i < count; i++) {
        struct pal_error e = {0};

        if (!t[i].failed && clear_away(p, t[i].d, &e))
            fail(c, &t[i], &e);
    }
    for (unsigned i = 0; i < count; i++) {
        if (!t[i].failed && t[i].comes_again)
            wait_again(c, p, &t[i], until);
    }
}

/* ---- the verbs ---- */

/* Of named domains none is asked unless all can be; with --all those that can be. */
static int ask_all(struct call *c, struct pal *p, struct target *t, unsigned count, bool reboot)
{
    for (unsigned i = 0; i < count; i++) {
        struct pal_error e = {0};

        if (!may_be_asked(t[i].d, &e)) {
            fail(c, &t[i], &e);
            if (!wanted.all)
                return -1;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        struct pal_error e = {0};

        if (t[i].failed)
            continue;
        t[i].comes_again = reboot && wanted.wait && comes_again(t[i].d);
        t[i].asked = !ask(p, t[i].d, reboot ? "reboot" : "poweroff", &e);
        if (!t[i].asked)
            fail(c, &t[i], &e);
    }
    return 0;
}

static int act(struct call *c, struct pal *p, struct pal_domain *list, unsigned count, bool reboot)
{
    struct target *t = calloc(count + 1, sizeof(*t));

    if (!t)
        return pal_fail(&c->error, PAL_SYS_FAILED, "out of memory");
    for (unsigned i = 0; i < count; i++)
        t[i].d = &list[i];
    if (count && !ask_all(c, p, t, count, reboot)) {
        show_and_wait(c, p, t, count);
        if (wanted.wait)
            see_to_ended(c, p, t, count);
    }
    free(t);
    return c->error.code == PAL_OK ? 0 : -1;
}

static int shut_down(struct call *c, struct pal *p, struct pal_domain *list, unsigned count)
{
    return act(c, p, list, count, false);
}

static int reboot(struct call *c, struct pal *p, struct pal_domain *list, unsigned count)
{
    return act(c, p, list, count, true);
}

static int run(struct call *c, verb_together together)
{
    if (wanted.all == (c->arguments > 0))
        return pal_fail(&c->error, PAL_USE_ARGUMENTS,
                        wanted.all ? "it is names, or --all" : "NAME... or --all is missing");
    return verb_all_guests(c, together);
}

static int run_shutdown(struct call *c)
{
    return run(c, shut_down);
}

static int run_reboot(struct call *c)
{
    return run(c, reboot);
}

const struct verb verb_shutdown = {
    .name = "shutdown",
    .aliases = "stop",
    .summary = "Ask domains to shut down",
    .arguments = "[NAME...]",
    .details =
        "All are asked and waited for at the same time. What follows a domain's end is said by "
        "<on_poweroff> in its file.",
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
    .arguments = "[NAME...]",
    .details =
        "All are asked and waited for at the same time. What follows a domain's end is said by "
        "<on_reboot> in its file.",
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .progress = true,
    .options = options,
    .option = option,
    .run = run_reboot,
};
