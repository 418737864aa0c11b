/* SPDX-License-Identifier: MIT */
/* A directory of a test's own under /tmp, made empty and removed with all that is in it. */
#ifndef TESTS_HOST_DIRECTORY_H
#define TESTS_HOST_DIRECTORY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char directory[32];

/* Status 0, as cmocka's setup functions return it. */
static inline int directory_make(void)
{
    strcpy(directory, "/tmp/pal-test-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static inline int directory_remove(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    return system(command);
}

#endif
