/* SPDX-License-Identifier: MIT */
/*
 * Ticket lock: fair, so that one domain's hammering never starves another. The hypervisor runs with
 * interrupts off, so there is no irq-saving form. A waiter serves pending TLB flushes while it
 * spins (spin_wait), so a holder may flush other CPUs under a lock.
 */
#ifndef BASE_SPINLOCK_H
#define BASE_SPINLOCK_H

#include "base/bits.h"
#include "base/check.h"

typedef struct spinlock {
    uint32_t next;    /* ticket to hand out */
    uint32_t serving; /* ticket that owns the lock */
} spinlock_t;

#define SPINLOCK_INIT                                                                              \
    {                                                                                              \
        0, 0                                                                                       \
    }

/* One turn of a waiting loop; given by the machine (hv/x86) or by the host test's fake seam. */
void spin_wait(void);

static inline void spin_init(spinlock_t *l)
{
    l->next = l->serving = 0;
}
static inline void spin_lock(spinlock_t *l)
{
    uint32_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
    while (load_acquire(&l->serving) != ticket)
        spin_wait();
}
static inline bool spin_trylock(spinlock_t *l)
{
    uint32_t s = load_acquire(&l->serving), expected = s;
    return __atomic_compare_exchange_n(&l->next, &expected, s + 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}
static inline void spin_unlock(spinlock_t *l)
{
    store_release(&l->serving, l->serving + 1);
}
static inline bool spin_is_locked(const spinlock_t *l)
{
    return load_relaxed(&l->next) != load_relaxed(&l->serving);
}

#endif
