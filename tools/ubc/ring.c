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
