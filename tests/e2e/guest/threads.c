/* SPDX-License-Identifier: MIT */
/* Threads: locks and conditions, thread-local storage (FS base), address-space changes seen by all
 * CPUs at once. */
#include "check.h"
#include <asm/prctl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { ROUNDS = 20000, MAX_THREADS = 64, PAGE = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static long counter;
static int turn, threads;
static __thread uint64_t own;

static void *count_up(void *argument)
{
    uint64_t mark = (uint64_t)(uintptr_t)argument * 0x9e3779b97f4a7c15u;
    int bad = 0;

    own = mark;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
        if ((i & 1023) == 0)
            sched_yield();
        bad += own != mark;
    }
    return (void *)(uintptr_t)bad;
}

static void *take_turns(void *argument)
{
    int me = (int)(uintptr_t)argument;

    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(&lock);
        while (turn % threads != me)
            pthread_cond_wait(&turned, &lock);
        turn++;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* GS base is the program's own; the kernel must keep it for each thread. */
static void *keep_gs(void *argument)
{
    uint64_t cells[2] = {(uint64_t)(uintptr_t)argument, 0};
    uintptr_t bad = 0;

    syscall(SYS_arch_prctl, ARCH_SET_GS, cells);
    for (int i = 0; i < 3000; i++) {
        uint64_t got;

        asm volatile("movq %%gs:0, %0" : "=r"(got));
        bad += got != cells[0];
        if ((i & 15) == 0)
            sched_yield();
    }
    syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
    return (void *)bad;
}

/* Runs one function in all threads; sum of their results, or -1. */
static long together(void *(*function)(void *))
{
    pthread_t handles[MAX_THREADS];
    long sum = 0;

    for (int i = 0; i < threads; i++) {
        if (pthread_create(&handles[i], NULL, function, (void *)(uintptr_t)i))
            return -1;
    }
    for (int i = 0; i < threads; i++) {
        void *result;

        pthread_join(handles[i], &result);
        sum += (long)(uintptr_t)result;
    }
    return sum;
}

/*
 * Stale translations: writers on all CPUs store to a page while the main thread takes the right to
 * write away. Once mprotect has returned, no store may go through: each either lands before or
 * faults.
 */
static volatile uint64_t *shared;
static atomic_int stop, faults;
static __thread sigjmp_buf retry;

static void faulted(int number)
{
    (void)number;
    atomic_fetch_add(&faults, 1);
    siglongjmp(retry, 1);
}

static void *keep_writing(void *argument)
{
    volatile uint64_t *cell = shared + (uintptr_t)argument;

    sigsetjmp(retry, 1);
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        (*cell)++;
    return NULL;
}

static void check_stale(void)
{
    pthread_t handles[MAX_THREADS];
    int bad = 0, rounds = 0;
    uint64_t now = check_now_ns(), until, last;

    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    signal(SIGSEGV, faulted);
    for (int i = 0; i < threads; i++)
        pthread_create(&handles[i], NULL, keep_writing, (void *)(uintptr_t)i);
    /* Two seconds; up to a minute more where they were not enough to show anything. */
    until = check_now_ns() + 2000000000u;
    last = until + 60000000000u;
    while (rounds < 300 &&
           (now < until || (now < last && (rounds < 10 || !atomic_load(&faults))))) {
        uint64_t before[MAX_THREADS];

        mprotect((void *)shared, PAGE, PROT_READ);
        for (int i = 0; i < threads; i++)
            before[i] = shared[i];
        usleep(200);
        for (int i = 0; i < threads; i++)
            bad += shared[i] != before[i];
        mprotect((void *)shared, PAGE, PROT_READ | PROT_WRITE);
        rounds++;
        usleep(100);
        now = check_now_ns();
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < threads; i++)
        pthread_join(handles[i], NULL);
    check("stale-write", bad == 0 && atomic_load(&faults) > 0,
          "%d rounds, %d faults, %d stores after mprotect", rounds, atomic_load(&faults), bad);
}

/* Each unmapping interrupts the other CPUs, which takes long where they have to share the host's: as many as
 * there is time for. */
static void *map_and_unmap(void *argument)
{
    uint64_t until = check_now_ns() + 10000000000u;
    uint64_t seed = (uint64_t)(uintptr_t)argument + 1;
    uintptr_t bad = 0;

    for (int i = 0; i < 200 && (i < 10 || check_now_ns() < until); i++) {
        size_t pages = 1 + check_random(&seed) % 32;
        uint64_t *area =
            mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (area == MAP_FAILED)
            return (void *)(uintptr_t)1;
        for (size_t page = 0; page < pages; page++) {
            bad += area[page * PAGE / 8] != 0; /* another thread's old content would show here */
            area[page * PAGE / 8] = seed;
        }
        munmap(area, pages * PAGE);
    }
    return (void *)bad;
}

int main(void)
{
    long bad;

    threads = 2 * check_cpus() + 2;
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    bad = together(count_up);
    check("mutex", counter == (long)threads * ROUNDS, "%ld of %ld", counter,
          (long)threads * ROUNDS);
    check("tls", bad == 0, "%ld wrong in %d threads", bad, threads);
    together(take_turns);
    check("condition", turn == threads * 300, "%d of %d turns", turn, threads * 300);
    bad = together(keep_gs);
    check("gs-base", bad == 0, "%ld wrong", bad);
    bad = together(map_and_unmap);
    check("map-unmap", bad == 0, "%ld wrong", bad);
    check_stale();
    return check_status();
}
