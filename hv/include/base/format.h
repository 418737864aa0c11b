/* SPDX-License-Identifier: MIT */
/* printf-style formatting: %d %i %u %x %X %c %s %p %%, flags 0 - #, width, precision for %s, l/ll/z. */
#ifndef BASE_FORMAT_H
#define BASE_FORMAT_H

#include <stdarg.h>
#include "base/types.h"

/* Like the C library's: at most size bytes with the terminator; returns the length it wanted. */
int format(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
int vformat(char *buf, size_t size, const char *fmt, va_list ap);

#endif
