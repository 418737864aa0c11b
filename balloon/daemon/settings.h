/* SPDX-License-Identifier: MIT */
/* /etc/pal/balloon.conf */
#ifndef BALLOON_SETTINGS_H
#define BALLOON_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

struct settings {
    bool enabled;
    unsigned interval_ms; /* between two looks */
    uint64_t slack_kib;   /* always left free */
    bool domain0;         /* domain 0 gives and takes, too */
    unsigned dom0_shares;
};

/* What a missing file or line means. */
extern const struct settings settings_default;
/* Read it; false, with a line on standard error that names file, line and key, when it is not good. */
bool settings_read(const char *path, struct settings *s);

#endif
