/* SPDX-License-Identifier: MIT */
#include "libpal/output.h"

#include <stdarg.h>
#include <stdlib.h>

#include <libsmartcols/libsmartcols.h>

static void *must(void *p)
{
    if (!p) {
        fputs("pal: out of memory\n", stderr);
        exit(PAL_EXIT_FAILURE);
    }
    return p;
}

json_t *pal_json_answer(const char *verb)
{
    return must(json_pack("{s:i, s:s}", "version", PAL_JSON_VERSION, "verb", verb));
}

void pal_json_print(json_t *answer)
{
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(answer);
}

void pal_json_print_error(const char *verb, const struct pal_error *e)
{
    json_t *answer = pal_json_answer(verb);

    /* What a guest wrote may be in them: text that is not UTF-8 is left out. */
    json_object_set_new(
        answer, "error",
        must(json_pack("{s:s, s:i, s:s*, s:s*, s:s*}", "code", pal_code_name(e->code), "exit",
                       pal_code_exit(e->code), "what", e->what, "why", e->why, "remedy",
                       pal_error_remedy(e))));
    pal_json_print(answer);
}

struct pal_table {
    struct libscols_table *table;
    unsigned columns;
};

struct pal_table *pal_table_new(const struct pal_column *columns, unsigned count)
{
    struct pal_table *t = must(malloc(sizeof(*t)));

    t->table = must(scols_new_table());
    t->columns = count;
    for (unsigned i = 0; i < count; i++)
        must(scols_table_new_column(t->table, columns[i].name, 0,
                                    columns[i].right ? SCOLS_FL_RIGHT : 0));
    return t;
}

void pal_table_row(struct pal_table *t, ...)
{
    struct libscols_line *line = must(scols_table_new_line(t->table, NULL));
    va_list args;

    va_start(args, t);
    for (unsigned i = 0; i < t->columns; i++)
        scols_line_set_data(line, i, va_arg(args, const char *));
    va_end(args);
}

void pal_table_print(struct pal_table *t)
{
    scols_print_table(t->table);
    scols_unref_table(t->table);
    free(t);
}
