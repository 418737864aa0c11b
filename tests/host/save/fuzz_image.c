/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an image. The first byte chooses how it is read and what is put right beforehand
 * (checksums, numbers, lengths), so that the fuzzer gets behind the checksums. Whatever the reader
 * delivers must be within the image's own facts; what it calls sound must be complete, and reading by
 * index and verifying must then not find other faults than those they alone look for.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/chain.h"
#include "image/limits.h"
#include "image/rewrite.h"
#include "image/tools.h"

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%d: %s\n", __LINE__, #x);                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { FIX_SUMS = 1, FIX_LENGTHS = 2, FIX_END = 4, BY_PIPE = 8, TWO_WORKERS = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- putting right ---- */

static void fix_end(uint8_t *body, size_t at, size_t index_at, const struct chain *chain)
{
    struct image_end end;

    memcpy(&end, body, sizeof(end));
    end.length = at + sizeof(struct image_record) + sizeof(end);
    end.index_offset = index_at;
    end.records_checksum = chain_value(chain);
    memcpy(body, &end, sizeof(end));
}

static void fix(uint8_t *image, size_t size, unsigned how)
{
    struct image_header *h = (struct image_header *)image;
    size_t at = sizeof(*h), index_at = 0;
    struct image_record r;
    struct chain chain;

    if (size < sizeof(*h) || !(how & FIX_SUMS))
        return;
    h->checksum = checksum_of(0, h, offsetof(struct image_header, checksum));
    chain_begin(&chain, h->id);
    for (uint32_t number = 0; size - at >= sizeof(r); number++) {
        size_t left = size - at - sizeof(r);
        uint8_t *body = image + at + sizeof(r);

        memcpy(&r, image + at, sizeof(r));
        if (how & FIX_LENGTHS) {
            r.number = number;
            r.body_length = r.body_length < left ? r.body_length : (uint32_t)left;
            left -= r.body_length;
            r.data_length = r.data_length < left ? r.data_length : (uint32_t)left;
        }
        if ((uint64_t)r.body_length + r.data_length > size - at - sizeof(r))
            return;
        index_at = r.type == IMAGE_INDEX ? at : index_at;
        if (how & FIX_END && r.type == IMAGE_END && r.body_length == sizeof(struct image_end))
            fix_end(body, at, index_at, &chain);
        r.body_checksum = checksum_of(h->id, body, r.body_length);
        r.data_checksum = checksum_of(h->id, body + r.body_length, r.data_length);
        r.above_checksum = record_above(h->id, &r);
        memcpy(image + at, &r, sizeof(r));
        chain_add(&chain, &r);
        at += sizeof(r) + r.body_length + r.data_length;
    }
}

/* ---- the sink ---- */

struct guest {
    const struct image_domain *d;
    const uint8_t *bitmap;
    uint8_t *seen; /* 1: plain data, 2: other */
    uint64_t delivered;
    int placed;
};

static void deliver(struct guest *g, uint64_t gfn, uint8_t how)
{
    CHECK(gfn < g->d->frames);
    CHECK(bitmap_has(g->bitmap, gfn));
    CHECK(__atomic_exchange_n(&g->seen[gfn], how, __ATOMIC_SEQ_CST) == 0);
    __atomic_add_fetch(&g->delivered, 1, __ATOMIC_SEQ_CST);
}

static void *place(void *context, const struct image_page *pages, unsigned count,
                   struct pal_error *e)
{
    struct guest *g = context;

    (void)e;
    CHECK(count >= 1 && count <= IMAGE_CHUNK_PAGES);
    for (unsigned i = 0; i < count; i++)
        CHECK(pages[i].gfn < g->d->frames && type_is_known(pages[i].type));
    __atomic_add_fetch(&g->placed, 1, __ATOMIC_SEQ_CST);
    return malloc((size_t)count * IMAGE_PAGE_SIZE);
}

static uint64_t there(void *context, uint64_t gfn)
{
    const struct guest *g = context;

    return gfn < g->d->frames && bitmap_has(g->bitmap, gfn) ? gfn + 7 : REWRITE_NONE;
}

static int placed(void *context, void *room, const struct image_page *pages, unsigned count,
                  bool bad, struct pal_error *e)
{
    struct guest *g = context;
    const struct rewrite_frames frames = {.context = g, .lookup = there};
    struct rewrite_result result;
    int rc = 0;

    for (unsigned i = 0; i < count && !bad && rc == 0; i++) {
        uint64_t *page = (uint64_t *)room + (size_t)i * 512;
        unsigned level = pages[i].type & 0xfu;

        deliver(g, pages[i].gfn, pages[i].type == IMAGE_NORMAL ? 1 : 2);
        if (level >= 1 && level <= 4 && rewrite_to_mfn(level, page, page, &frames, &result))
            rc = pal_fail(e, PAL_SAVE_DAMAGED, "a table");
    }
    free(room);
    __atomic_sub_fetch(&g->placed, 1, __ATOMIC_SEQ_CST);
    return rc;
}

static int zero(void *context, uint32_t gfn, uint32_t count, uint8_t type, struct pal_error *e)
{
    (void)e;
    CHECK(type_is_known(type) && count >= 1);
    for (uint32_t i = 0; i < count; i++)
        deliver(context, (uint64_t)gfn + i, 2);
    return 0;
}

static int copy(void *context, const struct image_copy *list, unsigned count, struct pal_error *e)
{
    struct guest *g = context;

    (void)e;
    CHECK(count >= 1 && count <= IMAGE_CHUNK_PAGES);
    for (unsigned i = 0; i < count; i++) {
        CHECK(list[i].source < g->d->frames);
        CHECK(__atomic_load_n(&g->seen[list[i].source], __ATOMIC_SEQ_CST) == 1);
        deliver(g, list[i].gfn, 2);
    }
    return 0;
}

/* ---- reading ---- */

static bool restore(int fd, unsigned how)
{
    struct image_reader_options options = {.workers = how & TWO_WORKERS ? 2 : 1};
    struct pal_error e = {0};
    struct image_reader *r = image_reader_stream(fd, "fuzz", &e);
    struct guest g = {0};
    const struct image_sink sink = {&g, place, placed, zero, copy};
    int rc = -1;

    if (r) {
        g.d = image_reader_domain(r);
        g.bitmap = image_reader_bitmap(r);
        g.seen = calloc(1, g.d->frames);
        CHECK(g.d->pages == bitmap_count(g.bitmap, g.d->frames));
        rc = image_reader_pages(r, &sink, &options, &e);
        CHECK(rc != 0 || g.delivered == g.d->pages);
        CHECK(g.placed == 0);
    }
    CHECK((rc == 0) == (e.code == PAL_OK));
    CHECK(rc == 0 || e.why[0]);
    free(g.seen);
    image_reader_free(r);
    return rc == 0;
}

static void by_index(int fd, bool sound)
{
    uint8_t page[IMAGE_PAGE_SIZE], type;
    struct pal_error e = {0};
    struct image_reader *r = image_reader_stream(fd, "fuzz", &e);

    if (r && image_reader_seek_index(r, &e) == 0)
        for (uint64_t gfn = 0; gfn < image_reader_domain(r)->frames && e.code == PAL_OK; gfn++)
            if (image_reader_page(r, (uint32_t)gfn, &type, page, &e) == 0)
                CHECK(type_is_known(type));
    CHECK(!sound || e.code == PAL_OK);
    image_reader_free(r);
}

struct feed {
    int fd;
    const uint8_t *data;
    size_t size;
};

static void *feed(void *context)
{
    struct feed *f = context;

    for (size_t done = 0; done < f->size;) {
        ssize_t got = write(f->fd, f->data + done, f->size - done);

        if (got <= 0)
            break;
        done += (size_t)got;
    }
    close(f->fd);
    return NULL;
}

static void through_pipe(const uint8_t *image, size_t size, unsigned how)
{
    struct feed f = {.data = image, .size = size};
    uint8_t rest[4096];
    pthread_t thread;
    int ends[2];

    CHECK(pipe(ends) == 0);
    f.fd = ends[1];
    CHECK(pthread_create(&thread, NULL, feed, &f) == 0);
    restore(ends[0], how);
    while (read(ends[0], rest, sizeof(rest)) > 0)
        ;
    pthread_join(thread, NULL);
    close(ends[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pal_error e = {0};
    unsigned how = size ? data[0] : 0;
    uint8_t *image = malloc(size + 8);
    bool sound;
    int fd;

    if (size)
        memcpy(image, data + 1, --size);
    fix(image, size, how);
    if (how & BY_PIPE) {
        through_pipe(image, size, how);
        free(image);
        return 0;
    }
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, image, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    sound = restore(fd, how);
    by_index(fd, sound);
    if (image_verify("fuzz", fd, NULL, NULL, &e) == 0)
        CHECK(sound);
    close(fd);
    free(image);
    return 0;
}
