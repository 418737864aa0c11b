/* SPDX-License-Identifier: MIT */
/* What packing and unpacking in parallel have in common. */
#ifndef IMAGE_THREADS_H
#define IMAGE_THREADS_H

#include <pthread.h>
#include <stdbool.h>

#include "libpal/error.h"

#define THREADS_MAX 12u

/* A pool: its lock, the ways to wait, and the first error, which ends the work. */
struct threads {
    pthread_mutex_t lock;
    pthread_cond_t work; /* for workers: something to do, or to stop */
    pthread_cond_t done; /* for the caller's thread */
    bool stop;           /* under the lock, as the error */
    struct pal_error error;
    unsigned count;
    pthread_t thread[THREADS_MAX];
};

/* How many threads are wanted: `asked`, or one for each CPU; 1..THREADS_MAX. */
unsigned threads_wanted(unsigned asked);
/* Start up to `count`; fewer will do, none is an error. */
int threads_start(struct threads *t, unsigned count, void *(*work)(void *), void *context,
                  struct pal_error *e);
/* With the lock held: end the work, for this reason if it is the first. */
void threads_fail(struct threads *t, const struct pal_error *why);
/* With the lock held: wait for `done` for at most a tenth of a second; false: time is up. */
bool threads_wait_done(struct threads *t);
/* Stop and wait for all; afterwards the lock is gone. *e gets the first error if it has none. */
int threads_end(struct threads *t, struct pal_error *e);

#endif
