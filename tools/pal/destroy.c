/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

static int destroy(struct call *c, struct pal *p, struct pal_domain *d)
{
    return pal_domain_end(p, d->id, &c->error);
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
    .run = run,
};
