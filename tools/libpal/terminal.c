/* SPDX-License-Identifier: MIT */
#include "libpal/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *pal_terminal_colour(FILE *out, enum pal_colour colour)
{
    static const char *const sequences[] = {"\033[0m", "\033[31m", "\033[32m", "\033[33m"};
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");

    if ((no && *no) || !terminal || !strcmp(terminal, "dumb") || !isatty(fileno(out)))
        return "";
    return sequences[colour];
}
