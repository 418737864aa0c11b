/* SPDX-License-Identifier: MIT */
/* General references. */
#include "internal.h"

struct frame *frame_table;
uint64_t frame_count;

#define REFS_OWNED ((uint32_t)REF_OWNED)
#define REFS_COUNT (~REFS_OWNED)

/* One more reference, if `required` bits are set and there are any. */
static inline bool get_ref(struct frame *f, uint32_t required)
{
    uint32_t old = load_relaxed(&f->refs);

    do {
        if ((old & required) != required || (old & REFS_COUNT) == 0 ||
            (old & REFS_COUNT) >= REF_COUNT_MAX)
            return false;
    } while (!compare_exchange(&f->refs, &old, old + 1));
    return true;
}

static inline bool is_for(const struct frame *f, const struct mm_domain *d)
{
    uint16_t owner = load_relaxed(&f->owner);

    return likely(owner == d->id) || (owner == OWNER_XEN && f->next == d->id);
}

struct frame *frame_get(struct mm_domain *d, mfn_t m)
{
    struct frame *f;

    if (unlikely(!frame_is_ram(m) || load_relaxed(&d->dying)))
        return NULL;
    f = frame_of(m);
    if (unlikely(!is_for(f, d)) || unlikely(!get_ref(f, REFS_OWNED)))
        return NULL;
    /* The frame may have gone and come back as another's before the reference held it fast. */
    if (unlikely(!is_for(f, d))) {
        frame_put(f);
        return NULL;
    }
    return f;
}

struct frame *frame_get_held(uint16_t owner, mfn_t m)
{
    struct frame *f;

    if (!frame_is_ram(m))
        return NULL;
    f = frame_of(m);
    if (load_relaxed(&f->owner) != owner || !get_ref(f, 0))
        return NULL;
    if (load_relaxed(&f->owner) != owner) {
        frame_put(f);
        return NULL;
    }
    return f;
}

bool frame_get_again(struct frame *f)
{
    return get_ref(f, 0);
}

void frame_put(struct frame *f)
{
    uint32_t old = fetch_sub(&f->refs, 1);

    DCHECK((old & REFS_COUNT) != 0);
    if (unlikely((old & REFS_COUNT) == 1)) {
        CHECK_EQ(old & REFS_OWNED, 0);
        palloc_free_frame(f);
    }
}

bool frame_disown(struct frame *f)
{
    uint32_t old = load_relaxed(&f->refs);

    do {
        if (!(old & REFS_OWNED))
            return false;
        CHECK_LT(1, old & REFS_COUNT);
    } while (!compare_exchange(&f->refs, &old, (old & ~REFS_OWNED) - 1));
    return true;
}
