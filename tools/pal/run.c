/* SPDX-License-Identifier: MIT */
/*
 * A domain in the foreground: created, its console here, and when it ends it is destroyed, and how
 * it ended is the exit status.
 */
#include "verb.h"
#include "verbs.h"

#include <xen/sched.h>

#include "attach.h"
#include "libpal/interrupt.h"
#include "libpal/record.h"
#include "make.h"

#define STATUS_PAL     125 /* pal itself failed */
#define STATUS_REFUSED 126 /* the domain cannot be made */
#define STATUS_NO_FILE 127 /* no such file */
#define STATUS_CRASHED 1
#define STATUS_LEFT    0

/* The exit status for how it ended. */
static int status_of(unsigned reason)
{
    return reason == SHUTDOWN_poweroff || reason == SHUTDOWN_reboot ? 0 : STATUS_CRASHED;
}

static int foreground(struct call *c, struct pal *p, const struct pal_config *config, uint32_t id)
{
    struct xen_domctl_getdomaininfo info;
    struct pal_error gone = {0};
    int status;

    /* Ctrl-] leaves it running as any domain, with its file's rules. */
    if (pal_record_keep(id, &c->error) || pal_domain_unpause(&p->hv, id, &c->error) ||
        attach_console(p, id, &c->error)) {
        pal_domain_end(p, id, &gone);
        return STATUS_PAL;
    }
    if (pal_domain_info(&p->hv, id, &info, &gone))
        return STATUS_CRASHED; /* somebody destroyed it */
    if (!pal_domain_has_ended(&info)) {
        pal_record_release(id);
        fprintf(stderr, "%s goes on as domain %u.\n", config->name, id);
        return STATUS_LEFT;
    }
    status = status_of(pal_domain_reason_code(&info));
    fprintf(stderr, "%s has ended: %s\n", config->name, pal_domain_reason(&info));
    if (c->json) {
        json_t *answer = pal_json_answer("run");

        json_object_set_new(answer, "name", json_string(config->name));
        json_object_set_new(answer, "reason", json_string(pal_domain_reason(&info)));
        pal_json_print(answer);
    }
    pal_domain_end(p, id, &c->error);
    return status;
}

static int run(struct call *c)
{
    struct pal_config config;
    struct pal p;
    int id, status = STATUS_PAL;

    if (pal_config_read(&config, c->argument[0], &c->error)) {
        pal_failed_to(&c->error, "cannot run a domain from %s", c->argument[0]);
        return STATUS_NO_FILE;
    }
    if (!pal_open(&p, &c->error)) {
        pal_interrupt_catch();
        id = make_domain(&p, &config, &c->error);
        pal_interrupt_release();
        status = id < 0 ? STATUS_REFUSED : foreground(c, &p, &config, (uint32_t)id);
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
        "Its console is this terminal. Exit status: 0 when the guest powered off, 1 when it "
        "crashed, 125 when pal failed, 126 when the domain cannot be made, 127 when its file "
        "cannot be read. Ctrl-] leaves it running.",
    .least = 1,
    .most = 1,
    .words = WORDS_FILE,
    .progress = true,
    .own_status = true,
    .run = run,
};
