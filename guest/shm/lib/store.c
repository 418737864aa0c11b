/* SPDX-License-Identifier: MIT */
/*
 * The store's wire protocol (<xen/io/xs_wire.h>) over /dev/xen/xenbus: a header and a body each way. Answers come in the
 * order of requests, one at a time; events of watches come in between and are kept until they are asked for.
 */
#include "devices.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

#define PATIENCE_MS 20000 /* for an answer */
#define KEPT_EVENTS 4096

struct event {
    struct event *next;
    char path[SEAM_PATH], token[SEAM_PATH];
};

struct store {
    int fd;
    size_t have; /* bytes of the message that is coming in */
    union {
        struct xsd_sockmsg header;
        char bytes[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX + 1];
    } in;
    struct event *first, **last;
    size_t kept;
};

int store_open(struct store **out)
{
    struct store *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->last = &s->first;
    s->fd = open("/dev/xen/xenbus", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (s->fd < 0 && errno == ENOENT)
        s->fd = open("/proc/xen/xenbus", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (s->fd < 0) {
        int error = -errno;

        free(s);
        return error;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    while (s->first) {
        struct event *e = s->first;

        s->first = e->next;
        free(e);
    }
    close(s->fd);
    free(s);
}

int store_fd(struct store *s)
{
    return s->fd;
}

/* A message that is whole and is an event: kept. */
static int keep_event(struct store *s)
{
    const char *path = s->in.bytes + sizeof(s->in.header);
    size_t length = strnlen(path, s->in.header.len);
    const char *token = path + length + 1;
    struct event *e;

    if (length + 1 >= s->in.header.len || length >= SEAM_PATH || strlen(token) >= SEAM_PATH)
        return 0; /* not of ours */
    /* One of a kind is enough: what it is about is read later. So their number is bounded by that of nodes. */
    for (e = s->first; e; e = e->next)
        if (!strncmp(e->path, path, length + 1) && !strcmp(e->token, token))
            return 0;
    if (s->kept >= KEPT_EVENTS)
        return -EOVERFLOW;
    e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    memcpy(e->path, path, length);
    strcpy(e->token, token);
    *s->last = e;
    s->last = &e->next;
    s->kept++;
    return 0;
}

/* Reads on until a message is whole (1), or there is nothing more now (0). */
static int read_on(struct store *s)
{
    for (;;) {
        size_t header = sizeof(s->in.header), want = header;
        ssize_t got;

        if (s->have >= header) {
            if (s->in.header.len > XENSTORE_PAYLOAD_MAX)
                return -EPROTO;
            want += s->in.header.len;
        }
        if (s->have >= header && s->have == want) {
            s->in.bytes[want] = 0;
            s->have = 0;
            return 1;
        }
        got = read(s->fd, s->in.bytes + s->have, want - s->have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN ? 0 : -errno;
        if (got == 0)
            return -EIO;
        s->have += (size_t)got;
    }
}

static int error_of(const char *name)
{
    for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
        if (!strcmp(name, xsd_errors[i].errstring))
            return -xsd_errors[i].errnum;
    return -EIO;
}

/* Waits for the answer to a request of this type; its body stays in `in`. Returns the body's length. */
static int answer(struct store *s, uint32_t type)
{
    for (;;) {
        int whole = read_on(s);
        struct pollfd p = {.fd = s->fd, .events = POLLIN};

        if (whole < 0)
            return whole;
        if (!whole) {
            int ready = poll(&p, 1, PATIENCE_MS);

            if (ready == 0)
                return -ETIMEDOUT;
            if (ready < 0 && errno != EINTR)
                return -errno;
            continue;
        }
        if (s->in.header.type == XS_WATCH_EVENT) {
            int error = keep_event(s);

            if (error)
                return error;
            continue;
        }
        if (s->in.header.type == XS_ERROR)
            return error_of(s->in.bytes + sizeof(s->in.header));
        if (s->in.header.type != type)
            return -EPROTO;
        return (int)s->in.header.len;
    }
}

/* One request whose body is two parts; returns the answer's length. */
static int ask(struct store *s, uint32_t type, const void *a, size_t a_size, const void *b,
               size_t b_size)
{
    char message[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    struct xsd_sockmsg header = {.type = type, .len = (uint32_t)(a_size + b_size)};
    size_t size = sizeof(header) + a_size + b_size, done = 0;

    if (size > sizeof(message))
        return -E2BIG;
    memcpy(message, &header, sizeof(header));
    memcpy(message + sizeof(header), a, a_size);
    if (b_size)
        memcpy(message + sizeof(header) + a_size, b, b_size);
    while (done < size) {
        ssize_t put = write(s->fd, message + done, size - done);

        if (put < 0 && errno != EINTR)
            return -errno;
        if (put > 0)
            done += (size_t)put;
    }
    return answer(s, type);
}

static int read_text(struct store *s, uint32_t type, const char *path, char *value, size_t room)
{
    int length = ask(s, type, path, strlen(path) + 1, NULL, 0);

    if (length < 0)
        return length;
    if ((size_t)length >= room)
        return -ENOSPC;
    memcpy(value, s->in.bytes + sizeof(s->in.header), (size_t)length);
    value[length] = 0;
    return length;
}

int store_read(struct store *s, const char *path, char *value, size_t room)
{
    return read_text(s, XS_READ, path, value, room);
}

int store_list(struct store *s, const char *path, char *names, size_t room)
{
    return read_text(s, XS_DIRECTORY, path, names, room);
}

int store_write(struct store *s, const char *path, const char *value)
{
    int got = ask(s, XS_WRITE, path, strlen(path) + 1, value, strlen(value));

    return got < 0 ? got : 0;
}

int store_remove(struct store *s, const char *path)
{
    int got = ask(s, XS_RM, path, strlen(path) + 1, NULL, 0);

    return got < 0 ? got : 0;
}

int store_share(struct store *s, const char *path, uint32_t owner, const uint32_t *readers,
                size_t n)
{
    char list[SEAM_VALUE];
    size_t length = (size_t)snprintf(list, sizeof(list), "n%u", owner) + 1;
    int got;

    for (size_t i = 0; i < n && length + 12 < sizeof(list); i++)
        if (readers[i] != owner)
            length += (size_t)snprintf(list + length, sizeof(list) - length, "r%u", readers[i]) + 1;
    got = ask(s, XS_SET_PERMS, path, strlen(path) + 1, list, length);
    return got < 0 ? got : 0;
}

int store_watch(struct store *s, const char *path, const char *token, bool on)
{
    int got = ask(s, on ? XS_WATCH : XS_UNWATCH, path, strlen(path) + 1, token, strlen(token) + 1);

    return got < 0 ? got : 0;
}

bool store_pending(struct store *s)
{
    return s->first != NULL;
}

int store_event(struct store *s, char *path, char *token, size_t room)
{
    struct event *e;

    while (!s->first) {
        int whole = read_on(s);

        if (whole <= 0)
            return whole;
        if (s->in.header.type == XS_WATCH_EVENT && (whole = keep_event(s)))
            return whole;
    }
    e = s->first;
    s->first = e->next;
    if (!s->first)
        s->last = &s->first;
    s->kept--;
    snprintf(path, room, "%s", e->path);
    snprintf(token, room, "%s", e->token);
    free(e);
    return 1;
}
