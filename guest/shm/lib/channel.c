/* SPDX-License-Identifier: MIT */
/* A stream each way over a link. The window's first page holds the lines of both rings, caller's to listener's first; then their data. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STEP 65536u /* bytes after which the other side is told, so that it can begin */

struct palshm_channel {
    palshm_link *k;
    struct ring in, out;
    int timeout_ms;
    bool shut;
    struct palshm_counts counts;
};

palshm_channel *palshm_channel_new(palshm_link *k)
{
    palshm_channel *c = calloc(1, sizeof(*c));
    struct ring_lines *lines = k->memory;
    size_t half = (k->size - PALSHM_PAGE) / 2;
    uint8_t *data = (uint8_t *)k->memory + PALSHM_PAGE;

    if (!c) {
        shm_fail(k->r->p, ENOMEM, "a channel");
        return NULL;
    }
    c->k = k;
    c->timeout_ms = -1;
    ring_start(&c->out, &lines[!k->caller], data + (k->caller ? 0 : half), half, true);
    ring_start(&c->in, &lines[k->caller], data + (k->caller ? half : 0), half, false);
    return c;
}

static void ring_bell(palshm_channel *c)
{
    c->counts.rings++;
    (void)palshm_link_ring(c->k); /* who is gone is seen when waited for */
}

static void publish(palshm_channel *c, struct ring *r)
{
    if (ring_publish(r))
        ring_bell(c);
}

void palshm_channel_close(palshm_channel *c)
{
    if (!c->k->r->revoked && !c->k->gone) {
        (void)palshm_shutdown(c);
        ring_end(&c->in);
        ring_bell(c);
    }
    palshm_link_close(c->k);
    free(c);
}

palshm_link *palshm_channel_link(palshm_channel *c)
{
    return c->k;
}

void palshm_channel_timeout(palshm_channel *c, int timeout_ms)
{
    c->timeout_ms = timeout_ms;
}

void palshm_channel_counts(const palshm_channel *c, struct palshm_counts *counts)
{
    *counts = c->counts;
}

static int broken(palshm_channel *c)
{
    return shm_fail(c->k->r->p, EPROTO, "domain %u breaks the rules of the ring", c->k->peer);
}

static int revoked(palshm_channel *c)
{
    return shm_fail(c->k->r->p, ENODEV, "region %s was revoked", c->k->r->info.name);
}

/* Nothing to read now: why. 1: look again. */
static int nothing_in(palshm_channel *c)
{
    bool end = ring_other_ended(&c->in);

    /* In this order: what was written before the end, or before the other's death, is still read. */
    if (ring_ready(&c->in) != 0)
        return 1;
    if (end)
        return 0;
    if (c->k->gone)
        return shm_fail(c->k->r->p, ECONNRESET, "the other end, in domain %u, is gone", c->k->peer);
    if (ring_arm(&c->in, 1))
        return 1;
    return shm_fail(c->k->r->p, EAGAIN, "nothing to read");
}

ssize_t palshm_read_some(palshm_channel *c, void *to, size_t n)
{
    size_t done = 0;

    if (c->k->r->revoked)
        return revoked(c); /* what is mapped may be touched no more */
    while (done < n) {
        ssize_t ready = ring_ready(&c->in);

        if (ready < 0)
            return broken(c);
        if (ready == 0) {
            int why = done ? 0 : nothing_in(c);

            if (why == 1)
                continue;
            if (why < 0)
                return -1;
            break;
        }
        done += ring_take(&c->in, (uint8_t *)to + done, n - done < STEP ? n - done : STEP,
                          (size_t)ready);
        publish(c, &c->in);
    }
    c->counts.bytes_in += done;
    return (ssize_t)done;
}

/* No room for `need` bytes now: why. 1: look again. */
static int no_room(palshm_channel *c, size_t need)
{
    if (c->k->gone || ring_other_ended(&c->out))
        return shm_fail(c->k->r->p, EPIPE, "the other end, in domain %u, takes no more",
                        c->k->peer);
    if (need > c->out.size / 2)
        need = c->out.size / 2;
    /* Half of the ring at least, when so much is to be written: not a wake-up for each small read. */
    if (ring_arm(&c->out, need ? need : 1) && !ring_other_ended(&c->out))
        return 1;
    return shm_fail(c->k->r->p, EAGAIN, "no room to write");
}

/* Room for writing: more than 0, or -1. */
static ssize_t room(palshm_channel *c, size_t need)
{
    if (c->shut)
        return shm_fail(c->k->r->p, EPIPE, "this end wrote its end");
    if (c->k->r->revoked)
        return revoked(c);
    for (;;) {
        ssize_t ready = ring_ready(&c->out);

        if (ready < 0)
            return broken(c);
        if (ready > 0 && !c->k->gone && !ring_other_ended(&c->out))
            return ready;
        if (no_room(c, need) < 0)
            return -1;
    }
}

ssize_t palshm_write_some(palshm_channel *c, const void *from, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t ready = room(c, n - done);

        if (ready < 0 && done && errno == EAGAIN)
            break;
        if (ready < 0)
            return -1;
        done += ring_put(&c->out, (const uint8_t *)from + done, n - done < STEP ? n - done : STEP,
                         (size_t)ready);
        publish(c, &c->out);
    }
    c->counts.bytes_out += done;
    return (ssize_t)done;
}

/* After EAGAIN. 0: look again. */
static int sleep_once(palshm_channel *c)
{
    int got;

    c->counts.waits++;
    got = palshm_link_wait(c->k, c->timeout_ms);
    if (got == 0)
        return shm_fail(c->k->r->p, ETIMEDOUT, "waiting for domain %u", c->k->peer);
    /* That the other end is gone is told once its last bytes are read. */
    return got < 0 && errno != ECONNRESET && errno != ENODEV ? -1 : 0;
}

ssize_t palshm_read(palshm_channel *c, void *to, size_t n)
{
    for (;;) {
        ssize_t got = palshm_read_some(c, to, n);

        if (got >= 0 || errno != EAGAIN || sleep_once(c))
            return got;
    }
}

ssize_t palshm_write(palshm_channel *c, const void *from, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t put = palshm_write_some(c, (const uint8_t *)from + done, n - done);

        if (put < 0 && (errno != EAGAIN || sleep_once(c)))
            return -1;
        done += put > 0 ? (size_t)put : 0;
    }
    return (ssize_t)n;
}

ssize_t palshm_write_begin(palshm_channel *c, void **at)
{
    for (;;) {
        ssize_t ready = room(c, STEP);

        if (ready > 0) {
            *at = ring_here(&c->out);
            return (ssize_t)ring_run(&c->out, (size_t)ready);
        }
        if (errno != EAGAIN || sleep_once(c))
            return -1;
    }
}

int palshm_write_end(palshm_channel *c, size_t n)
{
    ring_advance(&c->out, n);
    publish(c, &c->out);
    c->counts.bytes_out += n;
    return 0;
}

int palshm_shutdown(palshm_channel *c)
{
    if (!c->shut) {
        c->shut = true;
        ring_end(&c->out);
        ring_bell(c);
    }
    return 0;
}
