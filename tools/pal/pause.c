/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include <xen/sched.h>

#include "save_restore.h"

static int pause_domain(struct call *c, struct pal *p, struct pal_domain *d)
{
    if (pal_domain_has_ended(&d->info))
        return pal_fail(&c->error, PAL_DOM_STATE, "it has ended (%s)", pal_domain_reason(&d->info));
    if (d->info.flags & XEN_DOMINF_paused)
        return pal_fail(&c->error, PAL_DOM_STATE, "it is paused already");
    return pal_domain_pause(&p->hv, d->id, &c->error);
}

/* One that suspended itself goes on, too, unless somebody saves it. */
static int let_go_on(struct call *c, struct pal *p, struct pal_domain *d)
{
    int rc = save_recover(p, d->id, &d->info, &c->error);

    return rc == 1 ? pal_fail(&c->error, PAL_DOM_STATE, "it is being saved") : rc;
}

static int unpause_domain(struct call *c, struct pal *p, struct pal_domain *d)
{
    if (d->info.flags & XEN_DOMINF_shutdown && pal_domain_reason_code(&d->info) == SHUTDOWN_suspend)
        return let_go_on(c, p, d);
    if (!(d->info.flags & XEN_DOMINF_paused))
        return pal_fail(&c->error, PAL_DOM_STATE, "it is not paused but %s",
                        pal_domain_state(&d->info));
    return pal_domain_unpause(&p->hv, d->id, &c->error);
}

static int run_pause(struct call *c)
{
    return verb_each_guest(c, pause_domain);
}

static int run_unpause(struct call *c)
{
    return verb_each_guest(c, unpause_domain);
}

const struct verb verb_pause = {
    .name = "pause",
    .summary = "Stop domains where they are, until they are unpaused",
    .arguments = "NAME...",
    .least = 1,
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .run = run_pause,
};

const struct verb verb_unpause = {
    .name = "unpause",
    .aliases = "resume",
    .summary = "Let paused domains go on",
    .arguments = "NAME...",
    .least = 1,
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .run = run_unpause,
};
