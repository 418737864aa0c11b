/* SPDX-License-Identifier: MIT */
/* Roles: the pure transitions of the role word, and what they entail. */
#include "internal.h"

static struct role_step step(enum role_action action, uint64_t next)
{
    return (struct role_step){action, next};
}

/*
 * Who finds the frame busy waits if the wait is sure to end: for one who releases, or who claims
 * the same role, or who claims it for plain data (none of these waits for a frame of the same or a
 * higher level). A claim for another role is refused at once: two tables that name each other would
 * otherwise wait for each other.
 */
struct role_step role_next_get(uint64_t old, enum frame_role wanted)
{
    enum frame_role role = role_of(old);

    if (old & ROLE_BUSY) {
        bool ends = (old & ROLE_VALIDATED) || role == wanted || role == ROLE_WRITABLE;
        return step(ends ? ROLE_WAIT : ROLE_REFUSE, old);
    }
    if (role_count(old) == 0) {
        if (wanted == ROLE_WRITABLE && (role == ROLE_WRITABLE || role == ROLE_NONE))
            return step(ROLE_DONE, role_word(ROLE_WRITABLE, 1));
        return step(ROLE_CLAIM, role_word(wanted, 1) | ROLE_BUSY);
    }
    if (role != wanted || role_count(old) >= ROLE_COUNT_MAX)
        return step(ROLE_REFUSE, old);
    return step(ROLE_DONE, old + 1);
}

/* The last holder keeps its count while it is busy: it stamps the frame (and releases what a table
 * holds) before anybody can see a count of 0. */
struct role_step role_next_put(uint64_t old)
{
    if (role_count(old) == 0)
        return step(ROLE_REFUSE, old);
    if (role_count(old) > 1)
        return step(ROLE_DONE, old - 1);
    if (old & (ROLE_BUSY | ROLE_PINNED))
        return step(ROLE_REFUSE, old);
    if (old & ROLE_LOCKED)
        return step(ROLE_WAIT, old);
    return step(ROLE_RELEASE, old | ROLE_BUSY);
}

/* Most waits end within some hundred instructions of another CPU; long ones give the CPU away. */
static void wait_for_busy(unsigned *turns)
{
    if (++*turns % 128)
        spin_wait();
    else
        env_wait_turn();
}

/*
 * Whom a translation of the old role may have stayed with: CPUs that run the owner, unless others had the frame mapped to
 * write. (Tables are walked from their owner's roots only.)
 */
static void role_flush(const struct mm_domain *d, const struct frame *f)
{
    if (likely(f->owner == d->id) && d->id < DOMID_FIRST_RESERVED &&
        !(load_relaxed(&f->flags) & FRAME_FOREIGN))
        env_flush_domain_since(d, frame_stamp(f));
    else
        env_flush_since(frame_stamp(f));
}

/* f is busy and ours: make sure that nothing of the old role is left, then look at the content. */
static int claim(struct mm_domain *d, struct frame *f, enum frame_role was, enum frame_role wanted)
{
    int rc = 0;

    if (was != wanted && was != ROLE_NONE)
        role_flush(d, f);
    f->cursor = 0;
    if (role_is_table(wanted))
        rc = table_validate(d, f, (unsigned)wanted - ROLE_L1 + 1);
    else if (wanted == ROLE_DESC)
        rc = desc_validate(f);
    if (rc) {
        /* Nobody used it in the wanted role; unless that was the old one too, nothing is stale. */
        store_release(&f->role, role_word(was == wanted ? was : ROLE_NONE, 0));
        return rc;
    }
    store_release(&f->role, role_word(wanted, 1) | (wanted == ROLE_WRITABLE ? 0 : ROLE_VALIDATED));
    return 0;
}

int role_get(struct mm_domain *d, struct frame *f, enum frame_role wanted)
{
    uint64_t old = load_relaxed(&f->role);
    unsigned turns = 0;

    for (;;) {
        struct role_step s = role_next_get(old, wanted);

        if (s.action == ROLE_REFUSE)
            return -XEN_EBUSY;
        if (s.action == ROLE_WAIT) {
            wait_for_busy(&turns);
            old = load_relaxed(&f->role);
            continue;
        }
        if (!compare_exchange(&f->role, &old, s.next))
            continue;
        return likely(s.action == ROLE_DONE) ? 0 : claim(d, f, role_of(old), wanted);
    }
}

bool role_try_get(struct frame *f, enum frame_role wanted)
{
    uint64_t old = load_relaxed(&f->role);

    for (;;) {
        struct role_step s = role_next_get(old, wanted);

        if (s.action != ROLE_DONE)
            return false;
        if (compare_exchange(&f->role, &old, s.next))
            return true;
    }
}

/* f is busy and ours, its only holder is leaving. */
static void release(struct frame *f, enum frame_role role)
{
    if (role_is_table(role))
        table_release(f, (unsigned)role - ROLE_L1 + 1, PTE_ENTRIES);
    frame_set_stamp(f, env_tlb_now());
    store_release(&f->role, role_word(role, 0));
}

void role_put(struct frame *f)
{
    uint64_t old = load_relaxed(&f->role);

    for (;;) {
        struct role_step s = role_next_put(old);

        if (s.action == ROLE_WAIT) {
            spin_wait();
            old = load_relaxed(&f->role);
            continue;
        }
        CHECK(s.action != ROLE_REFUSE);
        if (!compare_exchange(&f->role, &old, s.next))
            continue;
        if (s.action == ROLE_RELEASE)
            release(f, role_of(old));
        return;
    }
}

int frame_get_role(struct mm_domain *d, mfn_t m, enum frame_role wanted, struct frame **out)
{
    struct frame *f = frame_get(d, m);
    int rc;

    if (unlikely(!f))
        return -XEN_EINVAL;
    /* Pages that the hypervisor writes too are no tables. */
    if (unlikely(f->owner != d->id) && wanted != ROLE_WRITABLE)
        rc = -XEN_EINVAL;
    else
        rc = role_get(d, f, wanted);
    if (unlikely(rc)) {
        frame_put(f);
        return rc;
    }
    if (out)
        *out = f;
    return 0;
}

void frame_put_role(struct frame *f)
{
    role_put(f);
    frame_put(f);
}
