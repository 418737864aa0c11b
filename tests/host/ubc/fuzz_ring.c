/* SPDX-License-Identifier: MIT */
/*
 * A hostile frontend: whatever lies in the ring and its indices, at any moment, the engine touches nothing but what was
 * granted and the disk's own bytes, and stays bounded. Input: seed, then turns of (offset, length, bytes) into the shared ring.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk.h"
#include "world.h"

#define SIZE (64u * 4096)

static int own = -1, base = -1;

static void notify(struct disk *d)
{
    (void)d;
}

static void open_files(void)
{
    char why[OVERLAY_WHY], path[] = "/tmp/ubc-fuzz-XXXXXX", name[64];
    struct stat st;

    base = memfd_create("base", 0);
    if (base < 0 || ftruncate(base, SIZE) || fstat(base, &st) || !mkdtemp(path))
        abort();
    snprintf(name, sizeof(name), "%s/overlay", path);
    if (overlay_create(name, "/base", &st, 0, why))
        abort();
    own = open(name, O_RDWR);
    unlink(name);
    rmdir(path);
}

static struct volume *open_volume(void)
{
    struct volume *v = calloc(1, sizeof(*v));
    char why[OVERLAY_WHY];

    v->fd = dup(own);
    v->overlay = calloc(1, sizeof(*v->overlay));
    if (overlay_open(v->fd, -1, v->overlay, why))
        abort();
    v->base = base_get(dup(base));
    v->size = v->overlay->size;
    v->cached = true;
    base_add_reader(v->base, 1);
    return v;
}

/* A request that has a chance: from eight bytes. */
static void put_request(uint8_t *page, const uint8_t *from)
{
    struct blkif_sring *shared = (void *)page;
    struct blkif_request *r = &shared->ring[shared->req_prod % 32].req;

    memset(r, 0, sizeof(*r));
    r->operation = from[0] % 7;
    r->nr_segments = from[1] % 13;
    r->id = from[2];
    r->sector_number = from[3] * 2u;
    for (unsigned i = 0; i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
        r->seg[i] = (struct blkif_request_segment){WORLD_REF + from[4] + i, from[5] % 8,
                                                   (uint8_t)(7 - from[6] % 4)};
    if (r->operation == BLKIF_OP_DISCARD)
        ((struct blkif_request_discard *)(void *)r)->nr_sectors = from[5];
    if (r->operation == BLKIF_OP_INDIRECT) {
        struct blkif_request_indirect *i = (void *)r;
        struct blkif_request_segment *list = (void *)world.memory[0];

        i->indirect_op = from[1] & 1;
        i->nr_segments = from[6];
        i->handle = 0;
        i->sector_number = from[3];
        i->indirect_grefs[0] = WORLD_REF + from[7] % 2;
        for (unsigned n = 0; n < 256; n++)
            list[n] = (struct blkif_request_segment){WORLD_REF + n, from[5] % 8, 7};
    }
    shared->req_prod++;
}

/* Any bytes anywhere. */
static size_t poke(uint8_t *page, const uint8_t *data, size_t left)
{
    size_t offset = (data[0] | data[1] << 8) % 4096, length = data[2];

    data += 3;
    left -= 3;
    length = length > left ? left : length;
    length = length > 4096 - offset ? 4096 - offset : length;
    memcpy(page + offset, data, length);
    return 3 + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t page[4096] __attribute__((aligned(4096)));
    struct disk *d = calloc(1, sizeof(*d));

    if (own < 0)
        open_files();
    world_begin(size ? data[0] : 0);
    world.cached = size & 1;
    world.fail_every = size & 2 ? 10 : 0;
    memset(page, 0, sizeof(page));
    d->domain = 1;
    d->volume = open_volume();
    d->notify = notify;
    disk_connect(d, page, 1);
    for (size_t at = 1; at + 9 <= size;) {
        unsigned what = data[at++];

        if (what & 1) {
            put_request(page, data + at);
            at += 8;
        } else {
            at += poke(page, data + at, size - at);
        }
        disk_wake(d);
        for (unsigned n = 0; n < what % 8; n++)
            world_advance();
        if (d->bytes > DISK_BYTES_MOST + 4 * REQUEST_MOST_SIZE)
            abort();
    }
    d->closing = true;
    d->idle = notify;
    world_settle();
    if (d->bytes || d->ring.taken != d->ring.answered)
        abort();
    disk_forget(d);
    volume_free(d->volume, false);
    free(d);
    world_end();
    return 0;
}
