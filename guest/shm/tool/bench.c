/* SPDX-License-Identifier: MIT */
/*
 * bench: what a channel does between two domains, beside one memcpy of the same bytes and the bare bell. One figure a line:
 * "NAME VALUE ns ...".
 */
#include "tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 20, ROUNDS = 300, REPEATS = 3 };

struct order {
    uint32_t
        kind; /* 'T': take bytes; 'G': give bytes; 'E': echo messages of 64 bytes; 'B': answer bells; 'Q': end */
    uint32_t count;
    uint64_t bytes;
};

static char buffer[PIECE] __attribute__((aligned(4096)));
static char other[PIECE] __attribute__((aligned(4096)));

static int take(palshm_channel *c, uint64_t bytes)
{
    while (bytes) {
        ssize_t got = palshm_read(c, buffer, bytes < PIECE ? bytes : PIECE);

        if (got <= 0)
            return -1;
        bytes -= (uint64_t)got;
    }
    return 0;
}

static int give(palshm_channel *c, uint64_t bytes)
{
    for (; bytes; bytes -= bytes < PIECE ? bytes : PIECE)
        if (palshm_write(c, buffer, bytes < PIECE ? bytes : PIECE) < 0)
            return -1;
    return 0;
}

static int all(palshm_channel *c, void *to, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = palshm_read(c, (char *)to + done, n - done);

        if (got <= 0)
            return -1;
        done += (size_t)got;
    }
    return 0;
}

static int answer_bells(palshm_link *k, uint32_t count)
{
    while (count--)
        if (palshm_link_wait(k, -1) != 1 || palshm_link_ring(k))
            return -1;
    return 0;
}

static int obey(palshm_channel *c)
{
    palshm_link *k = palshm_channel_link(c);
    struct order o;
    char message[64];

    while (!all(c, &o, sizeof(o)) && o.kind != 'Q') {
        int error = 0;

        if (o.kind == 'T')
            error = take(c, o.bytes);
        if (o.kind == 'G')
            error = give(c, o.bytes);
        /* The order itself is acknowledged, so that nothing of it is left to ring when bells are counted. */
        if (o.kind != 'E' && !error && palshm_write(c, "x", 1) < 0)
            error = -1;
        for (uint32_t i = 0; o.kind == 'E' && i < o.count && !error; i++)
            error =
                all(c, message, sizeof(message)) || palshm_write(c, message, sizeof(message)) < 0
                    ? -1
                    : 0;
        if (o.kind == 'B' && !error)
            error = answer_bells(k, o.count);
        if (error)
            return -1;
    }
    return 0;
}

static int serve(const struct options *o)
{
    struct session s;
    int status = session_open(&s, o);
    struct palshm_call call;
    palshm_listener *l;

    if (status)
        return status;
    catch_revocation();
    l = palshm_listen(s.r, o->service ? o->service : "bench", 0, 0, false);
    if (!l) {
        status = complain(s.p, "cannot serve");
        session_close(&s);
        return status;
    }
    printf("bench: ready\n");
    fflush(stdout);
    while (palshm_listener_next(l, &call, -1) == 1) {
        palshm_link *k = palshm_accept(s.r, &call);

        if (k) {
            palshm_channel *c = palshm_channel_new(k);

            if (obey(c))
                complain(s.p, "a client in domain %u", call.domain);
            palshm_channel_close(c);
        } else {
            complain(s.p, "a client in domain %u", call.domain);
        }
        palshm_listener_free(l, &call);
    }
    status = complain(s.p, "bench");
    palshm_listener_close(l);
    session_close(&s);
    return status;
}

static int order(palshm_channel *c, uint32_t kind, uint32_t count, uint64_t bytes)
{
    struct order o = {kind, count, bytes};

    return palshm_write(c, &o, sizeof(o)) < 0 ? -1 : 0;
}

static int acknowledged(palshm_channel *c)
{
    char x;

    return all(c, &x, 1);
}

static int stream_out(palshm_channel *c, uint64_t bytes)
{
    return order(c, 'T', 0, bytes) || give(c, bytes) || acknowledged(c) ? -1 : 0;
}

static int stream_in(palshm_channel *c, uint64_t bytes)
{
    return order(c, 'G', 0, bytes) || take(c, bytes) || acknowledged(c) ? -1 : 0;
}

static int round_trips(palshm_channel *c, uint64_t count)
{
    static char message[64];

    if (order(c, 'E', (uint32_t)count, 0))
        return -1;
    while (count--)
        if (palshm_write(c, message, sizeof(message)) < 0 || all(c, message, sizeof(message)))
            return -1;
    return 0;
}

static int bells(palshm_channel *c, uint64_t count)
{
    palshm_link *k = palshm_channel_link(c);

    if (order(c, 'B', (uint32_t)count, 0) || acknowledged(c))
        return -1;
    while (palshm_link_wait(k, 0) == 1)
        ; /* what rang for the acknowledgement */
    while (count--)
        if (palshm_link_ring(k) || palshm_link_wait(k, 5000) != 1)
            return -1;
    return 0;
}

static int copies(palshm_channel *c, uint64_t bytes)
{
    (void)c;
    for (; bytes; bytes -= bytes < PIECE ? bytes : PIECE) {
        memcpy(other, buffer, bytes < PIECE ? bytes : PIECE);
        __asm__ volatile("" ::: "memory");
    }
    return 0;
}

/* Once to warm up, then the best of several. */
static int measure(palshm_channel *c, const char *name, int (*once)(palshm_channel *, uint64_t),
                   uint64_t amount, uint64_t unit, const char *what)
{
    double best = 0;

    for (int i = 0; i <= REPEATS; i++) {
        double began = seconds_now(), took;

        if (once(c, amount))
            return -1;
        took = seconds_now() - began;
        if (i && (i == 1 || took < best))
            best = took;
    }
    printf("%s %.0f ns %s", name, best * 1e9 / (double)(amount / unit), what);
    if (unit > 1)
        printf(", %.1f MiB/s", (double)amount / (1 << 20) / best);
    printf("\n");
    return 0;
}

static int run(palshm_channel *c, uint64_t bytes)
{
    struct palshm_counts counts;

    if (measure(c, "memcpy", copies, bytes, 4096, "a page") ||
        measure(c, "channel_out", stream_out, bytes, 4096, "a page") ||
        measure(c, "channel_in", stream_in, bytes, 4096, "a page") ||
        measure(c, "channel_round_trip", round_trips, ROUNDS, 1, "for 64 bytes there and back") ||
        measure(c, "bell_round_trip", bells, ROUNDS, 1, "for a bell there and back") ||
        order(c, 'Q', 0, 0))
        return -1;
    palshm_channel_counts(c, &counts);
    printf("total %llu bytes out, %llu in, %llu bells rung, %llu sleeps\n",
           (unsigned long long)counts.bytes_out, (unsigned long long)counts.bytes_in,
           (unsigned long long)counts.rings, (unsigned long long)counts.waits);
    return 0;
}

int verb_bench(const struct options *o, int argc, char **argv)
{
    uint64_t mib = 64;
    struct session s;
    palshm_link *k;
    int status;

    if (argc && !strcmp(argv[0], "serve"))
        return serve(o);
    if (argc && (!parse_size(argv[0], &mib) || !mib || mib > 1 << 20)) {
        complain_text("usage: palshm bench [serve|MEGABYTES]");
        return EXIT_USAGE;
    }
    if ((status = session_open(&s, o)))
        return status;
    catch_revocation();
    memset(buffer, 'x', PIECE);
    memset(other, 'y', PIECE);
    k = palshm_connect(s.r, o->domain, o->service ? o->service : "bench", o->size, o->wait_ms);
    if (!k) {
        status =
            complain(s.p, "nobody to measure with; the other domain runs \"palshm bench serve\"");
    } else {
        palshm_channel *c = palshm_channel_new(k);

        if (run(c, mib << 20))
            status = complain(s.p, "bench with domain %u", palshm_link_peer(k));
        palshm_channel_close(c);
    }
    session_close(&s);
    return status;
}
