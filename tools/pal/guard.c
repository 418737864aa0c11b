/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include "libpal/device.h"

static int run(struct call *c)
{
    struct pal p;
    int rc;

    pal_failed_to(&c->error, "cannot set up the guards");
    if (pal_open(&p, &c->error))
        return 1;
    rc = pal_devices_guard(&p, &c->error);
    pal_close(&p);
    if (!rc && c->json)
        pal_json_print(pal_json_answer("guard"));
    return rc;
}

const struct verb verb_guard = {
    .name = "guard",
    .summary = "Guard all interfaces anew, after the host's rules were flushed",
    .arguments = "",
    .run = run,
};
