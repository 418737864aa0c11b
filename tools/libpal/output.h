/* SPDX-License-Identifier: MIT */
/*
 * What verbs print: rows in a table for people, or one versioned JSON object for programs. Data go
 * to standard output, messages to standard error.
 */
#ifndef LIBPAL_OUTPUT_H
#define LIBPAL_OUTPUT_H

#include "libpal/error.h"

#include <stdint.h>

#include <jansson.h>

#define PAL_JSON_VERSION 1

/* {"version": 1, "verb": ...}; the caller adds to it. Never NULL: out of memory ends the program. */
json_t *pal_json_answer(const char *verb);
/* Print it, with a line feed, and give it up. */
void pal_json_print(json_t *answer);
/* The "error" object of a failed verb, in an answer of its own, printed. */
void pal_json_print_error(const char *verb, const struct pal_error *e);

/* A table: columns once, then rows of text. */
struct pal_column {
    const char *name;
    bool right;  /* numbers */
    bool hidden; /* only shown when it is asked for */
};
struct pal_table;
/* `wanted` says which columns are shown, in what order: "NAME,ID" or, besides the usual ones,
 * "+UUID"; upper and lower case are the same. NULL: the usual ones. Returns NULL, with
 * PAL_USE_ARGUMENTS, when a name is not known. */
struct pal_table *pal_table_new(const struct pal_column *columns, unsigned count,
                                const char *wanted, struct pal_error *e);
/* One row: as many texts as there are columns, shown or not. */
void pal_table_row(struct pal_table *t, const char *const *texts);
/* Print and free. */
void pal_table_print(struct pal_table *t);
/* The same as text, to be freed. */
char *pal_table_text(struct pal_table *t);

#endif
