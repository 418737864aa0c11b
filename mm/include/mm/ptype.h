/* SPDX-License-Identifier: MIT */
/*
 * Roles of frames: claim, then flush, then look.
 *
 * role_next_get / role_next_put are the pure transitions of the role word; the functions below them
 * carry out the effects (flush, validate, release).
 */
#ifndef MM_PTYPE_H
#define MM_PTYPE_H

#include "base/spinlock.h"
#include "mm/frame.h"

enum role_action {
    ROLE_DONE,  /* next is to be stored, nothing else to do */
    ROLE_CLAIM, /* next (busy) is to be stored; then flush, then validate if a table; then finish */
    ROLE_RELEASE, /* next (busy) is to be stored; then release what a table refers to, then stamp; then finish */
    ROLE_WAIT,   /* somebody is changing it: wait and look again */
    ROLE_REFUSE, /* held in another role, or the count is full */
};
struct role_step {
    enum role_action action;
    uint64_t next;
};
struct role_step role_next_get(uint64_t old, enum frame_role wanted);
struct role_step role_next_put(uint64_t old);

static inline bool role_is_table(enum frame_role role)
{
    return role >= ROLE_L1 && role <= ROLE_L4;
}
/* 1..4 for a validated table that nobody is releasing, else 0. */
static inline unsigned role_table_level(uint64_t word)
{
    unsigned level = (unsigned)role_of(word) - ROLE_L1; /* from 0; large when it is none */

    return (word & (ROLE_VALIDATED | ROLE_BUSY)) == ROLE_VALIDATED && level < 4 ? level + 1 : 0;
}
static inline uint64_t role_word(enum frame_role role, uint64_t count)
{
    return ((uint64_t)role << ROLE_SHIFT) | count;
}

/*
 * Take one count of `wanted` on a frame on which the caller holds a general reference and which d
 * owns. May wait and be preempted (call with no lock held). 0; -EBUSY: held in another role;
 * or its count is full; another error: content not legal for the role. `d` is the domain in whose name
 * table entries are checked.
 */
int role_get(struct mm_domain *d, struct frame *f, enum frame_role wanted) __must_check;
/* Drop one. The last one of a table releases all that its entries hold. May be preempted. */
void role_put(struct frame *f);
/* Take one if that needs no waiting, flushing or validating. Short. */
bool role_try_get(struct frame *f, enum frame_role wanted) __must_check;

/* frame_get and role_get in one, and their inverse. */
int frame_get_role(struct mm_domain *d, mfn_t m, enum frame_role wanted,
                   struct frame **out) __must_check;
void frame_put_role(struct frame *f);

/* role_try_get for plain data, when it is in that role already (or was last): one step of role_next_get. */
static inline bool role_try_get_writable(struct frame *f)
{
    const uint64_t idle = role_word(ROLE_WRITABLE, 0);
    uint64_t old = load_relaxed(&f->role);

    do {
        if ((old & ~ROLE_COUNT_MASK) != idle || role_count(old) >= ROLE_COUNT_MAX)
            return role_try_get(f, ROLE_WRITABLE);
    } while (!compare_exchange(&f->role, &old, old + 1));
    return true;
}

/* Entry lock of a validated table of that level owned by `owner`: short, spins, never across a preemption
 * point. False (not locked) when the frame is not such a table. While it is locked it stays one. */
static inline void table_unlock(struct frame *f)
{
    fetch_and(&f->role, ~ROLE_LOCKED);
}
static inline __must_check bool table_lock(struct frame *f, unsigned level, uint16_t owner)
{
    const uint64_t looked_at = ROLE_MASK | ROLE_VALIDATED | ROLE_BUSY;
    const uint64_t wanted = role_word((enum frame_role)(ROLE_L1 + level - 1), 0) | ROLE_VALIDATED;
    uint64_t old = load_relaxed(&f->role);

    for (;;) {
        if (unlikely((old & looked_at) != wanted))
            return false;
        if (unlikely(old & ROLE_LOCKED)) {
            spin_wait();
            old = load_relaxed(&f->role);
            continue;
        }
        if (likely(compare_exchange(&f->role, &old, old | ROLE_LOCKED)))
            break;
    }
    /* A validated table has holders, so it has an owner; locked, it keeps both. */
    if (likely(f->owner == owner))
        return true;
    table_unlock(f);
    return false;
}

#endif
