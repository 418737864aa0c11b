/* SPDX-License-Identifier: MIT */
#include "ring.h"

#include <errno.h>
#include <string.h>

#ifndef SHM_RING_ATOMICS_H
#include "ring_atomics.h"
#endif

void ring_start(struct ring *r, struct ring_lines *lines, void *data, size_t size, bool producer)
{
    memset(r, 0, sizeof(*r));
    r->mine = producer ? &lines->producer : &lines->consumer;
    r->other = producer ? &lines->consumer : &lines->producer;
    r->data = data;
    r->size = size;
    r->producer = producer;
}

/* The other's count as it claims it, made into bytes that this side may move. */
static ssize_t ready_by(const struct ring *r, uint64_t claim)
{
    /* How far the producer is ahead: 0 to size, whoever is asked. */
    uint64_t filled = r->producer ? r->count - claim : claim - r->count;

    if (filled > r->size)
        return -EPROTO;
    return (ssize_t)(r->producer ? r->size - filled : filled);
}

ssize_t ring_ready(struct ring *r)
{
    return ready_by(r, ring_load(&r->other->count));
}

size_t ring_run(const struct ring *r, size_t n)
{
    return n < r->size - r->at ? n : r->size - r->at;
}

void ring_advance(struct ring *r, size_t n)
{
    r->count += n;
    r->at += n;
    if (r->at >= r->size)
        r->at -= r->size;
}

bool ring_publish(struct ring *r)
{
    uint64_t before = r->told, mark;

    if (r->count == before)
        return false;
    ring_store(&r->mine->count, r->count);
    r->told = r->count;
    ring_fence();
    mark = ring_load(&r->other->wake_at);
    return r->count - mark < r->count - before; /* before < mark <= count */
}

size_t ring_put(struct ring *r, const void *from, size_t n, size_t ready)
{
    const uint8_t *bytes = from;
    size_t done = 0;

    n = n < ready ? n : ready;
    while (done < n) {
        size_t run = ring_run(r, n - done);

        ring_copy(ring_here(r), bytes + done, run);
        ring_advance(r, run);
        done += run;
    }
    return done;
}

size_t ring_take(struct ring *r, void *to, size_t n, size_t ready)
{
    uint8_t *bytes = to;
    size_t done = 0;

    n = n < ready ? n : ready;
    while (done < n) {
        size_t run = ring_run(r, n - done);

        ring_copy(bytes + done, ring_here(r), run);
        ring_advance(r, run);
        done += run;
    }
    return done;
}

bool ring_arm(struct ring *r, size_t need)
{
    /* The producer has `need` bytes of room when the consumer has come to count + need - size. */
    uint64_t mark = r->producer ? r->count + need - r->size : r->count + need;
    ssize_t ready;

    ring_store(&r->mine->wake_at, mark);
    ring_fence();
    ready = ring_ready(r);
    return ready < 0 || (size_t)ready >= need || ring_other_ended(r);
}

void ring_end(struct ring *r)
{
    ring_store(&r->mine->ended, 1u);
    ring_fence();
}

bool ring_other_ended(const struct ring *r)
{
    return ring_load(&r->other->ended) != 0;
}
