/* SPDX-License-Identifier: MIT */
/* A full screen that is drawn again and again (pal top). */
#ifndef PAL_SCREEN_H
#define PAL_SCREEN_H

#include <stdbool.h>

/* Take the terminal over, until it is closed; false when it is none for that. */
bool screen_open(void);
void screen_close(void);
/* A line, and lines below it, whose first is the head of a table; what does not fit is cut off. */
void screen_show(const char *head, const char *lines);
/* So long, or until a key: false for q, and for Ctrl-C and its like. */
bool screen_wait(double seconds);

#endif
