/* SPDX-License-Identifier: MIT */
/*
 * A byte ring in memory that two parties share and neither believes.
 *
 * One side produces, the other consumes. Each has one cache line that it alone writes: how far it has come (a count of
 * bytes since the start, never wrapped), where the other is to wake it, and whether it is at its end. Each keeps its
 * own count privately and never reads it back; what the other claims is read once and checked against it. A peer that
 * lies gets wrong data or an error (-EPROTO), nothing else.
 *
 * Waking. Who wants to sleep writes the count at which it wants to be woken, then (fence) looks once more; who moves
 * its count writes it, then (fence) looks whether it passed the other's mark. One of the two sees the other's write, so
 * no wake-up is lost; and while the other side is awake its mark lies behind, so none is sent.
 *
 * Any size will do; the ring holds all of it. Nothing here sleeps, allocates or calls the kernel.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* In shared memory, all zero at the start. One line for each writer. */
struct ring_line {
    uint64_t count;   /* bytes produced or consumed so far */
    uint64_t wake_at; /* the other side's count at which to wake this side; 0: never */
    uint32_t ended;   /* producer: no more will come; consumer: takes no more */
    uint32_t pad[11];
};
struct ring_lines {
    struct ring_line producer, consumer;
};
_Static_assert(sizeof(struct ring_lines) == 128, "two cache lines");

struct ring {
    struct ring_line *mine, *other; /* shared */
    uint8_t *data;                  /* shared */
    size_t size, at;                /* at: mine modulo size */
    uint64_t count;                 /* of this side, with what is not published yet */
    uint64_t told;                  /* what is published of it */
    bool producer;
};

/*
 * Prepares one side. lines and data: shared; size: bytes of data, at least 1. Both sides start with zeroed lines.
 */
void ring_start(struct ring *r, struct ring_lines *lines, void *data, size_t size, bool producer);

/* Bytes that this side may move now: free room for the producer, data for the consumer. -EPROTO: an impossible claim. */
ssize_t ring_ready(struct ring *r);

/* Bytes from here on without a wrap, at most n. */
size_t ring_run(const struct ring *r, size_t n);

/* Where they are. */
static inline uint8_t *ring_here(const struct ring *r)
{
    return r->data + r->at;
}

/* This side has dealt with the next n bytes (no more than ring_ready() said). Not yet visible. */
void ring_advance(struct ring *r, size_t n);

/* Makes it visible. True: the other side asked to be woken here. */
bool ring_publish(struct ring *r);

/* Copy at most n bytes in or out, no more than `ready`; advances, publishes nothing. Returns the bytes moved. */
size_t ring_put(struct ring *r, const void *from, size_t n, size_t ready);
size_t ring_take(struct ring *r, void *to, size_t n, size_t ready);

/*
 * Before sleeping: asks to be woken when `need` bytes are ready (1..size). Returns true when that is so already, or the
 * other side has ended, or lies: look again instead of sleeping.
 */
bool ring_arm(struct ring *r, size_t need);

/* This side's end. The caller wakes the other side whatever it asked for. */
void ring_end(struct ring *r);
bool ring_other_ended(const struct ring *r);

#endif
