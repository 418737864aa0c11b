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
    base_add_reader(v->base, 1);
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t page[4096] __attribute__((aligned(4096)));
    struct disk *d = calloc(1, sizeof(*d));

    if (own < 0)
        open_files();
    world_begin(size ? data[0] : 0);
    world.later = 0; /* the fuzzer looks at the clock, too */
    world.cached = size & 1;
    for (unsigned i = 0; i < 3; i++)
        memset(world.memory[i], (int)i * 3, WORLD_PAGES * 4096);
    memset(page, 0, sizeof(page));
    d->domain = 1;
    d->volume = open_volume();
    d->notify = notify;
    disk_connect(d, page, 1);
    for (size_t at = 1; at + 3 <= size;) {
        size_t offset = (data[at] | data[at + 1] << 8) % sizeof(page), length = data[at + 2];

        at += 3;
        length = length > size - at ? size - at : length;
        length = length > sizeof(page) - offset ? sizeof(page) - offset : length;
        memcpy(page + offset, data + at, length);
        at += length;
        disk_wake(d);
        for (unsigned n = 0; n < 3; n++)
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
