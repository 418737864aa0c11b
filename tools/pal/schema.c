/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

static int run(struct call *c)
{
    if (c->json) {
        json_t *answer = pal_json_answer("schema");

        json_object_set_new(answer, "format", json_string("RELAX NG"));
        json_object_set_new(answer, "schema",
                            json_stringn(pal_schema, (size_t)(pal_schema_end - pal_schema)));
        pal_json_print(answer);
    } else {
        fwrite(pal_schema, 1, (size_t)(pal_schema_end - pal_schema), stdout);
    }
    return 0;
}

const struct verb verb_schema = {
    .name = "schema",
    .summary = "Print the RELAX NG schema of domain files",
    .arguments = "",
    .run = run,
};
