/* SPDX-License-Identifier: MIT */
/*
 * Page tables between machine frames and guest frames: pure functions on one page of 512 entries.
 *
 * An entry that is not present is kept bit by bit: it names no frame (a paravirtual Linux writes its
 * own numbers there). A present entry keeps its flags (bits 0..11 and 52..63); its frame number (bits
 * 12..51) is looked up. Refused are, with the entry and why: superpages (bit 7 at level 2 and 3) and
 * bit 7 at level 4; frames that are not the domain's (unless they are to be cleared: rewrite_to_gfn);
 * an entry of level 2..4 whose target is not a table one level lower, which covers tables that name
 * themselves; a writable level-1 entry that names a table. Slots 256..271 of level 4 are the
 * hypervisor's: rewrite_to_gfn() zeroes them, rewrite_to_mfn() refuses anything but zero there.
 */
#ifndef IMAGE_REWRITE_H
#define IMAGE_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REWRITE_ENTRIES 512u
#define REWRITE_NONE    UINT64_MAX /* of a lookup: not a frame of the domain */

enum rewrite_problem {
    REWRITE_OK,
    REWRITE_SUPERPAGE,  /* bit 7 in an entry of level 2, 3 or 4 */
    REWRITE_FOREIGN,    /* the frame is not the domain's */
    REWRITE_LEVEL,      /* the target is not a table of the level below */
    REWRITE_WRITABLE,   /* a table would be mapped writable */
    REWRITE_HYPERVISOR, /* something stands in the hypervisor's slots */
    REWRITE_BAD_LEVEL,  /* of the call: not 1..4 */
};

/* How frames are found. */
struct rewrite_frames {
    void *context;
    /* The other number of a frame (gfn of an mfn, or the reverse), or REWRITE_NONE. */
    uint64_t (*lookup)(void *context, uint64_t frame);
    /*
     * The level (1..4) of the table that a guest frame is, 0 if none. NULL: levels are not checked
     * (where the hypervisor will do it anyway).
     */
    unsigned (*level)(void *context, uint64_t gfn);
    /* rewrite_to_gfn(): a level-1 entry with a foreign frame becomes zero and is counted. */
    bool clear_foreign;
};

struct rewrite_result {
    enum rewrite_problem problem;
    unsigned index;   /* of the entry at fault */
    uint64_t entry;   /* that entry, as it was read */
    unsigned cleared; /* foreign entries that were cleared */
};

/*
 * One table. in and out may be the same; each entry of `in` is read once. Returns 0, or -1 with
 * *result saying why (out is then partly written and not to be used).
 */
int rewrite_to_gfn(unsigned level, const uint64_t *in, uint64_t *out,
                   const struct rewrite_frames *frames, struct rewrite_result *result);
int rewrite_to_mfn(unsigned level, const uint64_t *in, uint64_t *out,
                   const struct rewrite_frames *frames, struct rewrite_result *result);

/* "entry 7 (0x...067) names a frame that is not the domain's": for messages. */
const char *rewrite_describe(const struct rewrite_result *result, char *text, size_t size);

#endif
