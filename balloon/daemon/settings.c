/* SPDX-License-Identifier: MIT */
#include "settings.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct settings settings_default = {.enabled = false,
                                          .interval_ms = 2000,
                                          .slack_kib = 64 << 10,
                                          .domain0 = false,
                                          .dom0_shares = 100};

static bool read_yes(const char *value, bool *to)
{
    *to = !strcmp(value, "yes");
    return *to || !strcmp(value, "no");
}

static bool read_number(const char *value, unsigned long least, unsigned long most,
                        unsigned long *to)
{
    char *end;

    errno = 0;
    *to = strtoul(value, &end, 10);
    return !errno && end != value && !*end && value[0] != '-' && *to >= least && *to <= most;
}

/* For ini_parse: 1 is good. */
static int read_line(void *data, const char *section, const char *key, const char *value)
{
    struct settings *s = data;
    unsigned long n = 0;
    bool good = false;

    if (!strcmp(section, "balloon")) {
        if (!strcmp(key, "enabled")) {
            good = read_yes(value, &s->enabled);
        } else if (!strcmp(key, "domain0")) {
            good = read_yes(value, &s->domain0);
        } else if (!strcmp(key, "interval_ms")) {
            good = read_number(value, 100, 60000, &n);
            s->interval_ms = (unsigned)n;
        } else if (!strcmp(key, "slack_mib")) {
            good = read_number(value, 0, 1 << 20, &n);
            s->slack_kib = n << 10;
        } else if (!strcmp(key, "domain0_shares")) {
            good = read_number(value, 1, 65535, &n);
            s->dom0_shares = (unsigned)n;
        }
    }
    if (!good)
        fprintf(stderr,
                "pal-balloond: [%s] %s = %s: not understood; pal-balloond(8) lists the settings\n",
                section, key, value);
    return good;
}

bool settings_read(const char *path, struct settings *s)
{
    int line;

    *s = settings_default;
    line = ini_parse(path, read_line, s);
    if (line == -1) { /* no file: the defaults */
        if (errno != ENOENT)
            fprintf(stderr, "pal-balloond: cannot read %s: %s\n", path, strerror(errno));
        return errno == ENOENT;
    }
    if (line)
        fprintf(stderr, "pal-balloond: %s:%d is wrong; nothing was started\n", path, line);
    return line == 0;
}
