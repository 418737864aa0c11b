/* SPDX-License-Identifier: MIT */
/*
 * Frames come from the ordinary allocator with the domain as their owner, in blocks as large as it
 * has, and each is entered in both lists: the domain's (pfn to machine frame) and the machine's
 * (the reverse).
 */
#include "dom0_memory.h"

#include "base/string.h"
#include <xen/errno.h>

#define LIST_ENTRIES (PAGE_SIZE / sizeof(uint64_t))

void *dom0_memory_take_scratch(struct dom0_memory *m, uint64_t bytes)
{
    uint64_t pages = DIV_ROUND_UP(bytes, PAGE_SIZE);
    unsigned order = pages > 1 ? highest_bit(pages - 1) + 1 : 0;

    if (order > PALLOC_MAX_ORDER)
        return NULL;
    m->scratch = palloc_hv(order, 0);
    m->scratch_order = order;
    m->scratch_needed = true;
    return mfn_eq(m->scratch, MFN_NONE) ? NULL : env_frame(m->scratch);
}

void dom0_memory_drop_scratch(struct dom0_memory *m)
{
    if (!mfn_eq(m->scratch, MFN_NONE))
        palloc_free_hv(m->scratch, m->scratch_order);
    m->scratch = MFN_NONE;
    m->scratch_needed = false;
}

static uint64_t *list_entry(const struct dom0_memory *m, uint64_t pfn)
{
    uint64_t *page;

    CHECK_LT(pfn / LIST_ENTRIES, m->p2m_pages);
    page = env_frame(mfn(m->p2m_frames[pfn / LIST_ENTRIES]));
    return &page[pfn % LIST_ENTRIES];
}

static void enter(struct dom0_memory *m, uint64_t pfn, mfn_t frame)
{
    *list_entry(m, pfn) = frame.n;
    m2p_set(frame, pfn);
}

/*
 * The largest block of at most `pages` frames; *order starts from the last call's, since blocks
 * only get smaller, and tells what it is. When there are none left the scratch memory is given up,
 * if it may be.
 */
static mfn_t take_block(struct dom0_memory *m, uint64_t pages, unsigned *order)
{
    unsigned largest = min(highest_bit(pages), (unsigned)PALLOC_MAX_ORDER);
    int error;

    *order = min(*order, largest);
    for (;;) {
        mfn_t frame = palloc_domain(&m->d->mm, *order, 0, &error);

        if (!mfn_eq(frame, MFN_NONE))
            return frame;
        if (*order > 0) {
            (*order)--;
        } else if (!mfn_eq(m->scratch, MFN_NONE) && !m->scratch_needed) {
            dom0_memory_drop_scratch(m);
            *order = largest;
        } else {
            return MFN_NONE;
        }
    }
}

int dom0_memory_start(struct dom0_memory *m, uint64_t pfn, uint64_t p2m_pages)
{
    unsigned order = PALLOC_MAX_ORDER;

    m->p2m_pages = p2m_pages;
    m->p2m_frames = heap_alloc(p2m_pages * sizeof(m->p2m_frames[0]));
    if (!m->p2m_frames)
        return -XEN_ENOMEM;
    for (uint64_t i = 0; i < p2m_pages; i += BIT(order)) {
        mfn_t frame = take_block(m, p2m_pages - i, &order);

        if (mfn_eq(frame, MFN_NONE))
            return -XEN_ENOMEM;
        for (uint64_t k = 0; k < BIT(order); k++)
            m->p2m_frames[i + k] = frame.n + k;
    }
    for (uint64_t i = 0; i < p2m_pages; i++)
        enter(m, pfn + i, mfn(m->p2m_frames[i]));
    return 0;
}

int dom0_memory_populate(struct dom0_memory *m, uint64_t pfn, uint64_t end)
{
    unsigned order = PALLOC_MAX_ORDER;

    for (; pfn < end; pfn += BIT(order)) {
        mfn_t frame = take_block(m, end - pfn, &order);

        if (mfn_eq(frame, MFN_NONE))
            return -XEN_ENOMEM;
        for (uint64_t k = 0; k < BIT(order); k++)
            enter(m, pfn + k, mfn(frame.n + k));
    }
    return 0;
}

void dom0_memory_end_list(struct dom0_memory *m, uint64_t nr_pages)
{
    for (uint64_t pfn = nr_pages; pfn < m->p2m_pages * LIST_ENTRIES; pfn++)
        *list_entry(m, pfn) = ~0ull;
}

void dom0_memory_finish(struct dom0_memory *m)
{
    dom0_memory_drop_scratch(m);
    heap_free(m->p2m_frames);
    m->p2m_frames = NULL;
}

mfn_t dom0_memory_frame(const struct dom0_memory *m, uint64_t pfn)
{
    return mfn(*list_entry(m, pfn));
}

void *dom0_memory_page(const struct dom0_memory *m, uint64_t pfn)
{
    return env_frame(dom0_memory_frame(m, pfn));
}

/* src NULL: zeroes. */
static void fill(const struct dom0_memory *m, uint64_t paddr, const uint8_t *src, uint64_t n)
{
    while (n) {
        uint64_t offset = paddr % PAGE_SIZE, now = min(n, PAGE_SIZE - offset);
        uint8_t *to = (uint8_t *)dom0_memory_page(m, paddr / PAGE_SIZE) + offset;

        if (src) {
            memcpy(to, src, now);
            src += now;
        } else {
            memset(to, 0, now);
        }
        paddr += now;
        n -= now;
    }
}

void dom0_memory_copy(const struct dom0_memory *m, uint64_t paddr, const void *src, uint64_t n)
{
    fill(m, paddr, src, n);
}

void dom0_memory_zero(const struct dom0_memory *m, uint64_t paddr, uint64_t n)
{
    fill(m, paddr, NULL, n);
}
