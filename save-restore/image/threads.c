/* SPDX-License-Identifier: MIT */
#include "image/threads.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

unsigned threads_wanted(unsigned asked)
{
    cpu_set_t cpus;
    int count = 1;

    if (asked == 0 && sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        count = CPU_COUNT(&cpus);
    if (asked == 0)
        asked = count > 0 ? (unsigned)count : 1;
    return asked < THREADS_MAX ? asked : THREADS_MAX;
}

int threads_start(struct threads *t, unsigned count, void *(*work)(void *), void *context,
                  struct pal_error *e)
{
    pthread_condattr_t monotonic;
    int error = 0;

    memset(t, 0, sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&t->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    while (t->count < count) {
        error = pthread_create(&t->thread[t->count], NULL, work, context);
        if (error)
            break;
        t->count++;
    }
    if (t->count)
        return 0;
    return pal_fail(e, PAL_MEM_HOST, "no thread could be started: %s", strerror(error));
}

void threads_fail(struct threads *t, const struct pal_error *why)
{
    if (t->error.code == PAL_OK)
        t->error = *why;
    t->stop = true;
    pthread_cond_broadcast(&t->work);
    pthread_cond_broadcast(&t->done);
}

bool threads_wait_done(struct threads *t)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return pthread_cond_timedwait(&t->done, &t->lock, &until) != ETIMEDOUT;
}

int threads_end(struct threads *t, struct pal_error *e)
{
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
    for (unsigned i = 0; i < t->count; i++)
        pthread_join(t->thread[i], NULL);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->work);
    pthread_cond_destroy(&t->done);
    if (t->error.code == PAL_OK)
        return 0;
    if (e->code == PAL_OK)
        *e = t->error;
    return -1;
}
