/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include "libpal/record.h"

static int rename_domain(struct call *c, struct pal *p, const struct pal_domain *d)
{
    const char *name = c->argument[1];
    char path[80], uuid[37];

    if (!pal_name_is_good(name)) {
        pal_fail(&c->error, PAL_USE_ARGUMENTS, "\"%s\" is not a name for a domain", name);
        return pal_remedy(&c->error,
                          "use up to 63 letters, digits and \"._-+:\", not digits alone");
    }
    if (pal_domain_name_is_free(p, name, &c->error))
        return -1;
    snprintf(path, sizeof(path), "/local/domain/%u/name", d->id);
    if (pal_record_rename(d->id, d->name, name, &c->error) ||
        pal_store_write(&p->store, &c->error, path, name))
        return -1;
    pal_uuid_text(d->info.handle, uuid);
    snprintf(path, sizeof(path), "/vm/%s/name", uuid);
    return pal_store_write(&p->store, &c->error, path, name);
}

static int run(struct call *c)
{
    struct pal_domain d;
    struct pal p;
    int rc;

    pal_failed_to(&c->error, "cannot rename \"%s\"", c->argument[0]);
    if (pal_open(&p, &c->error))
        return 1;
    rc = pal_domain_find_guest(&p, c->argument[0], &d, &c->error);
    if (rc && c->error.code == PAL_DOM_CONTROL)
        pal_remedy(&c->error, "domain 0 keeps its name; rename the other domain");
    if (!rc)
        rc = rename_domain(c, &p, &d);
    if (!rc && c->json) {
        json_t *answer = pal_json_answer("rename");

        json_object_set_new(answer, "id", json_integer(d.id));
        json_object_set_new(answer, "name", json_string(c->argument[1]));
        pal_json_print(answer);
    }
    pal_close(&p);
    return rc;
}

const struct verb verb_rename = {
    .name = "rename",
    .summary = "Give a domain another name",
    .arguments = "NAME NEW-NAME",
    .least = 2,
    .most = 2,
    .words = WORDS_DOMAIN,
    .run = run,
};
