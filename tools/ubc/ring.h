/* SPDX-License-Identifier: MIT */
/*
 * The backend's end of a shared ring. Everything in it but what is private here is the guest's to write at any time.
 *
 * Answers go out in the order of the requests. An answer overwrites the slot of the request with the same number, so
 * the requests that have no answer yet are always whole in the ring: a backend that takes over from one that was
 * killed begins at the first of them (ring_take_over), and does them again. An answer that was written and not published
 * must not be read as a request: before the first byte of a slot changes, its last bytes, which answers do not reach, say
 * that it has an answer, and which.
 */
#ifndef UBC_RING_H
#define UBC_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "request.h"

#define RING_ORDER_MOST 4u /* 16 pages: 512 requests */
#define RING_SLOTS_MOST 512u

struct ring {
    struct blkif_sring *shared;
    unsigned slots; /* a power of two */
    uint32_t taken; /* requests read so far: private */
    uint32_t answered;
};

/* Slots that a ring of so many pages has. */
unsigned ring_slots(unsigned pages);
/* Take over the ring that lies at these pages. */
void ring_attach(struct ring *r, void *pages, unsigned count);
/* After it, for one that another was killed at: publish the answers that it had begun to write. */
void ring_take_over(struct ring *r);

enum ring_next { RING_EMPTY, RING_TAKEN, RING_BROKEN };
/* Copy the next request. RING_BROKEN: the guest's index cannot be true. */
enum ring_next ring_take(struct ring *r, struct blkif_request *copy);
/* Ask for an event with the next request. True: there is one already, which no event will tell of. */
bool ring_wait(struct ring *r);

/* Write the answer to the oldest request without one; ring_publish() makes all written visible. */
void ring_answer(struct ring *r, uint64_t id, uint8_t operation, int16_t status);
/* Returns whether the guest wants an event for them. */
bool ring_publish(struct ring *r);

#endif
