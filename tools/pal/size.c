/* SPDX-License-Identifier: MIT */
#include "size.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

bool size_parse(const char *text, uint64_t *kib)
{
    static const struct {
        const char *name;
        uint64_t kib;
    } units[] = {{"", 1 << 10},    {"K", 1},       {"KiB", 1},      {"M", 1 << 10},
                 {"MiB", 1 << 10}, {"G", 1 << 20}, {"GiB", 1 << 20}};
    uint64_t number;
    char *unit;

    if (!isdigit((unsigned char)*text))
        return false;
    number = strtoull(text, &unit, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcasecmp(unit, units[i].name))
            continue;
        if (number == 0 || number > (1ull << 30) / units[i].kib)
            return false;
        *kib = (number * units[i].kib + 3) & ~3ull;
        return true;
    }
    return false;
}
