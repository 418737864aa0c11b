/* SPDX-License-Identifier: MIT */
/* Memory is bounded, whatever the guest's size: at most 64 MiB above the start, writing and reading. */
#include "world.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOUND_KIB (64u << 10)

/* Random words; what starts at different places of them is different everywhere. */
static uint64_t noise[2 * IMAGE_CHUNK_PAGES * 512];
static uint64_t zeros[IMAGE_CHUNK_PAGES * 512];

/* The most memory this process has had since reset_peak(), in KiB. */
static unsigned long peak(void)
{
    unsigned long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    char line[200];

    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        sscanf(line, "VmHWM: %lu", &kib);
    fclose(f);
    assert_true(kib > 0);
    return kib;
}

static unsigned long reset_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");

    assert_non_null(f);
    fputs("5", f);
    assert_int_equal(fclose(f), 0);
    return peak();
}

static const void *map(void *context, struct image_page *pages, unsigned count, struct pal_error *e)
{
    (void)e;
    (void)count;
    return context ? &noise[pages[0].gfn / IMAGE_CHUNK_PAGES * 7919 % (IMAGE_CHUNK_PAGES * 512)]
                   : zeros;
}

static void unmap(void *context, const void *base, unsigned count)
{
    (void)context;
    (void)base;
    (void)count;
}

/* A domain with every `sparse`th frame populated, to fd. */
static void save(int fd, uint64_t frames, unsigned sparse, enum image_mode mode, bool noisy)
{
    struct image_writer_options options = {.mode = mode, .workers = 12};
    struct image_source source = {noisy ? noise : NULL, map, NULL, unmap, false};
    struct image_domain d = {
        .vcpus = 1, .frames = frames, .store = IMAGE_NO_FRAME, .console = IMAGE_NO_FRAME};
    uint8_t *bitmap = malloc((frames + 7) / 8);
    struct pal_error e = {0};
    struct image_writer *w;

    memset(bitmap, 0, (frames + 7) / 8);
    for (uint64_t i = 0; i < frames; i += sparse)
        bitmap[i / 8] = (uint8_t)(bitmap[i / 8] | 1u << i % 8);
    w = image_writer_stream(fd, &options, &e);
    assert_non_null(w);
    assert_int_equal(image_writer_description(w, "<x/>", 4, &e), 0);
    assert_int_equal(image_writer_domain(w, &d, bitmap, &e), 0);
    free(bitmap);
    if (image_writer_pages(w, &source, &e) || image_writer_commit(w, &e))
        fail_msg("%s", e.why);
    image_writer_free(w);
}

/* In a process of its own, so that what others left behind does not count. */
static void save_bounded(const char *name, uint64_t frames, unsigned sparse, enum image_mode mode,
                         bool noisy)
{
    pid_t child;
    int status;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        unsigned long before = reset_peak(), after;

        save(open("/dev/null", O_WRONLY), frames, sparse, mode, noisy);
        after = peak();
        printf("%s: %lu KiB above %lu\n", name, after - before, before);
        fflush(stdout);
        _exit(after - before < BOUND_KIB ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_writing(void **state)
{
    (void)state;
    save_bounded("1 GiB of noise, default", 1 << 18, 1, IMAGE_MODE_DEFAULT, true);
    save_bounded("1 GiB of noise, fast", 1 << 18, 1, IMAGE_MODE_FAST, true);
    save_bounded("1 GiB of noise, small", 1 << 18, 1, IMAGE_MODE_SMALL, true);
    save_bounded("512 GiB with holes", IMAGE_FRAMES_MAX, 128, IMAGE_MODE_DEFAULT, false);
}

static void read_bounded(const char *name, uint64_t frames, unsigned sparse, bool noisy)
{
    struct image_reader_options options = {.workers = 12};
    unsigned long before, after;
    struct image_reader *r;
    struct pal_error e = {0};
    int ends[2], status;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        close(ends[0]);
        save(ends[1], frames, sparse, IMAGE_MODE_DEFAULT, noisy);
        _exit(0);
    }
    close(ends[1]);
    before = reset_peak();
    r = image_reader_stream(ends[0], "a pipe", &e);
    if (!r || image_reader_pages(r, NULL, &options, &e))
        fail_msg("%s", e.why);
    image_reader_free(r);
    after = peak();
    print_message("%s: %lu KiB above %lu\n", name, after - before, before);
    assert_true(after - before < BOUND_KIB);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_reading(void **state)
{
    (void)state;
    read_bounded("reading 512 MiB of noise", 1 << 17, 1, true);
    read_bounded("reading 512 GiB with holes", IMAGE_FRAMES_MAX, 128, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_reading),
    };
    uint64_t random = 3;

    for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++)
        noise[i] = next_random(&random);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
