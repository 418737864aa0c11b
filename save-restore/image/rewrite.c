/* SPDX-License-Identifier: MIT */
/* Page tables between machine and guest frames; see rewrite.h. Nothing here knows where tables come from. */
#include "image/rewrite.h"

#include <stdio.h>

#define PRESENT    0x001ull
#define WRITABLE   0x002ull
#define BIT_7      0x080ull /* superpage at levels 2 and 3, reserved at 4, memory type at 1 */
#define FRAME_MASK 0x000ffffffffff000ull
#define SHIFT      12u

#define HYPERVISOR_FIRST 256u
#define HYPERVISOR_LAST  271u

struct job {
    unsigned level;
    const struct rewrite_frames *frames;
    bool to_gfn;
};

static bool is_hypervisors(const struct job *j, unsigned index)
{
    return j->level == 4 && index >= HYPERVISOR_FIRST && index <= HYPERVISOR_LAST;
}

/* Does the guest frame that an entry names suit it? */
static enum rewrite_problem check_target(const struct job *j, uint64_t entry, uint64_t gfn)
{
    unsigned level;

    if (!j->frames->level)
        return REWRITE_OK;
    level = j->frames->level(j->frames->context, gfn);
    if (j->level > 1)
        return level == j->level - 1 ? REWRITE_OK : REWRITE_LEVEL;
    return level && entry & WRITABLE ? REWRITE_WRITABLE : REWRITE_OK;
}

/* A present entry that is the guest's. */
static enum rewrite_problem translate(const struct job *j, uint64_t entry, uint64_t *out)
{
    uint64_t old = (entry & FRAME_MASK) >> SHIFT, new;

    if (j->level > 1 && entry & BIT_7)
        return REWRITE_SUPERPAGE;
    new = j->frames->lookup(j->frames->context, old);
    if (new > FRAME_MASK >> SHIFT) /* REWRITE_NONE is */
        return REWRITE_FOREIGN;
    *out = (entry & ~FRAME_MASK) | new << SHIFT;
    return check_target(j, entry, j->to_gfn ? new : old);
}

static enum rewrite_problem rewrite_entry(const struct job *j, unsigned index, uint64_t entry,
                                          uint64_t *out, struct rewrite_result *result)
{
    enum rewrite_problem problem;

    if (is_hypervisors(j, index)) {
        *out = 0;
        return j->to_gfn || !entry ? REWRITE_OK : REWRITE_HYPERVISOR;
    }
    *out = entry;
    if (!(entry & PRESENT))
        return REWRITE_OK;
    problem = translate(j, entry, out);
    if (problem == REWRITE_FOREIGN && j->to_gfn && j->level == 1 && j->frames->clear_foreign) {
        *out = 0;
        result->cleared++;
        return REWRITE_OK;
    }
    return problem;
}

static int rewrite(const struct job *j, const uint64_t *in, uint64_t *out,
                   struct rewrite_result *result)
{
    *result = (struct rewrite_result){.problem = REWRITE_BAD_LEVEL};
    if (j->level < 1 || j->level > 4)
        return -1;
    for (unsigned i = 0; i < REWRITE_ENTRIES; i++) {
        uint64_t entry = *(const volatile uint64_t *)&in[i];

        result->problem = rewrite_entry(j, i, entry, &out[i], result);
        if (result->problem == REWRITE_OK)
            continue;
        result->index = i;
        result->entry = entry;
        return -1;
    }
    return 0;
}

int rewrite_to_gfn(unsigned level, const uint64_t *in, uint64_t *out,
                   const struct rewrite_frames *frames, struct rewrite_result *result)
{
    const struct job j = {level, frames, true};

    return rewrite(&j, in, out, result);
}

int rewrite_to_mfn(unsigned level, const uint64_t *in, uint64_t *out,
                   const struct rewrite_frames *frames, struct rewrite_result *result)
{
    const struct job j = {level, frames, false};

    return rewrite(&j, in, out, result);
}

const char *rewrite_describe(const struct rewrite_result *result, char *text, size_t size)
{
    static const char *const why[] = {
        [REWRITE_OK] = "is sound",
        [REWRITE_SUPERPAGE] = "is a superpage, or has bit 7 where none may be",
        [REWRITE_FOREIGN] = "names a frame that is not the domain's",
        [REWRITE_LEVEL] = "names a page that is no table of the level below",
        [REWRITE_WRITABLE] = "maps a page table writable",
        [REWRITE_HYPERVISOR] = "stands in a slot that is the hypervisor's",
    };

    if (result->problem == REWRITE_BAD_LEVEL)
        snprintf(text, size, "no such level of page tables");
    else
        snprintf(text, size, "entry %u (%#llx) %s", result->index,
                 (unsigned long long)result->entry, why[result->problem]);
    return text;
}
