/* SPDX-License-Identifier: MIT */
/*
 * What every in-guest check shares: one line of output for each thing checked,
 *
 *   PAL-CHECK <program>.<part> pass|fail|skip [detail]
 *
 * written with a single write(2), and an exit status that is 1 if any line says fail. `skip` is for
 * what this machine does not have (no AVX, say), never for what should have worked.
 */
#ifndef PAL_CHECK_H
#define PAL_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int check_failures;

static inline void check_line(const char *part, const char *verdict, const char *format,
                              va_list values)
{
    char line[400];
    int used = snprintf(line, sizeof(line), "PAL-CHECK %s.%s %s ", program_invocation_short_name,
                        part, verdict);

    vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, values);
    strcat(line, "\n");
    if (write(STDOUT_FILENO, line, strlen(line)) < 0)
        _exit(2);
}

/* Reports one part; returns ok, so that dependent steps can stop. The format says what was seen,
 * not the verdict. */
__attribute__((format(printf, 3, 4))) static inline int check(const char *part, int ok,
                                                              const char *format, ...)
{
    va_list values;

    va_start(values, format);
    check_line(part, ok ? "pass" : "fail", format, values);
    va_end(values);
    if (!ok)
        check_failures++;
    return ok;
}

__attribute__((format(printf, 2, 3))) static inline void check_skip(const char *part,
                                                                    const char *format, ...)
{
    va_list values;

    va_start(values, format);
    check_line(part, "skip", format, values);
    va_end(values);
}

static inline int check_status(void)
{
    return check_failures ? 1 : 0;
}

/* For details: the text of errno if the step failed. Take the step before the call, since arguments
 * have no order. */
static inline const char *check_errno(int ok)
{
    return ok ? "done" : strerror(errno);
}

static inline int check_cpus(void)
{
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* Moves the calling thread to one CPU; 0 or -1 with errno. */
static inline int check_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set);
}

static inline uint64_t check_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Reads a whole small file into buffer, with a final NUL; length, or -1. */
static inline ssize_t check_read_file(const char *path, char *buffer, size_t size)
{
    size_t used = 0;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    while (used < size - 1 && (got = read(fd, buffer + used, size - 1 - used)) > 0)
        used += (size_t)got;
    close(fd);
    buffer[used] = '\0';
    return got < 0 ? -1 : (ssize_t)used;
}

/* The value of WORD= on the kernel's command line, copied to value; 1 if it is there. */
static inline int check_option(const char *word, char *value, size_t size)
{
    static char line[4096];
    size_t length = strlen(word);
    char *state;

    if (check_read_file("/proc/cmdline", line, sizeof(line)) < 0)
        return 0;
    for (char *at = strtok_r(line, " \n", &state); at; at = strtok_r(NULL, " \n", &state)) {
        if (strncmp(at, word, length) == 0 && at[length] == '=') {
            snprintf(value, size, "%s", at + length + 1);
            return 1;
        }
    }
    return 0;
}

/* A cheap generator for patterns: the same seed, the same words. */
static inline uint64_t check_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
