/* SPDX-License-Identifier: MIT */
/*
 * The one process that sees to domains that have ended (one for all, not one each). The store
 * tells that some domain has ended or gone; which one, the hypervisor says.
 */
#include "verb.h"
#include "verbs.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <xen/sched.h>

#include "ending.h"
#include "libpal/record.h"
#include "save_restore.h"
#include "trim.h"

/* A guest that ends again and again at once must not keep the machine busy. */
#define PAUSE_SECONDS 0.2
#define AGAIN_MS      1000 /* while one is suspended: its saver may vanish */

/* What has been done: a line on standard error, or an object on standard output. */
static void tell(const struct call *c, const struct pal_domain *d, enum pal_action action)
{
    json_t *answer;

    if (!c->json) {
        fprintf(stderr, "pal watch: %s (domain %u) has ended (%s): %s\n", d->name, d->id,
                pal_domain_reason(&d->info), pal_action_name(action));
        return;
    }
    answer = pal_json_answer("watch");
    json_object_set_new(answer, "id", json_integer(d->id));
    json_object_set_new(answer, "name", json_string(d->name));
    json_object_set_new(answer, "reason", json_string(pal_domain_reason(&d->info)));
    json_object_set_new(answer, "action", json_string(pal_action_name(action)));
    pal_json_print(answer);
    fflush(stdout);
}

/* One that suspended itself is seen to by who saves it; unless that one is gone. Returns whether to look
 * again. */
static bool look_at_suspended(struct pal *p, const struct pal_domain *d)
{
    struct pal_error failed = {0};
    struct pal_config ours;
    int rc;

    /* What others made, others save. */
    if (pal_record_read(d->id, &ours, &failed))
        return false;
    pal_config_free(&ours);
    rc = save_recover(p, d->id, &d->info, &failed);

    if (rc == 0)
        fprintf(stderr, "pal watch: %s (domain %u) was suspended, and nobody saves it: seen to\n",
                d->name, d->id);
    if (rc < 0) {
        pal_failed_to(&failed, "cannot let \"%s\" go on", d->name);
        pal_error_print(&failed, stderr);
    }
    return rc != 0;
}

/* Returns whether to look again before long. */
static bool look(const struct call *c, struct pal *p)
{
    static uint8_t preserved[DOMID_FIRST_RESERVED]; /* they have been seen to */
    struct pal_error e = {0};
    struct pal_domain *list;
    int count = pal_domains(p, &list, &e);
    bool again = false;

    for (int i = 0; i < count; i++) {
        const struct pal_domain *d = &list[i];
        enum pal_action action = PAL_ACTION_PRESERVE;
        struct pal_error failed = {0};

        if (d->id == 0 || !(d->info.flags & XEN_DOMINF_shutdown) ||
            d->info.flags & XEN_DOMINF_dying) {
            preserved[d->id] = false;
            continue;
        }
        if (pal_domain_reason_code(&d->info) == SHUTDOWN_suspend) {
            again |= look_at_suspended(p, d);
            continue;
        }
        if (preserved[d->id])
            continue;
        switch (ending_handle(p, d->id, &d->info, &action, &failed)) {
        case 0:
            tell(c, d, action);
            preserved[d->id] = action == PAL_ACTION_PRESERVE;
            break;
        case 1:
            break;
        default:
            pal_failed_to(&failed, "cannot carry out what follows the end of \"%s\"", d->name);
            pal_error_print(&failed, stderr);
        }
    }
    if (count >= 0)
        free(list);
    return again;
}

/*
 * Something has ended, or it is time to look again. Meanwhile the logs are kept short, and the store's daemon is asked something:
 * Linux may miss to tell it of a guest's event, and then tells of none until somebody else speaks to it (tools/ubc/main.c
 * has why). False: the store is gone.
 */
static bool wait_for_end(struct pal *p, bool again)
{
    struct pollfd fd = {.fd = xs_fileno(p->store.xs), .events = POLLIN};
    char **event;
    bool ok;

    do {
        trim_logs(LOG_DIRECTORY);
        free(xs_get_domain_path(p->store.xs, 0));
        if (poll(&fd, 1, again ? AGAIN_MS : TRIM_MS) <= 0) {
            ok = true;
            event = NULL;
        } else {
            event = xs_check_watch(p->store.xs);
            ok = event || errno == EAGAIN;
        }
    } while (ok && !event && !again);
    free(event);
    return ok;
}

static int run(struct call *c)
{
    struct pal p;

    pal_failed_to(&c->error, "cannot watch the domains");
    if (pal_open(&p, &c->error))
        return 1;
    if (ending_watch(&c->error)) {
        pal_close(&p);
        return 1;
    }
    if (!xs_watch(p.store.xs, "@releaseDomain", "ended")) {
        pal_fail(&c->error, PAL_STORE_REFUSED, "no watch: %s", strerror(errno));
        pal_close(&p);
        return 1;
    }
    for (bool again = false;;) {
        if (!wait_for_end(&p, again)) {
            pal_fail(&c->error, PAL_STORE_ABSENT, "the store went away: %s", strerror(errno));
            pal_close(&p);
            return 1;
        }
        again = look(c, &p);
        verb_sleep(PAUSE_SECONDS);
    }
}

const struct verb verb_watch = {
    .name = "watch",
    .summary = "See to domains that end, as their files say (a daemon, in the foreground)",
    .arguments = "",
    .run = run,
};
