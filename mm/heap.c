/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's heap: objects of a power of two from 16 bytes on. Up to half a page they share
 * pages of one size (FRAME_SLAB; the frame's entry holds class, number in use and first free
 * object, objects free hold the next one's number); beyond that they are blocks of frames.
 */
#include "internal.h"

#define MIN_SHIFT 4
#define CLASSES   8 /* 16 .. 2048 */
#define NO_OBJECT 0xffff

static struct {
    spinlock_t lock;
    uint32_t partial[CLASSES]; /* pages with free objects, list by next/prev; 0: none (frame 0 is
                                  never ours) */
    uint64_t bytes;
} heap;

static inline unsigned class_shift(unsigned class)
{
    return MIN_SHIFT + class;
}

/* The free list's head lies in the frame's stamp, which a page in use does not need. */
static inline uint16_t *object_link(mfn_t page, unsigned class, uint32_t index)
{
    return (uint16_t *)((char *)env_frame(page) + ((size_t)index << class_shift(class)));
}

static void list_add(unsigned class, struct frame *f)
{
    uint32_t n = (uint32_t)(f - frame_table);

    f->prev = 0;
    f->next = heap.partial[class];
    if (f->next)
        frame_table[f->next].prev = n;
    heap.partial[class] = n;
}

static void list_del(unsigned class, struct frame *f)
{
    if (f->next)
        frame_table[f->next].prev = f->prev;
    if (f->prev)
        frame_table[f->prev].next = f->next;
    else
        heap.partial[class] = f->next;
    f->next = f->prev = 0;
}

/* Cut a fresh page into objects and list it. */
static void add_page(unsigned class, mfn_t m)
{
    unsigned count = (unsigned)(PAGE_SIZE >> class_shift(class));
    struct frame *f = frame_of(m);

    for (unsigned i = 0; i < count; i++)
        *object_link(m, class, i) = (uint16_t)(i + 1 < count ? i + 1 : NO_OBJECT);
    f->flags |= FRAME_SLAB;
    f->order = (uint8_t) class;
    f->cursor = 0;
    f->stamp_lo = 0;
    list_add(class, f);
}

static void *alloc_object(unsigned class)
{
    struct frame *f;
    uint32_t index;
    void *p;

    spin_lock(&heap.lock);
    if (!heap.partial[class]) {
        mfn_t m;

        spin_unlock(&heap.lock);
        m = palloc_hv(0, 0);
        if (mfn_eq(m, MFN_NONE))
            return NULL;
        spin_lock(&heap.lock);
        add_page(class, m);
    }
    f = &frame_table[heap.partial[class]];
    index = f->stamp_lo;
    p = object_link(frame_mfn(f), class, index);
    f->stamp_lo = *(uint16_t *)p;
    f->cursor++;
    if (f->stamp_lo == NO_OBJECT)
        list_del(class, f);
    fetch_add(&heap.bytes, BIT(class_shift(class)));
    spin_unlock(&heap.lock);
    memset(p, 0, BIT(class_shift(class)));
    return p;
}

static void free_object(struct frame *f, void *p)
{
    unsigned class = f->order;
    mfn_t page = frame_mfn(f);
    bool empty;

    spin_lock(&heap.lock);
    if (f->stamp_lo == NO_OBJECT)
        list_add(class, f);
    *(uint16_t *)p = (uint16_t)f->stamp_lo;
    f->stamp_lo = (uint32_t)(((uintptr_t)p & (PAGE_SIZE - 1)) >> class_shift(class));
    fetch_sub(&heap.bytes, BIT(class_shift(class)));
    empty = --f->cursor == 0;
    if (empty)
        list_del(class, f);
    spin_unlock(&heap.lock);
    if (empty)
        palloc_free_hv(page, 0);
}

static unsigned order_for(size_t bytes)
{
    return bytes <= PAGE_SIZE ? 0 : highest_bit(bytes - 1) + 1 - PAGE_SHIFT;
}

void *heap_alloc(size_t bytes)
{
    mfn_t m;
    unsigned order;

    if (bytes == 0 || bytes > PAGE_SIZE << PALLOC_MAX_ORDER)
        return NULL;
    if (bytes <= PAGE_SIZE / 2)
        return alloc_object(bytes <= 16 ? 0 : highest_bit(bytes - 1) + 1 - MIN_SHIFT);
    order = order_for(bytes);
    m = palloc_hv(order, 0);
    if (mfn_eq(m, MFN_NONE))
        return NULL;
    frame_of(m)->order = (uint8_t)order;
    fetch_add(&heap.bytes, PAGE_SIZE << order);
    return env_frame(m);
}

void heap_free(void *p)
{
    struct frame *f;

    if (!p)
        return;
    f = frame_of(env_mfn(p));
    CHECK_EQ(f->owner, OWNER_HV);
    if (f->flags & FRAME_SLAB) {
        free_object(f, p);
        return;
    }
    CHECK_EQ((uintptr_t)p & (PAGE_SIZE - 1), 0);
    fetch_sub(&heap.bytes, PAGE_SIZE << f->order);
    palloc_free_hv(frame_mfn(f), f->order);
}

uint64_t heap_bytes(void)
{
    return load_relaxed(&heap.bytes);
}
