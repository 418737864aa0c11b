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
#define OWNER_XEN  ((uint16_t)0xfffd) /* shared by the hypervisor with a domain: shared info, grant frames; see `sharer` */
#define OWNER_IO   ((uint16_t)0xfffc) /* not RAM */

struct frame {
    uint64_t role;      /* the role word */
    uint32_t refs;      /* general references, REF_OWNED */
    uint16_t owner;     /* domain id or OWNER_* */
    uint16_t stamp_hi;  /* TLB clock when the last holder of the role went (48 bits) */
    uint32_t stamp_lo;
    uint32_t next;      /* list of the owner's frames (domain lock), or of free blocks; frame numbers */
    uint32_t prev;
    uint16_t cursor;    /* while busy: entries already validated / still held, for the audit */
    uint8_t order;      /* free block's order; of a shared frame: unused */
    uint8_t flags;      /* FRAME_* */
};
_Static_assert(sizeof(struct frame) == 32, "one entry a frame: keep it at half a cache line");

#define FRAME_RAM    0x01 /* the frame exists as RAM */
#define FRAME_DIRTY  0x02 /* holds a former owner's data: scrub before use */
#define FRAME_SHARED 0x04 /* OWNER_HV page that `sharer` may map (kept in next): shared info, grant frames */
#define FRAME_SHARED_RO 0x08 /* ... read-only */

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
/* Has an entry in the table and is RAM. */
bool frame_is_ram(mfn_t m);

static inline enum frame_role role_of(uint64_t word)
{
    return (enum frame_role)((word & ROLE_MASK) >> ROLE_SHIFT);
}
static inline uint64_t role_count(uint64_t word)
{
    return word & ROLE_COUNT_MASK;
}

struct mm_domain;

/* Take a general reference on a frame that d owns (or that is shared with it); NULL if not so. */
struct frame *frame_get(struct mm_domain *d, mfn_t m) __must_check;
/* Take another on a frame that one already holds; false at the limit. */
bool frame_get_again(struct frame *f) __must_check;
/* Drop one; the last one gives the frame back to the allocator. */
void frame_put(struct frame *f);

#endif
