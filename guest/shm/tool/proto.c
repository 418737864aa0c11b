/* SPDX-License-Identifier: MIT */
#include "proto.h"

#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define PIECE 262144u

bool proto_path_is_good(const char *path, size_t length, bool top)
{
    if (!length)
        return top;
    if (length >= PROTO_PATH || memchr(path, 0, length))
        return false;
    for (size_t at = 0, end; at <= length; at = end + 1) {
        for (end = at; end < length && path[end] != '/'; end++)
            ;
        if (end == at || (end - at == 1 && path[at] == '.') ||
            (end - at == 2 && path[at] == '.' && path[at + 1] == '.'))
            return false;
    }
    return true;
}

int proto_read(const struct proto_source *s, void *to, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = s->read(s->from, (char *)to + done, n - done);

        if (got == 0)
            errno = EPIPE;
        if (got <= 0)
            return -1;
        done += (size_t)got;
    }
    return 0;
}

static int wrong(void)
{
    errno = EPROTO;
    return -1;
}

static int read_path(const struct proto_source *s, char *path, size_t length, bool top)
{
    if (length >= PROTO_PATH)
        return wrong();
    if (proto_read(s, path, length))
        return -1;
    path[length] = 0;
    return proto_path_is_good(path, length, top) ? 0 : wrong();
}

int proto_read_request(const struct proto_source *s, struct proto_request *r, char path[PROTO_PATH])
{
    ssize_t got = s->read(s->from, r, 1);

    if (got <= 0)
        return (int)got;
    if (proto_read(s, (char *)r + 1, sizeof(*r) - 1))
        return -1;
    if (r->magic != PROTO_MAGIC || (r->operation != PROTO_LIST && r->operation != PROTO_GET))
        return wrong();
    return read_path(s, path, r->path, true) ? -1 : 1;
}

/* Chunks and tail of one file. */
static int read_data(const struct proto_source *s, const struct proto_sink *sink)
{
    static __thread char piece[PIECE];
    XXH3_state_t hash;
    struct proto_tail tail;
    uint32_t length;
    bool good;

    XXH3_64bits_reset(&hash);
    for (;;) {
        if (proto_read(s, &length, sizeof(length)))
            return -1;
        if (!length)
            break;
        if (length > PROTO_CHUNK)
            return wrong();
        while (length) {
            ssize_t got = s->read(s->from, piece, length < PIECE ? length : PIECE);

            if (got == 0)
                errno = EPIPE;
            if (got <= 0)
                return -1;
            XXH3_64bits_update(&hash, piece, (size_t)got);
            if (sink->data(sink->to, piece, (size_t)got))
                return -1;
            length -= (uint32_t)got;
        }
    }
    if (proto_read(s, &tail, sizeof(tail)))
        return -1;
    good = tail.hash == XXH3_64bits_digest(&hash) && !tail.error;
    return sink->done(sink->to, good, (int)(tail.error & 4095));
}

int proto_read_answer(const struct proto_source *s, const struct proto_sink *sink, bool data)
{
    char path[PROTO_PATH];
    struct proto_entry e;

    for (;;) {
        if (proto_read(s, &e, sizeof(e)))
            return -1;
        if (e.magic != PROTO_MAGIC || e.kind > PROTO_OTHER)
            return wrong();
        e.error &= 4095;
        e.mode &= 07777;
        if (read_path(s, path, e.path, e.kind == PROTO_END))
            return -1;
        if (e.kind == PROTO_END) {
            errno = (int)e.error;
            return e.error ? -1 : 0;
        }
        if (sink->entry(sink->to, &e, path))
            return -1;
        if (data && e.kind == PROTO_FILE && !e.error && read_data(s, sink))
            return -1;
    }
}
