/* SPDX-License-Identifier: MIT */
/*
 * In a guest: has the kernel's own balloon driver give memory back and take it again, and says what a page took, driver and
 * hypervisor together: BENCH balloon_out, balloon_in nanoseconds.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "program.h"

#define DRIVER    "/sys/devices/system/xen_memory/xen_memory0/"
#define MOVED_KIB (128ull << 10)

enum { REPEATS = 3, NAP_NS = 2000000, LIMIT_S = 60 };

static unsigned long long read_kib(const char *name)
{
    unsigned long long kib;
    FILE *file = fopen(name, "r");

    if (!file || fscanf(file, "%llu", &kib) != 1)
        fail(name);
    fclose(file);
    return kib;
}

/* Returns the nanoseconds that a page took. */
static uint64_t move_to(unsigned long long kib)
{
    const struct timespec nap = {0, NAP_NS};
    uint64_t start = now_ns();
    FILE *file = fopen(DRIVER "target_kb", "w");

    if (!file || fprintf(file, "%llu", kib) < 0 || fclose(file))
        fail("target_kb");
    while (read_kib(DRIVER "info/current_kb") != kib) {
        if (now_ns() - start > LIMIT_S * 1000000000ull)
            fail("the driver does not get there");
        nanosleep(&nap, NULL);
    }
    return (now_ns() - start) / (MOVED_KIB / 4);
}

int main(void)
{
    unsigned long long all = read_kib(DRIVER "info/current_kb");
    uint64_t out = UINT64_MAX, in = UINT64_MAX;

    for (int i = 0; i <= REPEATS; i++) { /* once to warm up */
        uint64_t went = move_to(all - MOVED_KIB), came = move_to(all);

        out = i && went < out ? went : out;
        in = i && came < in ? came : in;
    }
    printf("BENCH balloon_out %llu\nBENCH balloon_in %llu\nBENCH-END\n", (unsigned long long)out,
           (unsigned long long)in);
    return 0;
}
