/* SPDX-License-Identifier: MIT */
/*
 * pal-agent: tells the control domain, through the store, how this guest is off for memory:
 * data/pal-memory holds "USED SWAPPED PRESSURE" (KiB, KiB, tasks stalled in 1/10000 of the last ten
 * seconds). Written only when it has changed notably. Static, one small file, nothing to configure.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenstore.h>

#define NODE     "data/pal-memory"
#define PERIOD_S 2
#define NOTABLE  1024u /* KiB; and 1/64 of it, and 100/10000 of pressure */

struct state {
    uint64_t used, swapped;
    unsigned pressure;
};

static bool read_meminfo(struct state *s)
{
    uint64_t total = 0, available = 0, swap = 0, swap_free = 0, kib;
    FILE *file = fopen("/proc/meminfo", "r");
    char line[128], name[32];

    if (!file)
        return false;
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%31[^:]: %" SCNu64, name, &kib) != 2)
            continue;
        if (!strcmp(name, "MemTotal"))
            total = kib;
        else if (!strcmp(name, "MemAvailable"))
            available = kib;
        else if (!strcmp(name, "SwapTotal"))
            swap = kib;
        else if (!strcmp(name, "SwapFree"))
            swap_free = kib;
    }
    fclose(file);
    s->used = total > available ? total - available : 0;
    s->swapped = swap > swap_free ? swap - swap_free : 0;
    return total != 0;
}

/* Pages that the kernel gave back are no longer in MemTotal; those that it never counted are used. */
static uint64_t uncounted(void)
{
    FILE *file = fopen("/sys/devices/system/xen_memory/xen_memory0/info/current_kb", "r");
    uint64_t current = 0, total = 0;
    char line[128];

    if (!file || fscanf(file, "%" SCNu64, &current) != 1)
        current = 0;
    if (file)
        fclose(file);
    file = fopen("/proc/meminfo", "r");
    if (file && fgets(line, sizeof(line), file) && sscanf(line, "MemTotal: %" SCNu64, &total) != 1)
        total = 0;
    if (file)
        fclose(file);
    return total && current > total ? current - total : 0;
}

/* Kernels without pressure accounting tell of none. */
static unsigned read_pressure(void)
{
    FILE *file = fopen("/proc/pressure/memory", "r");
    double percent = 0;

    if (file) {
        if (fscanf(file, "some avg10=%lf", &percent) != 1)
            percent = 0;
        fclose(file);
    }
    return (unsigned)(percent * 100);
}

static bool differs(uint64_t a, uint64_t b)
{
    uint64_t distance = a > b ? a - b : b - a;

    return distance > NOTABLE + a / 64;
}

static bool notable(const struct state *now, const struct state *told)
{
    unsigned p = now->pressure > told->pressure ? now->pressure - told->pressure
                                                : told->pressure - now->pressure;

    return differs(now->used, told->used) || differs(now->swapped, told->swapped) || p >= 100 ||
           (!now->pressure && told->pressure);
}

static bool tell(struct xs_handle *store, const struct state *s)
{
    char text[64];
    int length = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 " %u", s->used, s->swapped,
                          s->pressure);

    return xs_write(store, XBT_NULL, NODE, text, (unsigned)length);
}

int main(void)
{
    struct state told = {0}, now;
    struct xs_handle *store = xs_open(0);
    bool first = true;

    if (!store) {
        perror("pal-agent: no store; is this a guest, and is /dev/xen/xenbus there?");
        return 1;
    }
    for (;; sleep(PERIOD_S)) {
        if (!read_meminfo(&now)) {
            fprintf(stderr, "pal-agent: /proc/meminfo tells nothing\n");
            return 1;
        }
        now.used += uncounted();
        now.pressure = read_pressure();
        if (!first && !notable(&now, &told))
            continue;
        if (tell(store, &now)) {
            told = now;
            first = false;
        }
    }
}
