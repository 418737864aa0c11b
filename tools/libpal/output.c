/* SPDX-License-Identifier: MIT */
#include "libpal/output.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* ---- tables ---- */

#define COLUMNS_MOST 32

struct pal_table {
    struct libscols_table *table;
    unsigned shown;
    unsigned column[COLUMNS_MOST]; /* of those given, in the order shown */
};

static void show_column(struct pal_table *t, unsigned i)
{
    for (unsigned j = 0; j < t->shown; j++) {
        if (t->column[j] == i)
            return;
    }
    if (t->shown < COLUMNS_MOST)
        t->column[t->shown++] = i;
}

static int choose_column(struct pal_table *t, const struct pal_column *columns, unsigned count,
                         const char *name, size_t length, struct pal_error *e)
{
    char all[320] = "";

    for (unsigned i = 0; i < count; i++) {
        if (strlen(columns[i].name) == length && !strncasecmp(columns[i].name, name, length)) {
            show_column(t, i);
            return 0;
        }
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? "," : "",
                 columns[i].name);
    }
    pal_fail(e, PAL_USE_ARGUMENTS, "there is no column \"%.*s\"", (int)length, name);
    return pal_remedy(e, "the columns are %s", all);
}

static int choose_columns(struct pal_table *t, const struct pal_column *columns, unsigned count,
                          const char *wanted, struct pal_error *e)
{
    for (unsigned i = 0; i < count; i++) {
        if (!columns[i].hidden && (!wanted || *wanted == '+'))
            show_column(t, i);
    }
    if (wanted && *wanted == '+')
        wanted++;
    while (wanted && *wanted) {
        size_t length = strcspn(wanted, ",");

        if (choose_column(t, columns, count, wanted, length, e))
            return -1;
        wanted += length + (wanted[length] == ',');
    }
    return t->shown ? 0 : pal_fail(e, PAL_USE_ARGUMENTS, "no column is named");
}

struct pal_table *pal_table_new(const struct pal_column *columns, unsigned count,
                                const char *wanted, struct pal_error *e)
{
    struct pal_table *t = must(calloc(1, sizeof(*t)));

    if (choose_columns(t, columns, count, wanted, e)) {
        free(t);
        return NULL;
    }
    t->table = must(scols_new_table());
    for (unsigned i = 0; i < t->shown; i++)
        must(scols_table_new_column(t->table, columns[t->column[i]].name, 0,
                                    columns[t->column[i]].right ? SCOLS_FL_RIGHT : 0));
    return t;
}

void pal_table_row(struct pal_table *t, const char *const *texts)
{
    struct libscols_line *line = must(scols_table_new_line(t->table, NULL));

    for (unsigned i = 0; i < t->shown; i++)
        scols_line_set_data(line, i, texts[t->column[i]]);
}

void pal_table_print(struct pal_table *t)
{
    scols_print_table(t->table);
    scols_unref_table(t->table);
    free(t);
}

char *pal_table_text(struct pal_table *t)
{
    char *text = NULL;

    scols_print_table_to_string(t->table, &text);
    scols_unref_table(t->table);
    free(t);
    return must(text ? text : strdup(""));
}
