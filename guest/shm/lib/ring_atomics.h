/* SPDX-License-Identifier: MIT */
/* Every access to the shared lines. Tests that search for lost wake-ups put their own in place of this file. */
#ifndef SHM_RING_ATOMICS_H
#define SHM_RING_ATOMICS_H

#define ring_load(p)        __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define ring_store(p, v)    __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define ring_fence()        __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define ring_copy(to, f, n) memcpy((to), (f), (n))

#endif
