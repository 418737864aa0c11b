/* SPDX-License-Identifier: MIT */
/* The few C library functions the compiler or the tests call. */
#ifndef BARE_STRING_H
#define BARE_STRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strncmp(const char *a, const char *b, size_t n);

/* Is every one of n bytes equal to byte? */
bool string_all(const void *p, int byte, size_t n);

#endif
