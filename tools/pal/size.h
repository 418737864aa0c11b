/* SPDX-License-Identifier: MIT */
/* Sizes as people write them. */
#ifndef PAL_SIZE_H
#define PAL_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* "512M", "2G", "1048576K", "512" (MiB): to KiB, rounded up to whole pages. At most 1 TiB. */
bool size_parse(const char *text, uint64_t *kib);

#endif
