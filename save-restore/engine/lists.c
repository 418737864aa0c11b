/* SPDX-License-Identifier: MIT */
#include "engine/lists.h"

#include <string.h>
#include <sys/mman.h>

#define ENTRIES      512u
#define PRESENT      1ull
#define ENTRY_FRAME  0x000ffffffffff000ull
#define NO_FRAME     (~0ull)
#define FOREIGN_BIT  (1ull << 63) /* of Linux: another domain's frame, mapped for a while */
#define IDENTITY_BIT (1ull << 62) /* of Linux: no memory, the machine's own address */

/* A page that stands for many numbers without frames: there is nothing to rewrite in it. */
#define TYPE_SHARED 0x80

/* ---- reading tables and lists ---- */

struct walk {
    struct frames *f;
    struct pal_hv *hv;
    uint32_t domain;
    uint64_t mfn[5];         /* by level (0: a list), of what is mapped */
    const uint64_t *page[5]; /* NULL: nothing */
};

static const uint64_t *look_at(struct walk *w, unsigned level, uint64_t mfn, struct pal_error *e)
{
    if (w->page[level] && w->mfn[level] == mfn)
        return w->page[level];
    if (w->page[level])
        xenforeignmemory_unmap(w->hv->memory, (void *)w->page[level], 1);
    w->page[level] = frames_map_mfn(w->hv, w->domain, PROT_READ, mfn, e);
    w->mfn[level] = mfn;
    return w->page[level];
}

static void walk_end(struct walk *w)
{
    for (unsigned i = 0; i < 5; i++) {
        if (w->page[i])
            xenforeignmemory_unmap(w->hv->memory, (void *)w->page[i], 1);
    }
}

static void mark_leaf(struct frames *f, uint64_t mfn)
{
    uint64_t gfn = frames_to_gfn(f, mfn);

    if (gfn == REWRITE_NONE)
        return;
    if (f->type[gfn] == IMAGE_NORMAL)
        f->type[gfn] = IMAGE_LIST;
    else if (f->type[gfn] == IMAGE_LIST)
        f->type[gfn] = TYPE_SHARED;
}

static void mark_list(struct frames *f, uint64_t mfn)
{
    uint64_t gfn = frames_to_gfn(f, mfn);

    if (gfn != REWRITE_NONE && f->type[gfn] == IMAGE_NORMAL)
        f->type[gfn] = IMAGE_LIST;
}

static bool is_table(struct frames *f, uint64_t mfn, unsigned level)
{
    uint64_t gfn = frames_to_gfn(f, mfn);

    return gfn != REWRITE_NONE && frames_level(f, gfn) == level;
}

/* ---- the list as the guest maps it ---- */

/* The entry for an address, or 0 with *span set to the bytes that are not mapped. -1: an error. */
static int find_leaf(struct walk *w, uint64_t root, uint64_t va, uint64_t *entry, uint64_t *span,
                     struct pal_error *e)
{
    uint64_t mfn = root;

    for (unsigned level = 4; level >= 1; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        const uint64_t *table;

        *span = 1ull << shift;
        *entry = 0;
        if (!is_table(w->f, mfn, level))
            return 0;
        table = look_at(w, level, mfn, e);
        if (!table)
            return -1;
        *entry = table[va >> shift & (ENTRIES - 1)];
        if (!(*entry & PRESENT)) {
            *entry = 0;
            return 0;
        }
        mfn = (*entry & ENTRY_FRAME) >> PAL_PAGE_SHIFT;
    }
    return 0;
}

static int find_linear(struct walk *w, const struct shared_info *s, struct pal_error *e)
{
    uint64_t va = s->arch.p2m_vaddr, end = va + w->f->count * sizeof(uint64_t), entry, span;

    if (va % PAL_PAGE_SIZE || end < va)
        return 0;
    while (va < end) {
        if (find_leaf(w, xen_cr3_to_pfn(s->arch.p2m_cr3), va, &entry, &span, e))
            return -1;
        if (entry)
            mark_leaf(w->f, (entry & ENTRY_FRAME) >> PAL_PAGE_SHIFT);
        if ((va & ~(span - 1)) + span < va)
            break;
        va = (va & ~(span - 1)) + span;
    }
    return 0;
}

/* ---- the list as a tree of frames ---- */

static int find_tree(struct walk *w, uint64_t top_mfn, bool leaves, struct pal_error *e)
{
    uint64_t lists = (w->f->count + ENTRIES - 1) / ENTRIES, done = 0;
    const uint64_t *top, *mid;

    if (frames_to_gfn(w->f, top_mfn) == REWRITE_NONE)
        return 0;
    mark_list(w->f, top_mfn);
    top = look_at(w, 4, top_mfn, e);
    for (unsigned i = 0; top && i < ENTRIES && done < lists; i++) {
        uint64_t mid_mfn = top[i];

        if (frames_to_gfn(w->f, mid_mfn) == REWRITE_NONE) {
            done += ENTRIES;
            continue;
        }
        mark_list(w->f, mid_mfn);
        mid = leaves ? look_at(w, 3, mid_mfn, e) : NULL;
        if (leaves && !mid)
            return -1;
        for (unsigned j = 0; j < ENTRIES && done < lists; j++, done++) {
            if (mid)
                mark_leaf(w->f, mid[j]);
        }
    }
    return top ? 0 : -1;
}

int lists_find(struct frames *f, struct pal_hv *hv, uint32_t domain, const struct shared_info *s,
               struct pal_error *e)
{
    struct walk w = {.f = f, .hv = hv, .domain = domain};
    bool linear = s->arch.p2m_cr3 != 0;
    int rc = linear ? find_linear(&w, s, e) : 0;

    if (!rc)
        rc = find_tree(&w, s->arch.pfn_to_mfn_frame_list_list, !linear, e);
    walk_end(&w);
    for (uint64_t gfn = 0; gfn < f->count; gfn++) {
        if (f->type[gfn] == TYPE_SHARED)
            f->type[gfn] = IMAGE_NORMAL;
    }
    return rc;
}

/* ---- rewriting ---- */

static bool is_special(uint64_t entry)
{
    return entry & (FOREIGN_BIT | IDENTITY_BIT);
}

void list_to_gfn(const struct frames *f, const uint64_t *in, uint64_t *out)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t entry = in[i], gfn;

        if (is_special(entry)) {
            /* What another domain's frame was means nothing elsewhere. */
            out[i] = entry == NO_FRAME || entry & IDENTITY_BIT ? entry : FOREIGN_BIT;
            continue;
        }
        gfn = frames_to_gfn((void *)f, entry);
        out[i] = gfn == REWRITE_NONE ? NO_FRAME : gfn;
    }
}

void list_to_mfn(const struct frames *f, uint64_t *page)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (!is_special(page[i]))
            page[i] = frames_has(f, page[i]) ? frames_mfn(f, page[i]) : NO_FRAME;
    }
}

/* 0 and "none" stay what they are. */
static uint64_t shared_frame(const struct frames *f, uint64_t frame,
                             uint64_t (*find)(void *f, uint64_t frame))
{
    uint64_t found = frame ? find((void *)f, frame) : 0;

    return found == REWRITE_NONE ? NO_FRAME : found;
}

static void shared_rewrite(const struct frames *f, struct shared_info *s,
                           uint64_t (*find)(void *f, uint64_t frame))
{
    uint64_t root = xen_cr3_to_pfn(s->arch.p2m_cr3);

    s->arch.pfn_to_mfn_frame_list_list = shared_frame(f, s->arch.pfn_to_mfn_frame_list_list, find);
    root = shared_frame(f, root, find);
    s->arch.p2m_cr3 = root == NO_FRAME ? 0 : xen_pfn_to_cr3(root);
}

void shared_to_gfn(const struct frames *f, const struct shared_info *in, struct shared_info *out)
{
    *out = *in;
    shared_rewrite(f, out, frames_to_gfn);
}

void shared_to_mfn(const struct frames *f, const struct shared_info *image, struct shared_info *to)
{
    struct shared_info s = *image;

    shared_rewrite(f, &s, frames_to_mfn);
    to->arch.max_pfn = s.arch.max_pfn;
    to->arch.pfn_to_mfn_frame_list_list = s.arch.pfn_to_mfn_frame_list_list;
    to->arch.p2m_cr3 = s.arch.p2m_cr3;
    to->arch.p2m_vaddr = s.arch.p2m_vaddr;
    to->arch.p2m_generation = s.arch.p2m_generation;
    /* Event channels are made anew; until then no event may be shown. */
    memset(to->evtchn_pending, 0, sizeof(to->evtchn_pending));
    memset(to->evtchn_mask, 0xff, sizeof(to->evtchn_mask));
    for (unsigned i = 0; i < XEN_LEGACY_MAX_VCPUS; i++) {
        to->vcpu_info[i].evtchn_upcall_pending = 0;
        to->vcpu_info[i].evtchn_upcall_mask = 1;
        to->vcpu_info[i].evtchn_pending_sel = 0;
    }
}
