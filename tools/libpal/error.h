/* SPDX-License-Identifier: MIT */
/*
 * One error: what failed, why, what to do, and a stable code. The outermost caller says what
 * failed; whoever finds the cause says why; the remedy comes from the table of codes unless the
 * finder knows a better one.
 */
#ifndef LIBPAL_ERROR_H
#define LIBPAL_ERROR_H

#include <stdbool.h>
#include <stdio.h>

/* Exit statuses of pal. */
enum pal_exit {
    PAL_EXIT_OK = 0,
    PAL_EXIT_FAILURE = 1,
    PAL_EXIT_USAGE = 2,
    PAL_EXIT_NO_DOMAIN = 3,
    PAL_EXIT_WRONG_STATE = 4,
    PAL_EXIT_NO_MEMORY = 5,
    PAL_EXIT_NO_ACCESS = 6,
    PAL_EXIT_TIMEOUT = 7,
    PAL_EXIT_OWN_FAILURE = 125, /* of verbs whose exit status is a guest's */
};

/* The codes never change their meaning; new ones are added. Table: error.c. */
enum pal_code {
    PAL_OK,
    PAL_USE_ARGUMENTS,
    PAL_USE_VERB,
    PAL_HV_ABSENT,
    PAL_HV_REFUSED,
    PAL_HV_VERSION,
    PAL_DOM_UNKNOWN,
    PAL_DOM_NAME_TAKEN,
    PAL_DOM_STATE,
    PAL_DOM_CONTROL,
    PAL_DOM_TIMEOUT,
    PAL_DOM_IGNORES,
    PAL_MEM_HOST,
    PAL_MEM_GUEST,
    PAL_MEM_RANGE,
    PAL_MEM_FLOOR,
    PAL_MEM_SILENT,
    PAL_MEM_LATE,
    PAL_MEM_ENDED,
    PAL_MEM_UNGOVERNED,
    PAL_IMG_UNREADABLE,
    PAL_IMG_DAMAGED,
    PAL_IMG_NOT_PV,
    PAL_IMG_INITRD,
    PAL_XML_FILE,
    PAL_XML_SYNTAX,
    PAL_XML_SCHEMA,
    PAL_XML_VALUE,
    PAL_STORE_ABSENT,
    PAL_STORE_REFUSED,
    PAL_CON_ABSENT,
    PAL_CON_DAEMON,
    PAL_DEV_SOURCE,
    PAL_DEV_BACKEND,
    PAL_DEV_TAKEN,
    PAL_DEV_UNKNOWN,
    PAL_DEV_IN_USE,
    PAL_DEV_REFUSED,
    PAL_DEV_TIMEOUT,
    PAL_DEV_GUARD,
    PAL_DEV_DAEMON,
    PAL_DISK_FILE,
    PAL_DISK_DAMAGED,
    PAL_DISK_BASE,
    PAL_DISK_SIZE,
    PAL_SAVE_WRITE,
    PAL_SAVE_STOPPED,
    PAL_SAVE_DAMAGED,
    PAL_SAVE_VERSION,
    PAL_SAVE_UNREADABLE,
    PAL_SAVE_GUEST,
    PAL_SAVE_MACHINE,
    PAL_REG_UNKNOWN,
    PAL_REG_EXISTS,
    PAL_REG_MEMBER,
    PAL_REG_FULL,
    PAL_REG_MAPPED,
    PAL_SYS_FAILED,
    PAL_SYS_INTERRUPTED,
    PAL_CODES,
};

struct pal_error {
    enum pal_code code;
    char what[160];
    char why[640];
    char remedy[320]; /* empty: the code's own */
};

/* Note a cause; an earlier one is kept, since it is nearer to the source. Returns -1. */
int pal_fail(struct pal_error *e, enum pal_code code, const char *why, ...)
    __attribute__((format(printf, 3, 4)));
/* Say what to do better than the code's own remedy does. Returns -1. */
int pal_remedy(struct pal_error *e, const char *remedy, ...) __attribute__((format(printf, 2, 3)));
/* Say what failed, unless somebody nearer did. Returns -1. */
int pal_failed_to(struct pal_error *e, const char *what, ...) __attribute__((format(printf, 2, 3)));

/* "PAL-MEM-003", the exit status, the text of the third line. */
const char *pal_code_name(enum pal_code code);
int pal_code_exit(enum pal_code code);
const char *pal_error_remedy(const struct pal_error *e);

/* The three lines. Control characters in them (they may quote a guest) are shown as '?'. */
void pal_error_print(const struct pal_error *e, FILE *out);

#endif
