/* SPDX-License-Identifier: MIT */
/*
 * Floating-point and vector registers survive context switches and signals. More threads than CPUs
 * each load all registers with a pattern of their own, give up the CPU many times without a single
 * instruction of C in between, and store them again.
 */
#include "check.h"
#include "vectors.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/time.h>

enum { ROUNDS = 40, YIELDS = 50, SPINS = 20000, MAX_THREADS = 64 };

struct registers {
    uint64_t vector[VECTORS][4]; /* YMM; only the low half where there is no AVX */
    double stack[8];
    uint32_t mxcsr;
    uint16_t control;
} __attribute__((aligned(64)));

#define PUSH_X87(n) "fldl 512+8*" #n "(%[in])\n"
#define POP_X87(n)  "fstpl 512+8*" #n "(%[out])\n"

/* Yields (system call 24) and spins in turn; touches no floating-point register. */
#define WAIT                                                                                       \
    "mov %[yields], %%r12d\n"                                                                      \
    "1: mov $24, %%eax\n syscall\n"                                                                \
    "mov %[spins], %%r13d\n"                                                                       \
    "2: dec %%r13d\n jnz 2b\n"                                                                     \
    "dec %%r12d\n jnz 1b\n"

#define HOLD(LOAD, SAVE)                                                                           \
    asm volatile("fninit\n fldcw 580(%[in])\n ldmxcsr 576(%[in])\n" PUSH_X87(7) PUSH_X87(6)        \
                     PUSH_X87(5) PUSH_X87(4) PUSH_X87(3) PUSH_X87(2) PUSH_X87(1) PUSH_X87(0)       \
                         ALL(LOAD) WAIT ALL(SAVE) POP_X87(0) POP_X87(1) POP_X87(2) POP_X87(3)      \
                             POP_X87(4) POP_X87(5) POP_X87(6)                                      \
                                 POP_X87(7) "stmxcsr 576(%[out])\n fnstcw 580(%[out])\n fninit\n"  \
                 :                                                                                 \
                 : [in] "r"(in), [out] "r"(out), [yields] "i"(YIELDS), [spins] "r"(spins)          \
                 : "rax", "rcx", "r11", "r12", "r13", "memory", "cc", VECTORS_CLOBBERED, "st",     \
                   "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)")

_Static_assert(offsetof(struct registers, stack) == 512, "named in the assembly");
_Static_assert(offsetof(struct registers, mxcsr) == 576, "named in the assembly");
_Static_assert(offsetof(struct registers, control) == 580, "named in the assembly");

static void hold(const struct registers *in, struct registers *out, unsigned spins)
{
    unsigned plain = 0x1f80;

    if (have_avx)
        HOLD(LOAD_AVX, SAVE_AVX);
    else
        HOLD(LOAD_SSE, SAVE_SSE);
    asm volatile("ldmxcsr %0" ::"m"(plain));
}

static void pattern(struct registers *r, uint64_t seed)
{
    memset(r, 0, sizeof(*r));
    for (int i = 0; i < VECTORS; i++) {
        for (int j = 0; j < (have_avx ? 4 : 2); j++)
            r->vector[i][j] = check_random(&seed);
    }
    for (int i = 0; i < 8; i++)
        r->stack[i] = (double)(int64_t)(check_random(&seed) >> 20);
    r->mxcsr = 0x1f80 | (uint32_t)(seed & 3) << 13;     /* rounding */
    r->control = (uint16_t)(0x037f | (seed & 3) << 10); /* rounding */
}

static void *thread(void *argument)
{
    static const unsigned spin_counts[] = {1, 100, SPINS};
    struct registers in, out;
    uintptr_t bad = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        pattern(&in, ((uint64_t)(uintptr_t)argument + 1) * 1000003 + round);
        memset(&out, 0, sizeof(out));
        hold(&in, &out, spin_counts[round % 3]);
        bad += memcmp(&in, &out, sizeof(in)) != 0;
    }
    return (void *)bad;
}

static atomic_int interruptions;

/* A handler that uses the very registers it interrupts. */
static void scribble(int number)
{
    struct registers in, out;

    (void)number;
    pattern(&in, (uint64_t)atomic_fetch_add(&interruptions, 1) + 77);
    hold(&in, &out, 1);
}

static long run_threads(int threads)
{
    pthread_t handles[MAX_THREADS];
    long bad = 0;

    for (int i = 0; i < threads; i++) {
        if (pthread_create(&handles[i], NULL, thread, (void *)(uintptr_t)i))
            return -1;
    }
    for (int i = 0; i < threads; i++) {
        void *result;

        pthread_join(handles[i], &result);
        bad += (long)(uintptr_t)result;
    }
    return bad;
}

int main(void)
{
    int threads = 2 * check_cpus() + 1;
    struct itimerval every = {.it_interval.tv_usec = 5000, .it_value.tv_usec = 5000};
    long bad;

    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    have_avx = detect_avx();
    bad = run_threads(threads);
    check("switch", bad == 0, "%ld of %d wrong, %s, %d threads", bad, threads * ROUNDS,
          have_avx ? "AVX" : "SSE", threads);
    if (have_avx) {
        have_avx = 0;
        bad = run_threads(threads);
        check("switch-sse", bad == 0, "%ld of %d wrong", bad, threads * ROUNDS);
        have_avx = 1;
    }
    signal(SIGALRM, scribble);
    setitimer(ITIMER_REAL, &every, NULL);
    bad = run_threads(threads);
    every = (struct itimerval){0};
    setitimer(ITIMER_REAL, &every, NULL);
    check("signal", bad == 0 && interruptions > 3, "%ld wrong, %d interruptions", bad,
          (int)interruptions);
    return check_status();
}
