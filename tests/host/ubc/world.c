/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"
#include "grant.h"

#define CACHED 512u

struct world world;
static struct io *pending[4096];
static unsigned pendings;
static struct cached {
    uint32_t object;
    uint64_t page;
    uint8_t data[BASE_PAGE];
} * cached;
static uint32_t next_object;
static uint64_t names[64][2];
static bool reader[64][3];

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    (void)clock;
    *t = (struct timespec){(world.now ? world.now : time(NULL)) + world.later, 0};
    return 0;
}

uint64_t world_random(uint64_t below)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return world.random % below;
}

void world_begin(uint64_t seed)
{
    unsigned later = world.later;

    memset(&world, 0, sizeof(world));
    world.later = later;
    world.random = seed * 0x9e3779b97f4a7c15ull + 1;
    for (unsigned i = 0; i < 3; i++)
        world.memory[i] = aligned_alloc(4096, WORLD_PAGES * 4096);
    cached = calloc(CACHED, sizeof(*cached));
    for (unsigned i = 0; i < CACHED; i++)
        cached[i].object = CACHE_NONE;
    next_object = 0;
    memset(reader, 0, sizeof(reader));
    pendings = 0;
}

void world_end(void)
{
    for (unsigned i = 0; i < 3; i++)
        free(world.memory[i]);
    for (unsigned i = 0; i < world.steps; i++)
        free(world.step[i].data);
    free(world.step);
    free(cached);
}

/* ---- grants ---- */

static uint8_t *granted(uint32_t domain, const struct grant_copy *c)
{
    if (domain < 1 || domain > 3 || c->ref < WORLD_REF || c->ref >= WORLD_REF + WORLD_PAGES ||
        c->offset + c->length > 4096)
        return NULL;
    return world.memory[domain - 1] + (c->ref - WORLD_REF) * 4096 + c->offset;
}

bool grant_copy_from(uint32_t domain, const struct grant_copy *list, unsigned count)
{
    bool good = true;

    for (unsigned i = 0; i < count; i++) {
        uint8_t *from = granted(domain, &list[i]);

        good = good && from;
        if (from)
            memcpy(list[i].ours, from, list[i].length);
    }
    return good;
}

bool grant_copy_to(uint32_t domain, const struct grant_copy *list, unsigned count)
{
    bool good = true;

    for (unsigned i = 0; i < count; i++) {
        uint8_t *to = granted(domain, &list[i]);

        good = good && to;
        if (to)
            memcpy(to, list[i].ours, list[i].length);
    }
    return good;
}

/* ---- the cache ---- */

uint32_t cache_object(const uint64_t name[2], uint64_t pages)
{
    (void)pages;
    if (!world.cached)
        return CACHE_NONE;
    for (uint32_t i = 0; i < next_object; i++) {
        if (!memcmp(names[i], name, sizeof(names[i])))
            return i;
    }
    if (next_object == 64)
        return CACHE_NONE;
    memcpy(names[next_object], name, sizeof(names[0]));
    return next_object++;
}

void cache_retire(uint32_t object)
{
    for (unsigned i = 0; i < CACHED; i++) {
        if (cached[i].object == object)
            cached[i].object = CACHE_NONE;
    }
    names[object][0] = ~0ull;
}

void cache_reader(uint32_t object, uint32_t domain, bool allow)
{
    reader[object][domain - 1] = allow;
}

int cache_copy(uint32_t object, uint32_t domain, struct cache_piece *list, unsigned count)
{
    if (!reader[object][domain - 1])
        return -EPERM;
    for (unsigned i = 0; i < count; i++) {
        struct cached *c = &cached[(list[i].page * 7 + object) % CACHED];
        struct grant_copy g = {NULL, list[i].ref, list[i].offset, list[i].length};
        uint8_t *to = granted(domain, &g);

        if (world_random(8) == 0) /* somebody needs memory */
            cached[world_random(CACHED)].object = CACHE_NONE;
        list[i].status = (int16_t)(!to                                              ? -EACCES
                                   : c->object == object && c->page == list[i].page ? 0
                                                                                    : -ENOENT);
        world.misses += list[i].status == -ENOENT;
        if (!list[i].status)
            memcpy(to, c->data + list[i].start, list[i].length);
    }
    return (int)count;
}

int cache_insert(uint32_t object, uint32_t domain, uint64_t page, unsigned count,
                 const uint8_t *data)
{
    (void)domain;
    for (unsigned i = 0; i < count; i++) {
        struct cached *c = &cached[((page + i) * 7 + object) % CACHED];

        c->object = object;
        c->page = page + i;
        memcpy(c->data, data + i * BASE_PAGE, BASE_PAGE);
        world.inserts++;
    }
    return 0;
}

/* ---- files ---- */

void io_begin(struct io *io)
{
    if (pendings == sizeof(pending) / sizeof(pending[0]))
        abort();
    io->moved = world.steps;
    world.lane = io->lane;
    pending[pendings++] = io;
}

static void note(const struct io *io, bool failed)
{
    struct world_step *s;

    if (!world.record || io->kind == IO_READ || (failed && io->kind != IO_SYNC))
        return;
    world.step = realloc(world.step, (world.steps + 1) * sizeof(*world.step));
    s = &world.step[world.steps++];
    *s = (struct world_step){.kind = io->kind,
                             .fd = io->fd,
                             .offset = io->offset,
                             .size = io->size,
                             .began = (unsigned)io->moved,
                             .failed = failed};
    if (io->kind == IO_WRITE) {
        s->data = malloc(io->size);
        memcpy(s->data, io->buffer, io->size);
    }
}

static int carry_out(struct io *io)
{
    ssize_t got = 0;

    /* A flush that fails is a test of its own: after it a disk does little. */
    bool flushes = io->kind == IO_SYNC || (io->kind == IO_WRITE && io->offset < 12288);
    bool failed = (world.fail_every && world_random(world.fail_every) == 0 && !flushes) ||
                  (world.spoil && world.spoil(io));

    note(io, failed);
    if (failed)
        return -EIO;
    switch (io->kind) {
    case IO_READ:
        world.reads++;
        got = pread(io->fd, io->buffer, io->size, (off_t)io->offset);
        return got == (ssize_t)io->size ? 0 : -EIO;
    case IO_WRITE:
        got = pwrite(io->fd, io->buffer, io->size, (off_t)io->offset);
        return got == (ssize_t)io->size ? 0 : -ENOSPC;
    case IO_PUNCH:
        return fallocate(io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)io->offset,
                         (off_t)io->size)
                   ? -errno
                   : 0;
    case IO_SYNC:
        break;
    }
    return 0;
}

unsigned world_under_way(void)
{
    return pendings;
}

bool world_advance(void)
{
    struct io *io;
    unsigned which;

    while (disk_is_waiting())
        disk_attend();
    if (!pendings)
        return false;
    which = (unsigned)world_random(pendings);
    io = pending[which];
    pending[which] = pending[--pendings];
    io->done(io, carry_out(io));
    while (disk_is_waiting())
        disk_attend();
    return true;
}

void world_settle(void)
{
    while (world_advance())
        ;
}
