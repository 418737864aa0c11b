/* SPDX-License-Identifier: MIT */
/* What every program of the bench has that runs in user space: a clock, and an end that the log shows. */
#ifndef TESTS_BENCH_PROGRAM_H
#define TESTS_BENCH_PROGRAM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline _Noreturn void fail(const char *what)
{
    printf("BENCH-FAILED %s: %m\n", what);
    exit(1);
}

#endif
