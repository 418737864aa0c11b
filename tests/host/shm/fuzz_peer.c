/* SPDX-License-Identifier: MIT */
/*
 * A hostile peer: what it writes into the window between our calls, and what it says in the file protocol, is the fuzzer's. Whatever it is, calls
 * end, stay within their buffers, and paths stay below the top.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "internal.h"
#include "proto.h"

static palshm_region *ours, *theirs;
static palshm_link *link_of_ours;
static uint8_t *memory;
static size_t size;

struct input {
    const uint8_t *at;
    size_t left;
};

static uint64_t next(struct input *in, size_t n)
{
    uint64_t value = 0;

    n = n < in->left ? n : in->left;
    memcpy(&value, in->at, n);
    in->at += n;
    in->left -= n;
    return value;
}

static void *accept_it(void *data)
{
    struct palshm_call call;
    palshm_listener *l;

    (void)data;
    fake_domain(1);
    ours = palshm_region_open(palshm_open(), "bulk");
    l = palshm_listen(ours, "s", 0, 0, false);
    if (palshm_listener_next(l, &call, 10000) != 1 || !(link_of_ours = palshm_accept(ours, &call)))
        abort();
    return NULL;
}

/* One link for all inputs; each has a new channel on it. */
static void set_up(void)
{
    static const uint32_t both[] = {1, 2};
    pthread_t thread;

    if (memory)
        return;
    fake_region("bulk", 3, 77, 2, both, 2, 0); /* all of it is the window: guarded on both sides */
    pthread_create(&thread, NULL, accept_it, NULL);
    fake_domain(2);
    theirs = palshm_region_open(palshm_open(), "bulk");
    if (!palshm_connect(theirs, 1, "s", 8192, 10000))
        abort();
    pthread_join(thread, NULL);
    memory = palshm_link_memory(link_of_ours, &size);
}

/* Most of what matters lies in the lines. */
static void scribble(struct input *in)
{
    uint64_t where = next(in, 2), what = next(in, 8);

    if (where & 0x8000)
        memcpy(memory + where % (size - 8), &what, 8);
    else
        memcpy(memory + where % 32 * 8, &what, 8);
}

static void expect(ssize_t got, size_t n)
{
    if (got > (ssize_t)n || (got < 0 && errno != EAGAIN && errno != EPROTO && errno != EPIPE &&
                             errno != ECONNRESET && errno != ETIMEDOUT))
        abort();
}

static void play_channel(struct input *in)
{
    static uint8_t buffer[20000];
    palshm_channel *c;

    memset(memory, 0, PALSHM_PAGE);
    c = palshm_channel_new(link_of_ours);
    palshm_channel_timeout(c, 0);
    for (int steps = 0; in->left && steps < 200; steps++) {
        size_t n = next(in, 2) % sizeof(buffer) + 1;
        void *at;
        ssize_t room;

        switch (next(in, 1) % 6) {
        case 0:
            expect(palshm_read_some(c, buffer, n), n);
            break;
        case 1:
            expect(palshm_write_some(c, buffer, n), n);
            break;
        case 2:
            room = palshm_write_begin(c, &at);
            expect(room, size);
            if (room > 0) {
                if ((uint8_t *)at < memory + PALSHM_PAGE || (uint8_t *)at + room > memory + size)
                    abort();
                palshm_write_end(c, n < (size_t)room ? n : (size_t)room);
            }
            break;
        case 3:
            expect(palshm_read(c, buffer, n), n);
            break;
        default:
            scribble(in);
        }
    }
    free(c); /* the link stays */
}

/* ---- the file protocol ---- */

static ssize_t read_input(void *from, void *to, size_t n)
{
    struct input *in = from;

    n = n < in->left ? n : in->left;
    /* Not always all at once. */
    if (n > 1 && in->at[0] & 1)
        n = n / 2;
    memcpy(to, in->at, n);
    in->at += n;
    in->left -= n;
    return (ssize_t)n;
}

static void check_path(const char *path)
{
    if (!*path || *path == '/' || strlen(path) >= PROTO_PATH || !strcmp(path, "..") ||
        !strncmp(path, "../", 3) || strstr(path, "/../") || strstr(path, "//") ||
        !strcmp(path, ".") || (strlen(path) > 2 && !strcmp(path + strlen(path) - 3, "/..")))
        abort();
}

static bool in_file;

static int entry(void *to, const struct proto_entry *e, const char *path)
{
    (void)to;
    check_path(path);
    if (in_file || e->error > 4095 || e->mode > 07777)
        abort();
    in_file = e->kind == PROTO_FILE && !e->error;
    return 0;
}

static int data(void *to, const void *bytes, size_t n)
{
    (void)to, (void)bytes;
    if (!in_file || !n)
        abort();
    return 0;
}

static int done(void *to, bool good, int error)
{
    (void)to, (void)good, (void)error;
    if (!in_file)
        abort();
    in_file = false;
    return 0;
}

static void play_protocol(struct input *in, bool server)
{
    struct proto_source source = {read_input, in};
    struct proto_sink sink = {entry, data, done, NULL};
    struct proto_request r;
    char path[PROTO_PATH];

    in_file = false;
    if (server)
        (void)proto_read_answer(&source, &sink, true);
    else
        while (proto_read_request(&source, &r, path) > 0)
            if (*path)
                check_path(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct input in = {bytes, n};

    set_up();
    switch (next(&in, 1) % 3) {
    case 0:
        play_channel(&in);
        break;
    case 1:
        play_protocol(&in, false);
        break;
    default:
        play_protocol(&in, true);
    }
    return 0;
}
