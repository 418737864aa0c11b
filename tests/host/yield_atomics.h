/* SPDX-License-Identifier: MIT */
/*
 * Included before everything else (-include) when mm/ is built for the race tests and the fuzzer:
 * before every atomic access another vCPU may run. The sources themselves know nothing of it.
 */
#ifndef TESTS_HOST_YIELD_ATOMICS_H
#define TESTS_HOST_YIELD_ATOMICS_H

#include "base/bits.h"
#include "base/string.h"

void fake_yield(void);

/* Whole pages are copied piece by piece, as others see it. */
static inline void *fake_copy(void *to, const void *from, size_t n)
{
    for (size_t at = 0; at < n; at += 1024) {
        if (n > 1024)
            fake_yield();
        __builtin_memcpy((char *)to + at, (const char *)from + at, min(n - at, (size_t)1024));
    }
    return to;
}
#undef memcpy
#define memcpy(to, from, n) fake_copy(to, from, n)

#undef WRITE_ONCE
#define WRITE_ONCE(x, v) (fake_yield(), (void)(*(volatile __typeof__(x) *)&(x) = (v)))
#undef load_acquire
#undef load_relaxed
#undef store_release
#undef fetch_add
#undef fetch_sub
#undef fetch_or
#undef fetch_and
#undef compare_exchange
#define load_acquire(p)     (fake_yield(), __atomic_load_n((p), __ATOMIC_SEQ_CST))
#define load_relaxed(p)     (fake_yield(), __atomic_load_n((p), __ATOMIC_SEQ_CST))
#define store_release(p, v) (fake_yield(), __atomic_store_n((p), (v), __ATOMIC_SEQ_CST))
#define fetch_add(p, v)     (fake_yield(), __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST))
#define fetch_sub(p, v)     (fake_yield(), __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST))
#define fetch_or(p, v)      (fake_yield(), __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
#define fetch_and(p, v)     (fake_yield(), __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST))
#define compare_exchange(p, expected, v)                                                           \
    (fake_yield(),                                                                                 \
     __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
/* Functions of base/bits.h, which know nothing of the above. */
#define bit_test_and_set(map, n)   (fake_yield(), (bit_test_and_set)((map), (n)))
#define bit_test_and_clear(map, n) (fake_yield(), (bit_test_and_clear)((map), (n)))

#endif
