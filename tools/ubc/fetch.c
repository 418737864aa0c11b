/* SPDX-License-Identifier: MIT */
#include "fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "io.h"

#define RUN_MOST 64u /* pages that are read at once */
#define BUCKETS  1024u

struct waiter {
    struct waiter *next;
    unsigned start, length;
    uint8_t *to;
    fetch_done *done;
    void *owner;
};

struct run;
struct wanted {          /* one page under way */
    struct wanted *next; /* in its bucket */
    struct run *run;
    uint64_t page;
    struct waiter *waiters;
};

struct run {
    struct io io;
    struct base *base;
    uint32_t reader;  /* who asked first */
    unsigned changes; /* of the base before it was read */
    unsigned pages;
    struct wanted wanted[RUN_MOST];
};

static struct wanted *bucket[BUCKETS];
static struct run *open_run; /* not begun yet: it may grow */

static struct wanted **bucket_of(const struct base *b, uint64_t page)
{
    uint64_t hash = ((uintptr_t)b >> 6 ^ page) * 0x9e3779b97f4a7c15ull;

    return &bucket[hash >> 54];
}

static bool may_wait(uint32_t reader, uint32_t first)
{
    return reader == first || !((reader | first) & FETCH_PRIVATE);
}

static struct wanted *look_up(const struct base *b, uint64_t page, uint32_t reader)
{
    struct wanted *w = *bucket_of(b, page);

    while (w && (w->run->base != b || w->page != page || !may_wait(reader, w->run->reader)))
        w = w->next;
    return w;
}

bool fetch_under_way(const struct base *b, uint64_t page, uint32_t reader)
{
    return look_up(b, page, reader);
}

static void unlink_wanted(struct wanted *w)
{
    struct wanted **link = bucket_of(w->run->base, w->page);

    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
}

static void begin(struct run *run, void (*done)(struct io *, int))
{
    uint64_t offset = run->wanted[0].page * BASE_PAGE, size = run->base->size;
    size_t bytes = run->pages * BASE_PAGE, there = offset < size ? (size_t)(size - offset) : 0;
    uint8_t *buffer = aligned_alloc(BASE_PAGE, bytes);

    run->changes = run->base->changes;
    run->io = (struct io){.kind = IO_READ,
                          .fd = run->base->fd,
                          .lane = &run->base->lane[run->reader % BASE_LANES],
                          .buffer = buffer,
                          .size = there < bytes ? there : bytes,
                          .offset = offset,
                          .done = done};
    if (!buffer) {
        done(&run->io, -ENOMEM);
        return;
    }
    if (run->io.size < bytes)
        memset(buffer + run->io.size, 0, bytes - run->io.size);
    io_begin(&run->io);
}

static void hand_out(struct run *run, unsigned index, int result)
{
    struct waiter *waiter = run->wanted[index].waiters;

    while (waiter) {
        struct waiter *next = waiter->next;

        if (!result)
            memcpy(waiter->to, run->io.buffer + index * BASE_PAGE + waiter->start, waiter->length);
        waiter->done(waiter->owner, result);
        free(waiter);
        waiter = next;
    }
}

static void end(struct io *io, int result);

/* A page that cannot be read must not take its neighbours with it: each once more on its own. */
static bool split(struct run *run)
{
    for (unsigned i = 0; i < run->pages; i++) {
        struct run *one = calloc(1, sizeof(*one));

        unlink_wanted(&run->wanted[i]);
        if (!one) {
            hand_out(run, i, -EIO);
            continue;
        }
        one->base = run->base;
        one->base->users++;
        one->reader = run->reader;
        one->pages = 1;
        one->wanted[0] = run->wanted[i];
        one->wanted[0].run = one;
        one->wanted[0].next = *bucket_of(one->base, one->wanted[0].page);
        *bucket_of(one->base, one->wanted[0].page) = &one->wanted[0];
        begin(one, end);
    }
    return true;
}

static void end(struct io *io, int result)
{
    struct run *run = (struct run *)(void *)io;
    uint32_t object;

    if (result && run->pages > 1 && io->buffer) {
        split(run);
    } else {
        /* Looked at after the read: what has changed meanwhile is not put in, nor what was noticed to. */
        object = result || run->reader & FETCH_PRIVATE ? CACHE_NONE : base_object(run->base);
        if (run->changes != run->base->changes)
            object = CACHE_NONE;
        if (object != CACHE_NONE)
            base_cache_said(
                run->base, object,
                cache_insert(object, run->reader, run->wanted[0].page, run->pages, io->buffer));
        for (unsigned i = 0; i < run->pages; i++)
            unlink_wanted(&run->wanted[i]);
        for (unsigned i = 0; i < run->pages; i++)
            hand_out(run, i, result);
    }
    base_put(run->base);
    free(io->buffer);
    free(run);
}

/* The page's place in the run that is open, or in a new one. */
static struct wanted *add_page(struct base *b, uint64_t page, uint32_t reader)
{
    struct wanted *w;

    if (open_run &&
        (open_run->base != b || open_run->reader != reader || open_run->pages == RUN_MOST ||
         open_run->wanted[0].page + open_run->pages != page))
        fetch_kick();
    if (!open_run) {
        open_run = calloc(1, sizeof(*open_run));
        if (!open_run)
            return NULL;
        open_run->base = b;
        b->users++;
        open_run->reader = reader;
    }
    w = &open_run->wanted[open_run->pages++];
    w->run = open_run;
    w->page = page;
    w->next = *bucket_of(b, page);
    *bucket_of(b, page) = w;
    return w;
}

int fetch_want(struct base *b, uint64_t page, unsigned start, unsigned length, uint8_t *to,
               uint32_t reader, fetch_done *done, void *owner)
{
    struct waiter *waiter = malloc(sizeof(*waiter));
    struct wanted *w = look_up(b, page, reader);

    if (waiter && !w)
        w = add_page(b, page, reader);
    if (!waiter || !w) {
        free(waiter);
        return -ENOMEM;
    }
    *waiter = (struct waiter){w->waiters, start, length, to, done, owner};
    w->waiters = waiter;
    return 0;
}

void fetch_kick(void)
{
    struct run *run = open_run;

    open_run = NULL;
    if (run)
        begin(run, end);
}
