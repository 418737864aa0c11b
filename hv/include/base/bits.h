/* SPDX-License-Identifier: MIT */
/* Bits, bitmaps and atomics over the compiler's own builtins. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include "base/types.h"

#define BIT(n) (1ull << (n))

#define load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define fetch_add(p, v)     __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define fetch_sub(p, v)     __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST)
#define fetch_or(p, v)      __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define fetch_and(p, v)     __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)
#define exchange(p, v)      __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
/* *p == *expected ? *p = v : *expected = *p; true when stored. */
#define compare_exchange(p, expected, v)                                                           \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define full_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

static inline unsigned lowest_bit(uint64_t x)
{
    return (unsigned)__builtin_ctzll(x);
}
static inline unsigned highest_bit(uint64_t x)
{
    return 63u - (unsigned)__builtin_clzll(x);
}

/* Bitmaps: arrays of 64-bit words. The atomic forms return the old value of the bit. */
static inline bool bit_test(const uint64_t *map, unsigned n)
{
    return (load_relaxed(&map[n / 64]) >> (n % 64)) & 1;
}
static inline bool bit_test_and_set(uint64_t *map, unsigned n)
{
    return (fetch_or(&map[n / 64], BIT(n % 64)) >> (n % 64)) & 1;
}
static inline bool bit_test_and_clear(uint64_t *map, unsigned n)
{
    return (fetch_and(&map[n / 64], ~BIT(n % 64)) >> (n % 64)) & 1;
}
/* First zero bit in [from, limit), or limit. */
static inline unsigned bit_find_zero(const uint64_t *map, unsigned from, unsigned limit)
{
    while (from < limit && bit_test(map, from))
        from++;
    return from;
}

#endif
