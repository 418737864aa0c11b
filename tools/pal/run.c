/* SPDX-License-Identifier: MIT */
/*
 * A domain in the foreground: created, its console here, made anew when its file says so, and how
 * it ended at last is the exit status.
 */
#include "verb.h"
#include "verbs.h"

#include <string.h>

#include "attach.h"
#include "ending.h"
#include "libpal/interrupt.h"
#include "libpal/record.h"
#include "make.h"

/* Beside what the guest gives: its shutdown code, which is below 16. */
#define STATUS_PAL       PAL_EXIT_OWN_FAILURE
#define STATUS_REFUSED   126 /* the domain cannot be made */
#define STATUS_NO_FILE   127 /* there is no such file */
#define STATUS_SIGNAL    128 /* and the signal's number: we ended it since we were told to */
#define STATUS_DESTROYED 137 /* somebody else destroyed it */
#define STATUS_LEFT      0

#define SHUTDOWN_SECONDS 120 /* for a guest that was asked to end, as in `pal shutdown` */

struct running {
    struct call *call;
    struct pal *p;
    const struct pal_config *config;
    uint32_t id;
    unsigned restarts;
    int signal;       /* that told us to end it */
    double until;     /* it must have ended then; 0: it was not asked to */
    const char *fate; /* for --json */
};

/* The first signal asks the guest, the second ends it. False: it is to be destroyed. */
static bool ask_to_end(struct running *r)
{
    struct pal_error ignored = {0};
    char path[64];

    if (r->signal)
        return false;
    r->signal = pal_interrupt_signal();
    r->until = verb_now() + SHUTDOWN_SECONDS;
    pal_interrupt_catch(); /* for the next one */
    fprintf(stderr, "%s is asked to shut down; once more ends it at once.\n", r->config->name);
    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", r->id);
    pal_store_write(&r->p->store, &ignored, path, "poweroff");
    return true;
}

static int destroyed(struct running *r)
{
    r->fate = "destroyed";
    pal_interrupt_release();
    pal_domain_end(r->p, r->id, &r->call->error);
    return STATUS_SIGNAL + r->signal;
}

/* Until it has ended or is left: -1, or the exit status when all is said. */
static int stay(struct running *r)
{
    for (;;) {
        struct attach a = {.stay = true, .until = r->until};
        int end = attach_console(r->p, r->id, &a, &r->call->error);

        if (end < 0 && !pal_interrupt_signal()) {
            struct pal_error gone = {0};

            pal_domain_end(r->p, r->id, &gone);
            return STATUS_PAL;
        }
        memset(&r->call->error, 0, sizeof(r->call->error));
        if (end == ATTACH_ENDED || end == ATTACH_LEFT)
            return -1;
        if (end == ATTACH_LATE || (end != ATTACH_LOST && !ask_to_end(r)))
            return destroyed(r);
    }
}

static int leave(struct running *r)
{
    pal_record_release(r->id);
    fprintf(stderr, "%s goes on as domain %u.\n", r->config->name, r->id);
    r->fate = "left";
    return STATUS_LEFT;
}

static int start_again(struct running *r, const char *reason)
{
    struct pal_config now; /* it may have got another name, and devices */
    int id;

    if (pal_record_read(r->id, &now, &r->call->error))
        return STATUS_PAL;
    fprintf(stderr, "%s has ended (%s) and is started again.\n", now.name, reason);
    if (pal_domain_end(r->p, r->id, &r->call->error)) {
        pal_config_free(&now);
        return STATUS_PAL;
    }
    id = make_domain(r->p, &now, &r->call->error);
    pal_config_free(&now);
    if (id < 0)
        return STATUS_REFUSED;
    r->id = (uint32_t)id;
    r->restarts++;
    return -1;
}

/* It has ended. The exit status, or -1: it goes on as a new one. */
static int after_end(struct running *r, const struct xen_domctl_getdomaininfo *info)
{
    enum pal_action action = ending_action(r->config, info);
    const char *reason = pal_domain_reason(info);

    if (action == PAL_ACTION_RESTART && !r->signal)
        return start_again(r, reason);
    fprintf(stderr, "%s has ended: %s\n", r->config->name, reason);
    r->fate = reason;
    if (action == PAL_ACTION_PRESERVE)
        pal_record_release(r->id);
    else if (pal_domain_end(r->p, r->id, &r->call->error))
        return STATUS_PAL;
    return (int)pal_domain_reason_code(info);
}

static int foreground(struct running *r)
{
    int status;

    do {
        struct xen_domctl_getdomaininfo info;
        struct pal_error gone = {0};

        if (pal_record_keep(r->id, &r->call->error) ||
            pal_domain_unpause(&r->p->hv, r->id, &r->call->error)) {
            pal_domain_end(r->p, r->id, &gone);
            return STATUS_PAL;
        }
        status = stay(r);
        if (status >= 0)
            return status;
        if (pal_domain_info(&r->p->hv, r->id, &info, &gone) || info.flags & XEN_DOMINF_dying) {
            r->fate = "destroyed";
            return STATUS_DESTROYED;
        }
        status = pal_domain_has_ended(&info) ? after_end(r, &info) : leave(r);
    } while (status < 0);
    return status;
}

static void report(const struct running *r, int status)
{
    json_t *answer = pal_json_answer("run");

    json_object_set_new(answer, "name", json_string(r->config->name));
    json_object_set_new(answer, "id", json_integer(r->id));
    json_object_set_new(answer, "end", json_string(r->fate));
    json_object_set_new(answer, "status", json_integer(status));
    json_object_set_new(answer, "restarts", json_integer(r->restarts));
    pal_json_print(answer);
}

static int run_domain(struct call *c, struct pal *p, const struct pal_config *config)
{
    struct running r = {.call = c, .p = p, .config = config, .fate = ""};
    int id, status;

    pal_interrupt_catch();
    id = make_domain(p, config, &c->error);
    r.id = (uint32_t)id;
    status = id < 0 ? STATUS_REFUSED : foreground(&r);
    pal_interrupt_release();
    if (c->json && c->error.code == PAL_OK)
        report(&r, status);
    return status;
}

static int run(struct call *c)
{
    struct pal_config config;
    struct pal p;
    int status = STATUS_PAL;

    if (pal_config_read(&config, c->argument[0], &c->error)) {
        pal_failed_to(&c->error, "cannot run a domain from %s", c->argument[0]);
        return c->error.code == PAL_XML_FILE ? STATUS_NO_FILE : STATUS_REFUSED;
    }
    if (!pal_open(&p, &c->error)) {
        status = run_domain(c, &p, &config);
        pal_close(&p);
    }
    pal_failed_to(&c->error, "cannot run domain \"%s\"", config.name);
    pal_config_free(&config);
    return status;
}

const struct verb verb_run = {
    .name = "run",
    .summary = "Create a domain and stay with it until it ends",
    .arguments = "FILE.xml",
    .details =
        "Its console is this terminal; Ctrl-] leaves it running. <on_poweroff>, <on_reboot> and "
        "<on_crash> of the file are honoured. The exit status is the guest's shutdown code (0 "
        "power-off, 1 reboot, 2 suspend, 3 crash, 4 watchdog), or 125 when pal failed, 126 when "
        "the domain cannot be made, 127 when there is no such file, 137 when it was destroyed. "
        "SIGINT and SIGTERM ask the guest to shut down; the second one, or two minutes, end it.",
    .least = 1,
    .most = 1,
    .words = WORDS_XML,
    .own_status = true,
    .progress = true,
    .run = run,
};
