/* SPDX-License-Identifier: MIT */
#include "guest.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "world.h"

enum {
    FREE,
    READ_BY = 1,
    BUSY = 100,
    UNKNOWN = 101
}; /* of a sector: READ_BY to BUSY - 1 readers */

#define VERSIONS 100000u

void guest_fill(uint8_t *to, uint64_t sector, uint32_t version)
{
    uint64_t state = sector * 0x9e3779b97f4a7c15ull ^ ((uint64_t)version << 32 | version);

    memcpy(to, &sector, 8);
    memcpy(to + 8, &version, 4);
    for (unsigned i = 12; i < SECTOR; i++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        to[i] = (uint8_t)(state >> 56);
    }
}

uint32_t guest_version(const uint8_t *bytes, uint64_t sector)
{
    uint8_t want[SECTOR];
    uint32_t version;

    memcpy(&version, bytes + 8, 4);
    guest_fill(want, sector, version);
    return memcmp(bytes, want, SECTOR) ? ~0u : version;
}

static void notify(struct disk *d)
{
    (void)d;
}

struct guest *guest_new(uint32_t domain, struct volume *v)
{
    struct guest *g = calloc(1, sizeof(*g));

    g->disk.domain = domain;
    g->disk.volume = v;
    g->disk.notify = notify;
    g->shared = aligned_alloc(4096, 4096);
    memset(g->shared, 0, 4096);
    g->sectors = v->size / SECTOR;
    g->version = calloc(g->sectors, sizeof(*g->version));
    g->asked = calloc(g->sectors, sizeof(*g->asked));
    g->state = calloc(g->sectors, 1);
    g->written = calloc(VERSIONS, sizeof(*g->written));
    disk_connect(&g->disk, g->shared, 1);
    return g;
}

void guest_free(struct guest *g)
{
    for (unsigned i = 0; i < g->flushes; i++)
        free(g->flushed[i].least);
    for (unsigned i = 0; i < GUEST_SLOTS; i++)
        free(g->op[i].snapshot);
    for (unsigned i = 0; i < g->barriers; i++)
        free(g->barrier[i].before);
    free(g->barrier);
    free(g->asked);
    free(g->flushed);
    free(g->written);
    free(g->shared);
    free(g->version);
    free(g->state);
    free(g);
}

static uint8_t *page_of(const struct guest *g, unsigned slot, unsigned page)
{
    return world.memory[g->disk.domain - 1] + (slot * GUEST_PAGES + page) * 4096;
}

static uint8_t *bytes_of(const struct guest *g, unsigned slot, unsigned segment)
{
    return page_of(g, slot, segment) + g->op[slot].segment[segment].offset;
}

/* Cut the sectors into segments of random sizes. */
static bool cut(struct guest *g, unsigned slot, unsigned count)
{
    struct guest_op *op = &g->op[slot];
    bool whole = world_random(2);

    op->segments = 0;
    while (count) {
        unsigned now = whole ? 8 : 1 + (unsigned)world_random(8);
        unsigned at;

        if (now > count)
            now = count;
        at = (unsigned)world_random(8 - now + 1);
        if (op->segments == GUEST_PAGES - 1)
            return false;
        op->segment[op->segments] =
            (struct request_segment){WORLD_REF + slot * GUEST_PAGES + op->segments,
                                     (uint16_t)(at * SECTOR), (uint16_t)(now * SECTOR)};
        op->segments++;
        count -= now;
    }
    return true;
}

static void put_in_ring(struct guest *g, unsigned slot)
{
    const struct guest_op *op = &g->op[slot];
    struct blkif_request *r = &g->shared->ring[g->shared->req_prod % 32].req;
    struct blkif_request_segment *list = r->seg;

    memset(r, 0, sizeof(*r));
    r->operation = op->operation;
    r->id = slot;
    r->sector_number = op->first;
    r->nr_segments = (uint8_t)op->segments;
    if (op->kind == REQUEST_DISCARD) {
        ((struct blkif_request_discard *)(void *)r)->nr_sectors = op->count;
    } else if (op->segments > BLKIF_MAX_SEGMENTS_PER_REQUEST ||
               (op->segments && op->kind != REQUEST_BARRIER && world_random(2))) {
        struct blkif_request_indirect *i = (void *)r;

        list = (void *)page_of(g, slot, GUEST_PAGES - 1);
        i->operation = BLKIF_OP_INDIRECT;
        i->indirect_op = op->operation;
        i->nr_segments = (uint16_t)op->segments;
        i->id = slot;
        i->sector_number = op->first;
        i->indirect_grefs[0] = WORLD_REF + slot * GUEST_PAGES + GUEST_PAGES - 1;
    }
    for (unsigned n = 0; op->kind != REQUEST_DISCARD && n < op->segments; n++)
        list[n] = (struct blkif_request_segment){
            op->segment[n].ref, (uint8_t)(op->segment[n].offset / SECTOR),
            (uint8_t)((op->segment[n].offset + op->segment[n].length) / SECTOR - 1)};
    g->shared->req_prod++;
}

static bool changes(enum request_kind kind)
{
    return kind == REQUEST_WRITE || kind == REQUEST_BARRIER || kind == REQUEST_DISCARD;
}

/* No sector of it is under way in a way that would leave open what it holds. */
static bool is_free(const struct guest *g, enum request_kind kind, uint64_t first, unsigned count)
{
    for (uint64_t s = first; s < first + count; s++) {
        if (g->state[s] == BUSY || (changes(kind) && g->state[s] > FREE && g->state[s] < BUSY))
            return false;
    }
    return true;
}

static void fill_pages(struct guest *g, unsigned slot)
{
    const struct guest_op *op = &g->op[slot];
    uint64_t sector = op->first;

    for (unsigned i = 0; i < op->segments; i++) {
        for (unsigned at = 0; at < op->segment[i].length; at += SECTOR, sector++) {
            if (op->kind == REQUEST_READ)
                memset(bytes_of(g, slot, i) + at, 0xee, SECTOR);
            else
                guest_fill(bytes_of(g, slot, i) + at, sector, op->version);
        }
    }
}

static uint32_t *copy_of(const struct guest *g, const uint32_t *versions)
{
    uint32_t *copy = malloc(g->sectors * sizeof(*copy));

    memcpy(copy, versions, g->sectors * sizeof(*copy));
    return copy;
}

/* What will be durable when it is answered, and what must be before its own data are. */
static void note_promise(struct guest *g, struct guest_op *op)
{
    if (op->kind == REQUEST_BARRIER && op->count) {
        g->barrier = realloc(g->barrier, (g->barriers + 1) * sizeof(*g->barrier));
        g->barrier[g->barriers++] =
            (struct guest_barrier){op->version, copy_of(g, g->asked), op->first, op->count};
    }
    for (uint64_t s = op->first; changes(op->kind) && s < op->first + op->count; s++)
        g->asked[s] = op->version;
    if (op->kind == REQUEST_FLUSH)
        op->snapshot = copy_of(g, g->version);
    else if (op->kind == REQUEST_BARRIER)
        op->snapshot = copy_of(g, g->asked);
}

bool guest_put(struct guest *g, enum request_kind kind, uint64_t first, unsigned count)
{
    static const uint8_t operations[] = {
        [REQUEST_READ] = BLKIF_OP_READ,
        [REQUEST_WRITE] = BLKIF_OP_WRITE,
        [REQUEST_BARRIER] = BLKIF_OP_WRITE_BARRIER,
        [REQUEST_FLUSH] = BLKIF_OP_FLUSH_DISKCACHE,
        [REQUEST_DISCARD] = BLKIF_OP_DISCARD,
    };
    static uint32_t last_version;
    unsigned slot = 0;
    struct guest_op *op;

    while (slot < GUEST_SLOTS && g->op[slot].used)
        slot++;
    if (slot == GUEST_SLOTS || !is_free(g, kind, first, count))
        return false;
    op = &g->op[slot];
    op->kind = kind;
    op->operation = operations[kind];
    op->first = first;
    op->count = count;
    op->segments = 0;
    if (kind != REQUEST_DISCARD && !cut(g, slot, count))
        return false;
    if (kind == REQUEST_BARRIER && op->segments > BLKIF_MAX_SEGMENTS_PER_REQUEST)
        return false;
    op->used = true;
    op->version = ++last_version % VERSIONS;
    g->written[op->version].first = first;
    g->written[op->version].count = changes(kind) ? count : 0;
    g->written[op->version].failed = false;
    fill_pages(g, slot);
    note_promise(g, op);
    for (uint64_t s = first; s < first + count; s++) {
        if (changes(kind))
            g->state[s] = BUSY;
        else if (g->state[s] < BUSY - 1)
            g->state[s]++;
    }
    g->under_way++;
    put_in_ring(g, slot);
    disk_wake(&g->disk);
    return true;
}

void guest_ask(struct guest *g)
{
    static const enum request_kind kinds[] = {
        REQUEST_READ,  REQUEST_READ,  REQUEST_READ,  REQUEST_READ,    REQUEST_WRITE,  REQUEST_WRITE,
        REQUEST_WRITE, REQUEST_WRITE, REQUEST_FLUSH, REQUEST_BARRIER, REQUEST_DISCARD};
    enum request_kind kind = kinds[world_random(11)];
    unsigned count = 1 + (unsigned)world_random(world_random(3) ? 20 : 200);
    uint64_t first = world_random(g->sectors);

    if (world_random(2)) {
        first -= first % 8;
        count = (count + 7) / 8 * 8;
    }
    if (count > g->sectors - first)
        count = (unsigned)(g->sectors - first);
    if (kind == REQUEST_FLUSH || (kind == REQUEST_BARRIER && world_random(2)))
        first = count = 0;
    guest_put(g, kind, first, count);
}

static void check_read(struct guest *g, unsigned slot)
{
    const struct guest_op *op = &g->op[slot];
    uint64_t sector = op->first;

    for (unsigned i = 0; i < op->segments; i++) {
        for (unsigned at = 0; at < op->segment[i].length; at += SECTOR, sector++) {
            if (g->state[sector] < BUSY)
                assert_int_equal(guest_version(bytes_of(g, slot, i) + at, sector),
                                 g->version[sector]);
        }
    }
}

static void end_op(struct guest *g, unsigned slot, bool good)
{
    struct guest_op *op = &g->op[slot];

    if (op->kind == REQUEST_READ && good)
        check_read(g, slot);
    for (uint64_t s = op->first; s < op->first + op->count; s++) {
        if (!changes(op->kind)) {
            if (g->state[s] > FREE && g->state[s] < BUSY)
                g->state[s]--;
            continue;
        }
        /* A failed write, and a discard, leave open what there is. */
        g->state[s] = good && op->kind != REQUEST_DISCARD ? FREE : UNKNOWN;
        if (good)
            g->version[s] = op->version;
    }
    g->written[op->version].failed = !good;
    if (op->snapshot && good) {
        g->flushed = realloc(g->flushed, (g->flushes + 1) * sizeof(*g->flushed));
        g->flushed[g->flushes++] = (struct guest_flush){world.steps, op->snapshot};
        op->snapshot = NULL;
    }
    free(op->snapshot);
    op->snapshot = NULL;
    op->used = false;
    g->under_way--;
}

void guest_listen(struct guest *g)
{
    while (g->consumed != g->shared->rsp_prod) {
        const struct blkif_response *r = &g->shared->ring[g->consumed % 32].rsp;

        assert_true(r->id < GUEST_SLOTS && g->op[r->id].used);
        assert_int_equal(r->operation, g->op[r->id].operation);
        if (r->status != BLKIF_RSP_OKAY)
            assert_true(g->may_fail);
        /* Linux's driver takes these for a feature that is missing, and a flush that failed for a good one. */
        if (g->op[r->id].kind == REQUEST_FLUSH || g->op[r->id].kind == REQUEST_BARRIER)
            assert_true(r->status != BLKIF_RSP_ERROR && r->status != BLKIF_RSP_EOPNOTSUPP);
        g->errors += r->status != BLKIF_RSP_OKAY;
        g->answers++;
        end_op(g, (unsigned)r->id, r->status == BLKIF_RSP_OKAY);
        g->consumed++;
    }
    g->shared->rsp_event = g->consumed + 1;
}
