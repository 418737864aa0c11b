/* SPDX-License-Identifier: MIT */
/* The hypervisor's command line. */
#ifndef BOOT_OPTIONS_H
#define BOOT_OPTIONS_H

#include "base/boot_info.h"

/* Read the words of cmdline into *out; unknown ones and bad values are reported in the log and
 * ignored. */
void options_parse(const char *cmdline, struct boot_options *out);

/*
 * A size with an optional suffix B, K, M, G or T (without: unit KiB, as in Xen's options). Returns
 * false when text is not one, or does not fit in 64 bits.
 */
bool options_parse_size(const char *text, uint64_t *bytes);

#endif
