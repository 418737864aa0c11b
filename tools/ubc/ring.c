/* SPDX-License-Identifier: MIT */
#include "ring.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#define ENTRIES_OFFSET offsetof(struct blkif_sring, ring)

/* The shared words are read and written once, as they stand. */
static uint32_t load(const volatile uint32_t *word)
{
    return *word;
}

static void store(volatile uint32_t *word, uint32_t value)
{
    *word = value;
}

static union blkif_sring_entry *slot(struct ring *r, uint32_t number)
{
    return &r->shared->ring[number & (r->slots - 1)];
}

unsigned ring_slots(unsigned pages)
{
    size_t room =
        (pages * REQUEST_PAGE - ENTRIES_OFFSET) / sizeof(((struct blkif_sring *)0)->ring[0]);
    unsigned slots = 1;

    while (slots * 2 <= room)
        slots *= 2;
    return slots;
}

void ring_attach(struct ring *r, void *pages, unsigned count)
{
    r->shared = pages;
    r->slots = ring_slots(count);
    r->answered = r->taken = load(&r->shared->rsp_prod);
}

/*
 * The last 16 bytes of a slot: number, operation and status of its answer as one word, and then, once the word says so, the
 * identifier, which lies in the request at first and in the answer in the end. Where a request has its last segment, the
 * word has a first sector that no segment has; what is left of an older answer has another number.
 */
struct mark {
    uint64_t id, word;
};
#define MARK_FIRST 0xfeu /* the identifier is the request's still */
#define MARK_WHOLE 0xffu
_Static_assert(offsetof(struct blkif_request_segment, first_sect) == 4, "after 32 bits");

static struct mark *mark_of(struct ring *r, uint32_t number)
{
    return (struct mark *)(void *)(slot(r, number) + 1) - 1;
}
_Static_assert(sizeof(struct blkif_response) <=
                   sizeof(union blkif_sring_entry) - sizeof(struct mark),
               "answers do not reach the mark");

static void write_mark(volatile struct mark *m, uint32_t number, uint64_t id, uint8_t operation,
                       int16_t status)
{
    uint64_t word = number | (uint64_t)operation << 40 | (uint64_t)(uint16_t)status << 48;

    m->word = word | (uint64_t)MARK_FIRST << 32;
    m->id = id;
    m->word = word | (uint64_t)MARK_WHOLE << 32;
    atomic_signal_fence(memory_order_seq_cst); /* all of it before the answer */
}

void ring_take_over(struct ring *r)
{
    uint32_t produced = load(&r->shared->req_prod);

    /* What the guest forges here is its own loss. */
    for (unsigned i = 0; i < r->slots && r->answered != produced; i++) {
        const volatile struct mark *m = mark_of(r, r->answered);
        uint64_t word = m->word, id = slot(r, r->answered)->req.id;
        unsigned kind = word >> 32 & 0xff;

        if ((uint32_t)word != r->answered || (kind != MARK_FIRST && kind != MARK_WHOLE))
            break;
        if (kind == MARK_WHOLE)
            id = m->id;
        ring_answer(r, id, (uint8_t)(word >> 40), (int16_t)(word >> 48));
    }
    r->taken = r->answered;
    (void)ring_publish(r);
}

enum ring_next ring_take(struct ring *r, struct blkif_request *copy)
{
    uint32_t produced = load(&r->shared->req_prod);

    atomic_thread_fence(memory_order_acquire); /* the request after its index */
    if (produced == r->taken)
        return RING_EMPTY;
    /* No more than one ring full without an answer. */
    if (produced - r->answered > r->slots || produced - r->taken > r->slots)
        return RING_BROKEN;
    memcpy(copy, (const void *)slot(r, r->taken), sizeof(*copy));
    atomic_signal_fence(memory_order_seq_cst); /* the copy is what is looked at from here on */
    r->taken++;
    return RING_TAKEN;
}

bool ring_wait(struct ring *r)
{
    store(&r->shared->req_event, r->taken + 1);
    atomic_thread_fence(memory_order_seq_cst); /* ask first, then look again */
    return load(&r->shared->req_prod) != r->taken;
}

void ring_answer(struct ring *r, uint64_t id, uint8_t operation, int16_t status)
{
    struct blkif_response *to = &slot(r, r->answered)->rsp;

    write_mark(mark_of(r, r->answered), r->answered, id, operation, status);
    to->id = id;
    to->operation = operation;
    to->status = status;
    r->answered++;
}

bool ring_publish(struct ring *r)
{
    uint32_t before = load(&r->shared->rsp_prod), wanted;

    atomic_thread_fence(memory_order_release); /* the answers before their index */
    store(&r->shared->rsp_prod, r->answered);
    atomic_thread_fence(memory_order_seq_cst); /* the index before the question */
    wanted = load(&r->shared->rsp_event);
    return r->answered - wanted < r->answered - before;
}
