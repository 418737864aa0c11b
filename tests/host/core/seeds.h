/* SPDX-License-Identifier: MIT */
/* What is played on the fake machine by a seed: each in a process of its own, so that what is stopped in the middle leaves no
 * trace for the next. */
#ifndef TESTS_HOST_CORE_SEEDS_H
#define TESTS_HOST_CORE_SEEDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static inline void play_seed(void (*play)(uint64_t seed), uint64_t seed)
{
    pid_t child = fork();
    if (child == 0) {
        play(seed);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Seeds 1 to `number`. */
static inline void play_seeds(unsigned number, void (*play)(uint64_t seed))
{
    for (uint64_t seed = 1; seed <= number; seed++)
        play_seed(play, seed);
}

#endif
