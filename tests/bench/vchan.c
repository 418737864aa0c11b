/* SPDX-License-Identifier: MIT */
/*
 * Debian's libvchan between two guests, for the rows beside our channels: BENCH ROW nanoseconds.
 *
 *   vchan serve      takes what the other sends; answers each stream's end with one byte, each message of 64 bytes with another
 *   vchan measure    the other side: a stream, and round trips
 *
 * Who the other is stands in the store as this domain's data/peer, put there by domain 0. Rings are as large as they can be.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxenvchan.h>
#include <xenstore.h>

#include "program.h"

enum {
    REPEATS = 3,
    PAGE = 4096,
    CHUNK = 1 << 20,
    BYTES = 32 << 20,
    ROUNDS = 300,
    MESSAGE = 64,
    RING = 1 << 20
};

static char buffer[CHUNK] __attribute__((aligned(4096)));

/* A number of the store, as soon as it is there. */
static int number(struct xs_handle *xs, const char *path)
{
    for (;; usleep(100000)) {
        unsigned length;
        char *text = xs_read(xs, XBT_NULL, path, &length);
        int value = text ? atoi(text) : -1;

        free(text);
        if (value >= 0)
            return value;
    }
}

static void take(struct libxenvchan *v, int bytes)
{
    while (bytes) {
        int got = libxenvchan_read(v, buffer, (size_t)(bytes < CHUNK ? bytes : CHUNK));

        if (got <= 0)
            fail("libxenvchan_read");
        bytes -= got;
    }
}

static void give(struct libxenvchan *v, int bytes)
{
    while (bytes) {
        int put = libxenvchan_write(v, buffer, (size_t)(bytes < CHUNK ? bytes : CHUNK));

        if (put <= 0)
            fail("libxenvchan_write");
        bytes -= put;
    }
}

static void stream(struct libxenvchan *v)
{
    give(v, BYTES);
    take(v, 1);
}

static void round_trips(struct libxenvchan *v)
{
    for (int i = 0; i < ROUNDS; i++) {
        give(v, MESSAGE);
        take(v, MESSAGE);
    }
}

static void measure(struct libxenvchan *v, const char *row, void (*once)(struct libxenvchan *),
                    uint64_t units)
{
    uint64_t best = UINT64_MAX;

    once(v);
    for (int i = 0; i < REPEATS; i++) {
        uint64_t start = now_ns(), took;

        once(v);
        took = now_ns() - start;
        best = took < best ? took : best;
    }
    printf("BENCH %s %llu\n", row, (unsigned long long)(best / units));
}

int main(int argc, char **argv)
{
    struct xs_handle *xs = xs_open(0);
    struct libxenvchan *v = NULL;
    int peer;

    if (!xs || argc != 2)
        fail("no store");
    peer = number(xs, "data/peer");
    if (!strcmp(argv[1], "serve")) {
        v = libxenvchan_server_init(NULL, peer, "data/vchan", RING, RING);
        if (!v)
            fail("libxenvchan_server_init");
        v->blocking = 1;
        for (int i = 0; i <= REPEATS; i++) {
            take(v, BYTES);
            give(v, 1);
        }
        for (int i = 0; i < (REPEATS + 1) * ROUNDS; i++) {
            take(v, MESSAGE);
            give(v, MESSAGE);
        }
        pause();
    }
    for (int tries = 0; !v && tries < 300; tries++) {
        char path[64];

        snprintf(path, sizeof(path), "/local/domain/%d/data/vchan", peer);
        v = libxenvchan_client_init(NULL, peer, path);
        if (!v)
            usleep(100000);
    }
    if (!v)
        fail("libxenvchan_client_init");
    v->blocking = 1;
    measure(v, "vchan_out", stream, BYTES / PAGE);
    measure(v, "vchan_round_trip", round_trips, ROUNDS);
    return 0;
}
