/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include "attach.h"
#include "libpal/interrupt.h"

static int attach(struct call *c, struct pal *p, const struct pal_domain *d)
{
    static const char *const words[] = {
        [ATTACH_LEFT] = "left", [ATTACH_ENDED] = "domain ended", [ATTACH_SIGNAL] = "signal"};
    int end;

    pal_interrupt_catch();
    end = attach_console(p, d->id, &(struct attach){0}, &c->error);
    pal_interrupt_release();
    if (end == ATTACH_LOST)
        end = pal_fail(&c->error, PAL_CON_ABSENT, "xenconsoled has let go of its terminal");
    if (end >= 0 && c->json) {
        json_t *answer = pal_json_answer("console");

        json_object_set_new(answer, "id", json_integer(d->id));
        json_object_set_new(answer, "end", json_string(words[end]));
        pal_json_print(answer);
    } else if (end == ATTACH_ENDED) {
        fprintf(stderr, "%s has ended.\n", d->name);
    }
    return end < 0;
}

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
        rc = attach(c, &p, &d);
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
