/* SPDX-License-Identifier: MIT */
/*
 * The first process of a guest that is saved and restored: data=MIB in the environment (the kernel puts it there from its command
 * line) fills so much memory with random numbers. Then a turn of work every ten milliseconds; the first one after
 * a gap of the wall's clock is the first after a restore, and says so.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define GAP_NS 700000000u

static uint64_t wall_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

int main(void)
{
    const char *text = getenv("data");
    size_t words = (text ? strtoul(text, NULL, 10) : 0) << 17;
    uint64_t *data = malloc(words * 8 + 8), seed = 0x9e3779b97f4a7c15u, last;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!data) {
        puts("BENCH-FAILED no memory");
        return 1;
    }
    for (size_t i = 0; i < words; i++)
        data[i] = next(&seed);
    puts("BENCH-INIT");
    last = wall_ns();
    for (size_t turn = 0;; turn++) {
        uint64_t now = wall_ns();

        if (now - last > GAP_NS)
            printf("BENCH-AFTER %zu\n", turn);
        last = now;
        if (words)
            data[turn * 512 % words] ^= now;
        usleep(10000);
    }
}
