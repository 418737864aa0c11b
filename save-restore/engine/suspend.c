/* SPDX-License-Identifier: MIT */
/*
 * The request is the word "suspend" at control/shutdown in the store. The kernel takes it by
 * clearing the node (drivers/xen/manage.c of Linux), freezes its processes and devices, and stops all
 * its virtual CPUs by SCHEDOP_shutdown. What that call returns tells it whether it is the same domain
 * still (1) or a new one (0).
 */
#include "engine/suspend.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xen/sched.h>

#include "libpal/interrupt.h"

#define STEP_NS 1000000 /* between two looks */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){0, STEP_NS}, NULL);
}

static void request_path(char path[64], uint32_t id)
{
    snprintf(path, 64, "/local/domain/%u/control/shutdown", id);
}

enum suspend_state suspend_look(struct pal *p, const struct pal_domain *d)
{
    struct xen_domctl_getdomaininfo info;
    struct pal_error ignored = {0};

    if (pal_domain_info(&p->hv, d->id, &info, &ignored) || info.flags & XEN_DOMINF_dying ||
        memcmp(info.handle, d->info.handle, sizeof(info.handle)))
        return SUSPEND_GONE;
    if (!(info.flags & XEN_DOMINF_shutdown))
        return SUSPEND_RUNS;
    return pal_domain_reason_code(&info) == SHUTDOWN_suspend ? SUSPEND_STOPPED : SUSPEND_GONE;
}

int suspend_check(struct pal *p, const struct pal_domain *d, struct pal_error *e)
{
    char *can;
    bool can_suspend;

    if (pal_domain_has_ended(&d->info)) {
        pal_fail(e, PAL_DOM_STATE, "it has ended (%s)", pal_domain_reason(&d->info));
        if (pal_domain_reason_code(&d->info) == SHUTDOWN_suspend)
            pal_remedy(e, "let it go on first: `pal unpause %s`", d->name);
        return -1;
    }
    if (d->info.flags & XEN_DOMINF_paused) {
        pal_fail(e, PAL_DOM_STATE, "it is paused, so it cannot answer");
        return pal_remedy(e, "let it go on first: `pal unpause %s`", d->name);
    }
    can = pal_store_read(&p->store, "/local/domain/%u/control/feature-suspend", d->id);
    can_suspend = can && !strcmp(can, "1");
    free(can);
    if (can_suspend)
        return 0;
    pal_fail(e, PAL_DOM_IGNORES, "its kernel has not said that it can suspend");
    return pal_remedy(e, "wait until it has booted; a kernel without support cannot be saved");
}

/* Withdraw the request if it still stands. In a transaction, since the kernel takes it in one. */
static bool withdraw(struct pal *p, const struct pal_domain *d)
{
    bool withdrawn = false, again = true;
    unsigned length;
    char path[64];

    request_path(path, d->id);
    for (unsigned i = 0; again && i < 20; i++) {
        xs_transaction_t t = xs_transaction_start(p->store.xs);
        char *value = t == XBT_NULL ? NULL : xs_read(p->store.xs, t, path, &length);
        bool stands = value && !strcmp(value, "suspend");

        free(value);
        withdrawn = stands && xs_write(p->store.xs, t, path, "", 0);
        again = t != XBT_NULL && !xs_transaction_end(p->store.xs, t, !withdrawn) && withdrawn;
        withdrawn = withdrawn && !again;
    }
    return withdrawn;
}

int suspend_ask(struct pal *p, const struct pal_domain *d, unsigned seconds, struct pal_error *e)
{
    double until = now() + seconds;
    char path[64];

    request_path(path, d->id);
    if (pal_store_write(&p->store, e, path, "suspend"))
        return -1;
    for (;;) {
        char *value = pal_store_read(&p->store, "%s", path);
        bool taken = !value || !*value;

        free(value);
        if (taken || suspend_look(p, d) != SUSPEND_RUNS)
            return 0;
        if (pal_interrupt_check(e))
            break;
        if (now() > until) {
            pal_fail(e, PAL_DOM_TIMEOUT, "its kernel has not taken the request within %u s",
                     seconds);
            break;
        }
        pause_a_little();
    }
    return -1;
}

int suspend_wait(struct pal *p, const struct pal_domain *d, unsigned seconds, struct pal_error *e)
{
    double until = now() + seconds;

    for (;;) {
        enum suspend_state state = suspend_look(p, d);

        if (state == SUSPEND_STOPPED)
            return 0;
        if (state == SUSPEND_GONE)
            return pal_fail(e, PAL_DOM_STATE, "it has ended instead of suspending");
        if (pal_interrupt_check(e))
            return -1;
        if (now() > until) {
            pal_fail(e, PAL_DOM_TIMEOUT, "its kernel has not suspended within %u s", seconds);
            return pal_remedy(e, "look at its messages: `pal logs %s`", d->name);
        }
        pause_a_little();
    }
}

int suspend_cancel(struct pal *p, uint32_t domain, struct pal_error *e)
{
    if (pal_domain_resume_cancelled(&p->hv, domain, e))
        return -1;
    /* Or the store daemon would take it for ended and not tell of its end when it comes. */
    xs_resume_domain(p->store.xs, domain);
    return 0;
}

bool suspend_undo(struct pal *p, const struct pal_domain *d, struct pal_error *e)
{
    bool withdrawn = withdraw(p, d);

    switch (suspend_look(p, d)) {
    case SUSPEND_STOPPED:
        suspend_cancel(p, d->id, e);
        return false;
    case SUSPEND_RUNS:
        return !withdrawn;
    default:
        return false;
    }
}
