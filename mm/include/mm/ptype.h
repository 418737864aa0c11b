/* SPDX-License-Identifier: MIT */
/*
 * Roles of frames: claim, then flush, then look.
 *
 * role_next_get / role_next_put are the pure transitions of the role word; the functions below them
 * carry out the effects (flush, validate, release).
 */
#ifndef MM_PTYPE_H
#define MM_PTYPE_H

#include "mm/frame.h"

enum role_action {
    ROLE_DONE,     /* next is to be stored, nothing else to do */
    ROLE_CLAIM,    /* next (busy) is to be stored; then flush, then validate if a table; then finish */
    ROLE_RELEASE,  /* next (busy) is to be stored; then release what the table refers to; then finish */
    ROLE_WAIT,     /* somebody is changing it: wait and look again */
    ROLE_REFUSE,   /* held in another role, or the count is full */
};
struct role_step {
    enum role_action action;
    uint64_t next;
};
struct role_step role_next_get(uint64_t old, enum frame_role wanted);
struct role_step role_next_put(uint64_t old);

/*
 * Take one count of `wanted` on a frame on which the caller holds a general reference and which d
 * owns. May wait and be preempted (call with no lock held). 0; -EBUSY: held in another role;
 * -EINVAL: content not legal for the role; -EOVERFLOW... as -EBUSY for guests. `d` is the domain in
 * whose name table entries are checked.
 */
int role_get(struct mm_domain *d, struct frame *f, enum frame_role wanted) __must_check;
/* Drop one. The last one of a table releases all that its entries hold. May be preempted. */
void role_put(struct mm_domain *d, struct frame *f);

/* frame_get and role_get in one, and their inverse. */
int frame_get_role(struct mm_domain *d, mfn_t m, enum frame_role wanted, struct frame **out)
    __must_check;
void frame_put_role(struct mm_domain *d, struct frame *f);

/* Add / drop a count of a role that the caller knows is held already (no validation, no wait). */
bool role_get_again(struct frame *f) __must_check;

/* Entry lock of a validated table: short, spins, never across a preemption point. */
void table_lock(struct frame *f);
void table_unlock(struct frame *f);

#endif
