/* SPDX-License-Identifier: MIT */
/* Colours on a terminal: none when $NO_COLOR is set (no-color.org), nor into files and pipes. */
#ifndef LIBPAL_TERMINAL_H
#define LIBPAL_TERMINAL_H

#include <stdio.h>

enum pal_colour { PAL_PLAIN, PAL_RED, PAL_GREEN, PAL_YELLOW };

/* What to print to out so that the text after it has the colour; "" where there are none. */
const char *pal_terminal_colour(FILE *out, enum pal_colour colour);

#endif
