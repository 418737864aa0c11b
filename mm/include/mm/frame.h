/* SPDX-License-Identifier: MIT */
/*
 * The frame table: one entry a machine frame. See mm/README.md for the theory.
 *
 * The role word (struct frame.role), 64 bits:
 *
 *    0..31  count      how many hold the frame in its role; refuses at ROLE_COUNT_MAX, never wraps
 *   32..35  role       enum frame_role; stays when the count falls to 0 (tells whether a flush is due)
 *   36      validated  the content was looked at and is legal for the role
 *   37      busy       one vCPU is changing role, validating or releasing; others wait
 *   38      pinned     the domain asked to keep it validated (holds one count and one reference)
 *   39      locked     entry lock: one CPU is changing an entry of this table
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include "base/bits.h"
#include "base/check.h"
#include "base/types.h"

enum frame_role {
    ROLE_NONE,
    ROLE_WRITABLE,
    ROLE_L1,
    ROLE_L2,
    ROLE_L3,
    ROLE_L4,
    ROLE_DESC, /* GDT or LDT page */
};

#define ROLE_COUNT_MASK 0xffffffffull
#define ROLE_COUNT_MAX  0x7fffffffull
#define ROLE_SHIFT      32
#define ROLE_MASK       (0xfull << ROLE_SHIFT)
#define ROLE_VALIDATED  BIT(36)
#define ROLE_BUSY       BIT(37)
#define ROLE_PINNED     BIT(38)
#define ROLE_LOCKED     BIT(39)

/* refs: general references. The domain that owns the frame holds one of them (REF_OWNED is set and
 * counted). At 0 the frame goes back to the allocator. */
#define REF_OWNED     BIT(31)
#define REF_COUNT_MAX 0x7ffffff0u

/* owner: a domain id below DOMID_FIRST_RESERVED, or one of these. */
#define OWNER_FREE ((uint16_t)0xffff) /* in the allocator */
#define OWNER_HV   ((uint16_t)0xfffe) /* hypervisor heap, image, tables: nobody's to map */
#define OWNER_XEN                                                                                  \
    ((uint16_t)0xfffd) /* hypervisor's page that the domain in `next` may map (palloc_share) */
#define OWNER_IO ((uint16_t)0xfffc) /* not RAM */

struct frame {
    uint64_t role;     /* the role word */
    uint32_t refs;     /* general references, REF_OWNED */
    uint16_t owner;    /* domain id or OWNER_* */
    uint16_t stamp_hi; /* TLB clock when the last holder of the role went (48 bits) */
    uint32_t stamp_lo;
    uint32_t next; /* ring of the owner's frames (domain lock), list of free blocks, or sharer */
    uint32_t prev;
    uint16_t
        cursor; /* while busy: entries already validated / still held; heap page: objects in use */
    uint8_t order; /* free block's order; heap page: its class or order */
    uint8_t flags; /* FRAME_* */
};
_Static_assert(sizeof(struct frame) == 32, "one entry a frame: keep it at half a cache line");

#define FRAME_RAM       0x01 /* the frame exists as RAM */
#define FRAME_DIRTY     0x02 /* free block: some of it had an owner since boot */
#define FRAME_HEAD      0x04 /* first frame of a free block of `order` */
#define FRAME_SHARED_RO 0x08 /* OWNER_XEN: may be mapped read-only only */
#define FRAME_SLAB      0x10 /* heap page cut into objects (heap.c) */
#define FRAME_SEEN      0x20 /* the audit's mark: on its owner's list */
#define FRAME_FOREIGN                                                                              \
    0x80 /* since it was handed out, another than its owner has had it mapped to write */
#define FRAME_CACHED 0x40 /* free, captured by the buffer cache (bufcache.c) */

extern struct frame *frame_table;
extern uint64_t frame_count; /* frame numbers below this have an entry (holes: FRAME_RAM clear) */

static inline struct frame *frame_of(mfn_t m)
{
    return &frame_table[m.n];
}
static inline mfn_t frame_mfn(const struct frame *f)
{
    return mfn((uint64_t)(f - frame_table));
}
/* Has an entry in the table and is RAM. The answer never changes after boot. */
static inline bool frame_is_ram(mfn_t m)
{
    return m.n < frame_count && (frame_table[m.n].flags & FRAME_RAM);
}
/* The TLB clock's value kept in the frame. */
static inline uint64_t frame_stamp(const struct frame *f)
{
    return ((uint64_t)f->stamp_hi << 32) | f->stamp_lo;
}
static inline void frame_set_stamp(struct frame *f, uint64_t stamp)
{
    f->stamp_lo = (uint32_t)stamp;
    f->stamp_hi = (uint16_t)(stamp >> 32);
}

static inline enum frame_role role_of(uint64_t word)
{
    return (enum frame_role)((word & ROLE_MASK) >> ROLE_SHIFT);
}
static inline uint64_t role_count(uint64_t word)
{
    return word & ROLE_COUNT_MASK;
}

struct mm_domain;

/* Take a general reference on a frame that d owns (or that is shared with it); NULL if not so, if the
 * owner has given it back already, or if d is dying. Short. */
struct frame *frame_get(struct mm_domain *d, mfn_t m) __must_check;
/* The same for any frame whose owner is `owner`, given back or not. Short. */
struct frame *frame_get_held(uint16_t owner, mfn_t m) __must_check;
/* The owner gives the frame back: drops REF_OWNED and its reference; false when it was dropped before.
 * The caller has another reference. */
bool frame_disown(struct frame *f);
/* Take another on a frame that one already holds; false at the limit. */
bool frame_get_again(struct frame *f) __must_check;
/* Drop one; the last one gives the frame back to the allocator. */
void frame_put(struct frame *f);

#endif
