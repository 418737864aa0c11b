/* SPDX-License-Identifier: MIT */
#include "libpal/meminfo.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool meminfo_read(struct meminfo *m)
{
    const struct {
        const char *name;
        uint64_t *to;
    } wanted[] = {{"MemTotal", &m->total},
                  {"MemAvailable", &m->available},
                  {"SwapTotal", &m->swap},
                  {"SwapFree", &m->swap_free}};
    FILE *file = fopen("/proc/meminfo", "r");
    char line[128], name[32];
    uint64_t kib;

    *m = (struct meminfo){0};
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%31[^:]: %" SCNu64, name, &kib) != 2)
            continue;
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
            if (!strcmp(name, wanted[i].name))
                *wanted[i].to = kib;
    }
    if (file)
        fclose(file);
    return m->total != 0;
}
