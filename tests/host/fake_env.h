/* SPDX-License-Identifier: MIT */
/*
 * The machine as the host tests make it: a few hundred frames, some CPUs with translation caches
 * that remember as long as they may, vCPUs as coroutines that a seeded chooser switches wherever
 * the memory core allows it, a guest buffer that copies may fail on, and two domains.
 */
#ifndef TESTS_HOST_FAKE_ENV_H
#define TESTS_HOST_FAKE_ENV_H

#include "../../mm/internal.h"
#include "abi/pal.h"
#include "mm/grant.h"
#include "mm/region.h"

#define FAKE_FRAMES  1024 /* frame numbers; the first is a hole, the last FAKE_IO are no RAM */
#define FAKE_IO      16
#define FAKE_CPUS    4 /* vCPU i of a domain runs on CPU i + its domain's offset */
#define FAKE_DOMAINS 3
#define FAKE_VCPUS   2

struct fake_domain {
    struct mm_domain mm;
    struct mm_vcpu vcpu[FAKE_VCPUS];
    bool present;
};
extern struct fake_domain fake_domains[FAKE_DOMAINS];

/* A fresh machine; domain 0 privileged, others not. max_pages for each. */
void fake_reset(uint64_t max_pages);
/* Grant tables for all domains, with these limits. */
void fake_grants(unsigned max_frames, unsigned max_maptrack);
struct mm_domain *fake_d(unsigned id);
struct mm_vcpu *fake_v(unsigned domain, unsigned vcpu);
/* The number of frames free right after fake_reset. */
uint64_t fake_free_at_start(void);

/* Guest memory for hypercall arguments: addresses in here are readable and writable, others fault.
 */
#define FAKE_BUFFER 65536
extern uint8_t fake_buffer[FAKE_BUFFER];
static inline uint64_t fake_va(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}
/* After this many bytes from the start the buffer faults (default: all of it is there). */
extern size_t fake_buffer_end;
/* Take all memory away, and give it back. */
void fake_exhaust(void);
void fake_unexhaust(void);

/* ---- translation caches ---- */

/* The guest on v's CPU accesses va: through what the CPU has cached, else by walking. A write
 * stores `value` into the frame. Returns the frame reached or MFN_NONE for a fault. */
mfn_t fake_touch(struct mm_vcpu *v, uint64_t va, bool write, uint64_t value);
unsigned fake_cached(void); /* translations held by all CPUs */
/* Count translations that must not be there any more (fake_violations). Called at every switch. */
void fake_check_caches(void);
/* To be called when no operation is under way. fake_audit returns disagreements; fake_check stops
 * on them and on violations. */
uint64_t fake_audit(void);
void fake_check(void);

extern unsigned fake_flushes; /* env_flush_since calls that flushed some CPU */
extern unsigned fake_guest_flushes;
extern uint64_t fake_random;      /* what env_random() goes on from */
extern bool fake_elide_flush;     /* break it: flushes do nothing */
extern unsigned fake_preemptions; /* preemption points passed */
extern unsigned fake_violations;  /* translations found that must not be there */
extern bool fake_quiet;           /* a test provokes disagreements: count them silently */
extern unsigned fake_errors_logged;
extern const char *fake_crash_reason;
extern enum env_iomem fake_io_access[FAKE_DOMAINS];

/* ---- coroutines ---- */

/* Run these operations, each on its own simulated CPU, switching by seed; returns when all are
 * done. */
struct fake_op {
    void (*run)(void *arg);
    void *arg;
};
void fake_run(const struct fake_op *ops, unsigned count, uint64_t seed);
/* A place where another operation may go on (yield_atomics.h puts one before every atomic access).
 */
void fake_yield(void);
/* Where the switches are decided by bytes (a fuzzer's) instead of a seed. */
extern const uint8_t *fake_choices;
extern size_t fake_choices_left;

#endif
