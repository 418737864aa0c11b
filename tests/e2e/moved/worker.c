/* SPDX-License-Identifier: MIT */
/*
 * A guest's load that comes and goes: worker MIB BURSTS takes so much memory, ten MiB a second, works on all of it in bursts with
 * pauses between, and gives it back.
 *
 *   WORKER-FULL               it has all of it
 *   WORKER-TOOK nanoseconds   what the bursts took together
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum {
    MIB = 1 << 20,
    PAGE = 4096,
    LINE = 64,
    STEP_MIB = 4,
    STEP_MS = 400,
    SETTLE_MS = 4000,
    PAUSE_MS = 250,
    PASSES = 8
};

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void touch(volatile unsigned char *area, size_t bytes, size_t step)
{
    for (size_t at = 0; at < bytes; at += step)
        area[at]++;
}

int main(int argc, char **argv)
{
    size_t mib = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    unsigned long bursts = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    unsigned char *area =
        mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t took = 0, start;

    if (!mib || area == MAP_FAILED)
        return 2;
    for (size_t have = 0; have < mib; have += STEP_MIB) {
        touch(area + have * MIB, (have + STEP_MIB < mib ? STEP_MIB : mib - have) * MIB, PAGE);
        pause_ms(STEP_MS);
    }
    pause_ms(SETTLE_MS);
    printf("WORKER-FULL\n");
    fflush(stdout);
    for (unsigned long i = 0; i < bursts; i++) {
        pause_ms(PAUSE_MS);
        start = now_ns();
        for (int pass = 0; pass < PASSES; pass++)
            touch(area, mib * MIB, LINE);
        took += now_ns() - start;
    }
    munmap(area, mib * MIB);
    printf("WORKER-TOOK %llu\n", (unsigned long long)took);
    return 0;
}
