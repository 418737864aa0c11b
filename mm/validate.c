/* SPDX-License-Identifier: MIT */
/*
 * Whole tables: take all that their entries hold, or drop it. The frame is busy and the caller's,
 * so that its content stands still (but for what the hardware notes in accessed and dirty bits).
 */
#include "internal.h"

#define BLOCK 16 /* most tables are mostly empty: zero entries are skipped by the block */

/* Spelled out: this is most of the work on most tables, and the compiler would loop. */
static inline bool block_is_zero(const pte_t *t)
{
    return (t[0] | t[1] | t[2] | t[3] | t[4] | t[5] | t[6] | t[7] | t[8] | t[9] | t[10] | t[11] |
            t[12] | t[13] | t[14] | t[15]) == 0;
}
_Static_assert(BLOCK == 16, "block_is_zero looks at 16 entries");

/* Blocks of a top-level table that are the hypervisor's. */
static inline bool block_is_ours(unsigned level, unsigned index)
{
    return level == 4 && index == HV_SLOT_FIRST;
}
_Static_assert(HV_SLOT_LAST + 1 - HV_SLOT_FIRST == BLOCK && HV_SLOT_FIRST % BLOCK == 0,
               "the hypervisor's slots are one block");

int table_validate(struct mm_domain *d, struct frame *f, unsigned level)
{
    pte_t *t = env_frame(frame_mfn(f));

    for (unsigned base = 0; base < PTE_ENTRIES; base += BLOCK) {
        if (base && base % MM_STRIDE == 0) {
            f->cursor = (uint16_t)base;
            env_preempt_point();
        }
        if (block_is_ours(level, base) || block_is_zero(t + base))
            continue;
        for (unsigned i = base; i < base + BLOCK; i++) {
            pte_t found = t[i], e = found;
            int rc;

            if (!(e & PTE_P))
                continue;
            f->cursor = (uint16_t)i;
            rc = entry_check(&e, level);
            if (likely(!rc))
                rc = entry_get(d, d, level, &e);
            if (unlikely(rc)) {
                table_release(f, level, i);
                return rc;
            }
            if (e != found)
                t[i] = e;
        }
    }
    if (level == 4)
        env_fill_root(d, t);
    f->cursor = PTE_ENTRIES;
    return 0;
}

void table_release(struct frame *f, unsigned level, unsigned entries)
{
    pte_t *t = env_frame(frame_mfn(f));
    unsigned end = entries;

    while (end) {
        unsigned base = (end - 1) / BLOCK * BLOCK;

        if (!block_is_ours(level, base) && !block_is_zero(t + base)) {
            for (unsigned i = end; i-- > base;) {
                f->cursor = (uint16_t)i;
                if (t[i] & PTE_P)
                    entry_put(level, t[i]);
            }
        }
        end = base;
        f->cursor = (uint16_t)end;
        if (end && end % MM_STRIDE == 0)
            env_preempt_point();
    }
    /* The frame will be the guest's data: our entries are not for it to read. */
    if (level == 4 && entries == PTE_ENTRIES)
        memset(t + HV_SLOT_FIRST, 0, BLOCK * sizeof(pte_t));
}
