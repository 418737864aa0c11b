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
#include <unistd.h>

#include <xenstore.h>

#include "libpal/meminfo.h"

#define NODE     "data/pal-memory"
#define PERIOD_S 2
#define NOTABLE  1024u /* KiB; and 1/64 of it, and 100/10000 of pressure */

struct state {
    uint64_t used, swapped;
    unsigned pressure;
};

/* All that the domain has, whether its kernel counts it or not; 0 when the driver does not say. */
static uint64_t read_current(void)
{
    FILE *file = fopen("/sys/devices/system/xen_memory/xen_memory0/info/current_kb", "r");
    uint64_t current = 0;

    if (file) {
        if (fscanf(file, "%" SCNu64, &current) != 1)
            current = 0;
        fclose(file);
    }
    return current;
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
    struct meminfo m;
    struct xs_handle *store = xs_open(0);
    bool first = true;

    if (!store) {
        perror("pal-agent: no store; is this a guest, and is /dev/xen/xenbus there?");
        return 1;
    }
    for (;; sleep(PERIOD_S)) {
        if (!meminfo_read(&m)) {
            fprintf(stderr, "pal-agent: /proc/meminfo tells nothing\n");
            return 1;
        }
        now.used = meminfo_used(&m, read_current());
        now.swapped = m.swap > m.swap_free ? m.swap - m.swap_free : 0;
        now.pressure = read_pressure();
        if (!first && !notable(&now, &told))
            continue;
        if (tell(store, &now)) {
            told = now;
            first = false;
        }
    }
}
