/* SPDX-License-Identifier: MIT */
/*
 * The one process that sees to domains that have ended (one for all, not one each). The store
 * tells that some domain has ended or gone; which one, the hypervisor says.
 */
#include "verb.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ending.h"
#include "libpal/record.h"

/* A guest that ends again and again at once must not keep the machine busy. */
#define PAUSE_SECONDS 0.2

static void look(struct pal *p)
{
    struct pal_error e = {0};
    struct pal_domain *list;
    int count = pal_domains(p, &list, &e);

    for (int i = 0; i < count; i++) {
        struct pal_error failed = {0};

        if (list[i].id == 0 || !(list[i].info.flags & XEN_DOMINF_shutdown) ||
            list[i].info.flags & XEN_DOMINF_dying || pal_record_is_kept(list[i].id))
            continue;
        fprintf(stderr, "pal watch: %s (domain %u) has ended: %s\n", list[i].name, list[i].id,
                pal_domain_reason(&list[i].info));
        if (ending_handle(p, list[i].id, &list[i].info, &failed)) {
            pal_failed_to(&failed, "cannot carry out what follows the end of \"%s\"", list[i].name);
            pal_error_print(&failed, stderr);
        }
    }
    if (count >= 0)
        free(list);
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
    for (;;) {
        unsigned count;
        char **event = xs_read_watch(p.store.xs, &count);

        if (!event) {
            pal_fail(&c->error, PAL_STORE_ABSENT, "the store went away: %s", strerror(errno));
            pal_close(&p);
            return 1;
        }
        free(event);
        look(&p);
        verb_sleep(PAUSE_SECONDS);
    }
}

const struct verb verb_watch = {
    .name = "watch",
    .summary = "See to domains that end, as their files say (a daemon, in the foreground)",
    .arguments = "",
    .run = run,
};
