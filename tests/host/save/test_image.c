/* SPDX-License-Identifier: MIT */
/* Images, written and read back: every mode, any number of threads, files and pipes. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void restore(const char *path, int fd, const struct world *original, unsigned workers)
{
    struct image_reader_options options = {.workers = workers};
    struct pal_error e = {0};
    struct image_reader *r =
        path ? image_reader_open(path, &e) : image_reader_stream(fd, "a pipe", &e);
    struct image_sink sink;
    struct world *copy;

    if (!r)
        fail_msg("%s", e.why);
    copy = world_empty(r, 99);
    sink = world_sink(copy);
    if (image_reader_pages(r, &sink, &options, &e))
        fail_msg("%s", e.why);
    assert_int_equal(copy->delivered, image_reader_domain(r)->pages);
    assert_same_world(original, copy);
    world_free(copy);
    image_reader_free(r);
}

static void test_every_mode(void **state)
{
    static const enum image_mode modes[] = {IMAGE_MODE_DEFAULT, IMAGE_MODE_FAST, IMAGE_MODE_SMALL};
    const char *path = scratch("modes");

    (void)state;
    for (unsigned m = 0; m < 3; m++)
        for (unsigned workers = 1; workers <= 5; workers += 2) {
            struct image_writer_options options = {
                .mode = modes[m], .workers = workers, .read_back = true};
            struct world *w = world_new(3000 + 257 * workers, m);
            struct pal_error e = {0};

            world_save(w, path, &options);
            restore(path, -1, w, 4 - workers / 2);
            if (image_verify(path, -1, NULL, NULL, &e))
                fail_msg("%s", e.why);
            world_free(w);
        }
}

/* A thread that feeds a pipe from a file, in small pieces. */
struct feed {
    const uint8_t *data;
    size_t size;
    int fd;
};

static void *feed(void *context)
{
    struct feed *f = context;

    for (size_t done = 0; done < f->size;) {
        size_t piece = f->size - done < 777 ? f->size - done : 777;
        ssize_t got = write(f->fd, f->data + done, piece);

        if (got <= 0)
            break;
        done += (size_t)got;
    }
    close(f->fd);
    return NULL;
}

static void test_pipe_in(void **state)
{
    struct image_writer_options options = {.workers = 2};
    const char *path = scratch("pipe-in");
    struct world *w = world_new(2100, 5);
    pthread_t thread;
    struct feed f;
    uint8_t *data;
    int ends[2];

    (void)state;
    world_save(w, path, &options);
    data = read_file(path, &f.size);
    f.data = data;
    assert_int_equal(pipe(ends), 0);
    f.fd = ends[1];
    pthread_create(&thread, NULL, feed, &f);
    restore(NULL, ends[0], w, 3);
    pthread_join(thread, NULL);
    close(ends[0]);
    free(data);
    world_free(w);
}

static void *drain(void *context)
{
    struct feed *f = context;
    uint8_t *data = malloc(64 << 20);
    ssize_t got;

    while ((got = read(f->fd, data + f->size, 4000)) > 0)
        f->size += (size_t)got;
    f->data = data;
    return NULL;
}

static void stream_out(int (*make)(int ends[2]))
{
    struct world *w = world_new(2100, 6);
    const char *path = scratch("pipe-out");
    struct pal_error e = {0};
    struct image_writer *writer;
    struct feed f = {0};
    pthread_t thread;
    int ends[2];

    assert_int_equal(make(ends), 0);
    f.fd = ends[0];
    pthread_create(&thread, NULL, drain, &f);
    writer = image_writer_stream(ends[1], NULL, &e);
    assert_non_null(writer);
    world_write(w, writer, &e);
    assert_int_equal(image_writer_commit(writer, &e), 0);
    image_writer_free(writer);
    assert_false(fcntl(ends[1], F_GETFL) & O_NONBLOCK); /* others may have it, too */
    close(ends[1]); /* the last opening: the end for the reader */
    pthread_join(thread, NULL);
    write_file(path, f.data, f.size);
    free((void *)f.data);
    restore(path, -1, w, 1);
    close(ends[0]);
    world_free(w);
}

static int make_sockets(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
}

static void test_pipe_out(void **state)
{
    (void)state;
    stream_out(pipe);
    stream_out(make_sockets);
}

/*
 * A slow reader: the output is what all wait for, so by and by chunks are packed harder. How slow it must be depends on
 * the machine and its load: it takes a piece only after packing has stood still for longer than any chunk took yet.
 */
struct slow_feed {
    struct feed feed;
    const struct world *world;
    uint64_t longest, changed; /* ns */
    unsigned maps;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void wait_still(struct slow_feed *s)
{
    const unsigned *maps = &s->world->maps;

    for (uint64_t now = now_ns(); now - s->changed < 2 * s->longest + 5000000; now = now_ns()) {
        if (s->maps != __atomic_load_n(maps, __ATOMIC_SEQ_CST)) {
            s->maps = __atomic_load_n(maps, __ATOMIC_SEQ_CST);
            s->longest = now - s->changed > s->longest ? now - s->changed : s->longest;
            s->changed = now;
        }
        usleep(500);
    }
    s->changed = now_ns();
}

static void *drain_slowly(void *context)
{
    struct slow_feed *s = context;
    uint8_t *data = malloc(64 << 20);
    ssize_t got;

    s->changed = now_ns();
    while ((got = read(s->feed.fd, data + s->feed.size, 256 << 10)) > 0) {
        s->feed.size += (size_t)got;
        wait_still(s);
    }
    s->feed.data = data;
    return NULL;
}

static void test_slow_output(void **state)
{
    struct image_writer_options options = {.workers = 1};
    struct world *w = world_new(12000, 15);
    const char *path = scratch("slow");
    struct pal_error e = {0};
    struct image_writer *writer;
    struct image_info info;
    struct slow_feed f = {.world = w};
    pthread_t thread;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    f.feed.fd = ends[0];
    pthread_create(&thread, NULL, drain_slowly, &f);
    writer = image_writer_stream(ends[1], &options, &e);
    world_write(w, writer, &e);
    assert_int_equal(image_writer_commit(writer, &e), 0);
    image_writer_free(writer);
    close(ends[1]);
    pthread_join(thread, NULL);
    write_file(path, f.feed.data, f.feed.size);
    free((void *)f.feed.data);
    close(ends[0]);
    assert_int_equal(image_info_read(path, &info, &e), 0);
    print_message("chunks: %lu LZ4, %lu zlib\n", (unsigned long)info.chunks_by[IMAGE_LZ4],
                  (unsigned long)info.chunks_by[IMAGE_ZLIB]);
    assert_true(info.chunks_by[IMAGE_LZ4] > 0); /* it began so */
    assert_true(info.chunks_by[IMAGE_ZLIB] > 0);
    restore(path, -1, w, 2);
    world_free(w);
}

/* The reader goes away: an error, no signal. */
static void test_pipe_breaks(void **state)
{
    struct world *w = world_new(2100, 6);
    struct image_source source = world_source(w);
    struct pal_error e = {0};
    struct image_writer *writer;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    writer = image_writer_stream(ends[1], NULL, &e);
    assert_non_null(writer);
    close(ends[0]);
    assert_int_equal(image_writer_description(writer, "<x/>", 4, &e), -1);
    assert_int_equal(e.code, PAL_SAVE_WRITE);
    assert_non_null(strstr(e.why, strerror(EPIPE)));
    assert_int_equal(image_writer_pages(writer, &source, &e), -1);
    image_writer_free(writer);
    close(ends[1]);
    world_free(w);
}

static bool stop_at_half(void *context, const struct image_progress *now)
{
    unsigned *calls = context;

    ++*calls;
    return now->pages * 2 < now->total;
}

/* A pipe that nobody reads from: the writer still asks whether to go on. */
static void test_stopped(void **state)
{
    unsigned calls = 0;
    struct image_writer_options options = {.progress = stop_at_half, .progress_context = &calls};
    struct image_reader_options reading = {.progress = stop_at_half, .progress_context = &calls};
    struct world *w = world_new(4000, 7);
    struct image_source source = world_source(w);
    const char *path = scratch("stopped");
    struct pal_error e = {0};
    struct image_writer *writer = image_writer_create(path, &options, &e);
    struct image_reader *r;

    (void)state;
    assert_int_equal(image_writer_description(writer, "<x/>", 4, &e), 0);
    assert_int_equal(image_writer_domain(writer, &w->domain, w->bitmap, &e), 0);
    assert_int_equal(image_writer_pages(writer, &source, &e), -1);
    assert_int_equal(e.code, PAL_SAVE_STOPPED);
    assert_int_equal(image_writer_commit(writer, &e), -1);
    image_writer_free(writer);
    assert_int_equal(w->mapped, 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_true(calls > 1);

    options.progress = NULL;
    world_save(w, path, &options);
    memset(&e, 0, sizeof(e));
    r = image_reader_open(path, &e);
    assert_int_equal(image_reader_pages(r, NULL, &reading, &e), -1);
    assert_int_equal(e.code, PAL_SAVE_STOPPED);
    image_reader_free(r);
    world_free(w);
}

static bool never(void *context, const struct image_progress *now)
{
    (void)now;
    return ++*(unsigned *)context < 3;
}

static void test_stuck_pipe(void **state)
{
    unsigned calls = 0;
    struct image_writer_options options = {.progress = never, .progress_context = &calls};
    struct pal_error e = {0};
    struct image_writer *writer;
    char *text = malloc(IMAGE_DESCRIPTION_MAX);
    int ends[2];

    (void)state;
    memset(text, 'x', IMAGE_DESCRIPTION_MAX);
    assert_int_equal(pipe(ends), 0);
    writer = image_writer_stream(ends[1], &options, &e);
    assert_int_equal(image_writer_description(writer, text, IMAGE_DESCRIPTION_MAX, &e), -1);
    assert_int_equal(e.code, PAL_SAVE_STOPPED);
    image_writer_free(writer);
    close(ends[0]);
    close(ends[1]);
    free(text);
}

/* An error of the source or the sink ends the work, is told, and nothing stays mapped. */
static void test_source_fails(void **state)
{
    (void)state;
    for (unsigned at = 1; at <= 16; at++) {
        struct world *w = world_new(5000, 8);
        struct image_source source = world_source(w);
        const char *path = scratch("source");
        struct pal_error e = {0};
        struct image_writer *writer = image_writer_create(path, NULL, &e);

        w->fail_map_at = at;
        assert_int_equal(image_writer_description(writer, "<x/>", 4, &e), 0);
        assert_int_equal(image_writer_domain(writer, &w->domain, w->bitmap, &e), 0);
        assert_int_equal(image_writer_pages(writer, &source, &e), -1);
        assert_int_equal(e.code, PAL_HV_REFUSED);
        image_writer_free(writer);
        assert_int_equal(w->mapped, 0);
        assert_int_equal(access(path, F_OK), -1);
        world_free(w);
    }
}

static void test_states(void **state)
{
    struct world *w = world_new(64, 9);
    const char *path = scratch("states");
    struct pal_error e = {0};
    struct image_reader *r;
    const uint8_t *data;
    size_t length;

    (void)state;
    world_save(w, path, NULL);
    r = image_reader_open(path, &e);
    assert_non_null(r);
    data = image_reader_state(r, IMAGE_STATE_CONTEXT, 0, &length);
    assert_non_null(data);
    assert_int_equal(length, 5168);
    assert_int_equal(data[5167], 0x5a);
    assert_null(image_reader_state(r, IMAGE_STATE_CONTEXT, 1, &length));
    assert_non_null(image_reader_state(r, IMAGE_STATE_SHARED_INFO, IMAGE_NO_VCPU, &length));
    assert_string_equal(image_reader_description(r, NULL),
                        "<domain type='xen'><name>made-up</name></domain>");
    assert_int_equal(image_reader_domain(r)->store, 4);
    image_reader_free(r);
    world_free(w);
}

/* The writer does not look; the reader does. */
static void test_state_twice(void **state)
{
    struct world *w = world_new(64, 9);
    const char *path = scratch("twice");
    struct pal_error e = {0};
    struct image_writer *writer = image_writer_create(path, NULL, &e);
    struct image_source source = world_source(w);
    uint8_t text[64] = {0};

    (void)state;
    assert_int_equal(image_writer_description(writer, "<x/>", 4, &e), 0);
    assert_int_equal(image_writer_domain(writer, &w->domain, w->bitmap, &e), 0);
    for (unsigned i = 0; i < 3; i++) /* of CPU 0, of CPU 1, again of CPU 1 */
        assert_int_equal(
            image_writer_state(writer, IMAGE_STATE_EXT_CONTEXT, (i + 1) / 2, text, 64, &e), 0);
    assert_int_equal(image_writer_pages(writer, &source, &e), 0);
    assert_int_equal(image_writer_commit(writer, &e), 0);
    image_writer_free(writer);
    assert_null(image_reader_open(path, &e));
    assert_int_equal(e.code, PAL_SAVE_DAMAGED);
    assert_non_null(strstr(e.why, "record 4 (state)"));
    assert_non_null(strstr(e.why, "a second state"));
    world_free(w);
}

static void canonical_page(struct world *w, uint32_t gfn, void *out)
{
    struct image_source s = world_source(w);
    struct image_page page = {gfn, w->type[gfn]};
    struct pal_error e = {0};

    if (page.type == IMAGE_NORMAL)
        memcpy(out, w->memory + (size_t)gfn * WORLD_PAGE, WORLD_PAGE);
    else
        assert_int_equal(s.canonical(w, &page, w->memory + (size_t)gfn * WORLD_PAGE, out, &e), 0);
}

static void test_random_access(void **state)
{
    struct image_writer_options options = {.workers = 3};
    struct world *w = world_new(3333, 10);
    const char *path = scratch("access");
    uint8_t page[2][WORLD_PAGE], type;
    struct pal_error e = {0};
    struct image_reader *r;
    uint64_t random = 1;

    (void)state;
    world_save(w, path, &options);
    r = image_reader_open(path, &e);
    assert_int_equal(image_reader_seek_index(r, &e), 0);
    for (unsigned i = 0; i < 6000; i++) {
        uint32_t gfn = (uint32_t)(next_random(&random) % (w->frames + 5));
        bool there = gfn < w->frames && w->bitmap[gfn / 8] >> gfn % 8 & 1;

        assert_int_equal(image_reader_page(r, gfn, &type, page[0], &e), there ? 0 : 1);
        if (!there)
            continue;
        assert_int_equal(type, w->type[gfn]);
        canonical_page(w, gfn, page[1]);
        assert_memory_equal(page[0], page[1], WORLD_PAGE);
    }
    image_reader_free(r);
    world_free(w);
}

static void test_info(void **state)
{
    struct world *w = world_new(3333, 11);
    struct image_info info, verified;
    const char *path = scratch("info");
    struct pal_error e = {0};

    (void)state;
    world_save(w, path, NULL);
    assert_int_equal(image_info_read(path, &info, &e), 0);
    assert_int_equal(image_verify(path, -1, NULL, &verified, &e), 0);
    assert_memory_equal(&info, &verified, sizeof(info));
    assert_int_equal(info.tables[3], 1);
    assert_int_equal(info.tables[2], 1);
    assert_int_equal(info.tables[1], 1);
    assert_int_equal(info.tables[0], 4);
    assert_int_equal(info.pinned, 1);
    assert_int_equal(info.vcpus_with_state, 1);
    assert_int_equal(info.end.data_pages + info.end.zero_pages + info.end.repeat_pages,
                     info.domain.pages);
    assert_true(info.end.repeat_pages > info.domain.pages / 10);
    assert_true(info.end.zero_pages > info.domain.pages / 4);
    world_free(w);
}

/* verify sees what the records alone do not show. */
static void test_bad_tables(void **state)
{
    static const struct {
        uint32_t table;
        unsigned index;
        uint32_t target;
        uint64_t flags;
        const char *said;
    } bad[] = {
        {10, 7, 20, 0x67, "another level"},  /* level 2 names an ordinary page */
        {10, 7, 9, 0x67, "another level"},   /* names a table above it */
        {10, 7, 10, 0x67, "another level"},  /* names itself */
        {11, 7, 8, 0x67, "mapped writable"}, /* a root, writable */
        {10, 7, 11, 0xe7, "superpage"},      /* bit 7 */
    };
    const char *path = scratch("tables");

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world *w = world_new(100, 12);
        struct image_source source = world_source(w);
        struct image_writer *writer;
        struct pal_error e = {0};
        uint64_t *entry = (uint64_t *)(w->memory + bad[i].table * WORLD_PAGE) + bad[i].index;
        int rc;

        w->bitmap[20 / 8] |= 1u << 20 % 8;
        w->gfn[w->mfn[20]] = 20;
        *entry = w->mfn[bad[i].target] << 12 | bad[i].flags;
        writer = image_writer_create(path, NULL, &e);
        assert_int_equal(image_writer_description(writer, "<x/>", 4, &e), 0);
        assert_int_equal(image_writer_domain(writer, &w->domain, w->bitmap, &e), 0);
        rc = image_writer_pages(writer, &source, &e);
        if (bad[i].flags & 0x80) { /* already refused when it is saved */
            assert_int_equal(rc, -1);
        } else {
            assert_int_equal(image_writer_commit(writer, &e), 0);
            assert_int_equal(image_verify(path, -1, NULL, NULL, &e), -1);
            assert_int_equal(e.code, PAL_SAVE_DAMAGED);
            assert_non_null(strstr(e.why, bad[i].said));
        }
        image_writer_free(writer);
        world_free(w);
    }
}

/* What differs, as ranges in words. */
static bool note_range(void *context, uint32_t gfn, uint32_t count, enum image_difference how)
{
    char *text = context;

    sprintf(text + strlen(text), "%u+%u:%d ", gfn, count, how);
    return true;
}

static void test_diff(void **state)
{
    struct world *w = world_new(1500, 13);
    char first[160], second[160], ranges[500] = "";
    struct image_diff diff;
    struct pal_error e = {0};

    (void)state;
    strcpy(first, scratch("first"));
    strcpy(second, scratch("second"));
    for (unsigned gfn = 600; gfn < 640; gfn++)
        w->bitmap[gfn / 8] |= (uint8_t)(1u << gfn % 8);
    world_save(w, first, NULL);
    assert_int_equal(image_diff(first, first, note_range, ranges, &diff, &e), 0);
    assert_string_equal(ranges, "");
    assert_int_equal(diff.same, w->domain.frames - (w->domain.frames - diff.same));
    for (unsigned gfn = 600; gfn < 605; gfn++)
        w->memory[gfn * WORLD_PAGE + 4095] ^= 1;
    w->bitmap[610 / 8] &= (uint8_t) ~(1u << 610 % 8);
    memset(w->memory + 14 * WORLD_PAGE, 0, WORLD_PAGE);
    w->type[14] = IMAGE_NORMAL;
    world_save(w, second, NULL);
    assert_int_equal(image_diff(first, second, note_range, ranges, &diff, &e), 0);
    assert_string_equal(ranges, "14+1:1 600+5:0 610+1:2 ");
    assert_int_equal(diff.tables, 1);
    assert_int_equal(diff.differ[IMAGE_DIFFERS_CONTENT], 5);
    assert_false(diff.states || diff.description);
    world_free(w);
}

static void test_estimate(void **state)
{
    static const enum image_mode modes[] = {IMAGE_MODE_DEFAULT, IMAGE_MODE_FAST, IMAGE_MODE_SMALL};
    struct world *w = world_new(20000, 14);
    struct image_source source = world_source(w);
    const char *path = scratch("estimate");
    struct image_estimate estimate;
    struct pal_error e = {0};

    (void)state;
    source.canonical = NULL;
    assert_int_equal(image_estimate(&w->domain, w->bitmap, &source, 8000, &estimate, &e), 0);
    assert_true(estimate.sampled >= 7000 && estimate.sampled <= 8100);
    for (unsigned m = 0; m < 3; m++) {
        struct image_writer_options options = {.mode = modes[m], .workers = 1};
        size_t size;

        world_save(w, path, &options);
        free(read_file(path, &size));
        assert_true(estimate.bytes[modes[m]] > size - size / 10);
        assert_true(estimate.bytes[modes[m]] < size + size / 2);
    }
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mode),    cmocka_unit_test(test_pipe_in),
        cmocka_unit_test(test_pipe_out),      cmocka_unit_test(test_slow_output),
        cmocka_unit_test(test_pipe_breaks),   cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_stuck_pipe),    cmocka_unit_test(test_source_fails),
        cmocka_unit_test(test_states),        cmocka_unit_test(test_state_twice),
        cmocka_unit_test(test_random_access), cmocka_unit_test(test_info),
        cmocka_unit_test(test_bad_tables),    cmocka_unit_test(test_diff),
        cmocka_unit_test(test_estimate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
