/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include "attach.h"

static int run(struct call *c)
{
    struct pal_domain d;
    struct pal p;
    int rc;

    pal_failed_to(&c->error, "cannot attach to the console of \"%s\"", c->argument[0]);
    if (pal_open(&p, &c->error))
        return 1;
    rc = pal_domain_find_guest(&p, c->argument[0], &d, &c->error);
    if (!rc && pal_domain_has_ended(&d.info))
        rc = pal_fail(&c->error, PAL_DOM_STATE, "it has ended (%s)", pal_domain_reason(&d.info));
    if (!rc)
        rc = attach_console(&p, d.id, &c->error);
    if (!rc && c->json) {
        json_t *answer = pal_json_answer("console");

        json_object_set_new(answer, "id", json_integer(d.id));
        pal_json_print(answer);
    }
    pal_close(&p);
    return rc;
}

const struct verb verb_console = {
    .name = "console",
    .summary = "Attach to a domain's console; Ctrl-] leaves",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .words = WORDS_DOMAIN,
    .run = run,
};
