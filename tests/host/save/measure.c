/* SPDX-License-Identifier: MIT */
/*
 * measure DUMP [WORKERS]: takes a file as the memory of a domain (all plain pages), writes an image of it
 * to a file in memory in each mode, reads it back, and prints sizes and wall times; and what single steps cost a
 * page. Not a test: for looking at real dumps, natively and in an emulated machine.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "image/checksum.h"
#include "image/codec.h"
#include "image/reader.h"
#include "image/repeat.h"

#define PAGE IMAGE_PAGE_SIZE

static const uint8_t *memory;
static uint8_t *target;
static uint64_t frames;
static unsigned workers;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const void *map(void *context, struct image_page *pages, unsigned count, struct pal_error *e)
{
    (void)context;
    (void)count;
    (void)e;
    return memory + (size_t)pages[0].gfn * PAGE;
}

static void unmap(void *context, const void *base, unsigned count)
{
    (void)context;
    (void)base;
    (void)count;
}

/* Runs of frames are as they are in the memory; a room of others is copied from afterwards. */
static void *place(void *context, const struct image_page *pages, unsigned count,
                   struct pal_error *e)
{
    (void)context;
    (void)e;
    if (pages[count - 1].gfn - pages[0].gfn == count - 1)
        return target + (size_t)pages[0].gfn * PAGE;
    return malloc((size_t)count * PAGE);
}

static int placed(void *context, void *room, const struct image_page *pages, unsigned count,
                  bool bad, struct pal_error *e)
{
    uint8_t *from = room;

    (void)context;
    (void)e;
    if (from == target + (size_t)pages[0].gfn * PAGE)
        return 0;
    for (unsigned i = 0; i < count && !bad; i++)
        memcpy(target + (size_t)pages[i].gfn * PAGE, from + (size_t)i * PAGE, PAGE);
    free(room);
    return 0;
}

static int zero(void *context, uint32_t gfn, uint32_t count, uint8_t type, struct pal_error *e)
{
    (void)context;
    (void)gfn;
    (void)count;
    (void)type;
    (void)e;
    return 0;
}

static int copy(void *context, const struct image_copy *list, unsigned count, struct pal_error *e)
{
    (void)context;
    (void)e;
    for (unsigned i = 0; i < count; i++)
        memcpy(target + (size_t)list[i].gfn * PAGE, target + (size_t)list[i].source * PAGE, PAGE);
    return 0;
}

static int save(int fd, enum image_mode mode, struct image_end *totals, struct pal_error *e)
{
    struct image_writer_options options = {.mode = mode, .workers = workers};
    struct image_source source = {NULL, map, NULL, unmap, false};
    struct image_domain d = {
        .vcpus = 1, .frames = frames, .store = IMAGE_NO_FRAME, .console = IMAGE_NO_FRAME};
    uint8_t *bitmap = malloc((frames + 7) / 8);
    struct image_writer *w = image_writer_stream(fd, &options, e);
    int rc = -1;

    memset(bitmap, 0xff, (frames + 7) / 8);
    if (w && image_writer_description(w, "<x/>", 4, e) == 0 &&
        image_writer_domain(w, &d, bitmap, e) == 0 && image_writer_pages(w, &source, e) == 0)
        rc = image_writer_commit(w, e);
    if (w)
        image_writer_totals(w, totals);
    image_writer_free(w);
    free(bitmap);
    return rc;
}

static int restore(int fd, struct pal_error *e)
{
    struct image_reader_options options = {.workers = workers};
    struct image_sink sink = {NULL, place, placed, zero, copy};
    struct image_reader *r = image_reader_stream(fd, "image", e);
    int rc = r ? image_reader_pages(r, &sink, &options, e) : -1;

    image_reader_free(r);
    return rc;
}

static int measure(const char *name, enum image_mode mode)
{
    int fd = memfd_create("image", 0);
    struct pal_error e = {0};
    struct image_end totals;
    double t[3];

    target = mmap(NULL, frames * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    t[0] = now();
    if (save(fd, mode, &totals, &e))
        goto failed;
    t[1] = now();
    lseek(fd, 0, SEEK_SET);
    if (restore(fd, &e))
        goto failed;
    t[2] = now();
    printf("%-8s %9llu bytes %5.2f %%, save %.3f s, restore %.3f s%s; pages: %llu data, %llu zero, "
           "%llu repeated\n",
           name, (unsigned long long)totals.length,
           100.0 * (double)totals.length / ((double)frames * PAGE), t[1] - t[0], t[2] - t[1],
           memcmp(memory, target, frames * PAGE) ? " WRONG" : "",
           (unsigned long long)totals.data_pages, (unsigned long long)totals.zero_pages,
           (unsigned long long)totals.repeat_pages);
    munmap(target, frames * PAGE);
    close(fd);
    return 0;
failed:
    pal_error_print(&e, stdout);
    return 1;
}

/* ---- single steps ---- */

static uint64_t sink_word;

static void step_zero(const uint8_t *page)
{
    sink_word += page_is_zero(page);
}

static void step_sum(const uint8_t *page)
{
    sink_word += checksum_of(1, page, PAGE);
}

static struct repeats *repeats;

static void step_hash(const uint8_t *page)
{
    sink_word += repeats_hash(repeats, page).low;
}

static uint8_t room[2 * PAGE];

static void step_copy(const uint8_t *page)
{
    memcpy(room, page, PAGE);
    __asm__ volatile("" ::: "memory");
}

static struct codec *codec;

static void step_lz4(const uint8_t *page)
{
    enum image_codec used;

    sink_word += codec_pack(codec, EFFORT_LZ4, page, PAGE, room, &used);
}

static void step_zlib(const uint8_t *page)
{
    enum image_codec used;

    sink_word += codec_pack(codec, EFFORT_ZLIB_FAST, page, PAGE, room, &used);
}

static void step(const char *name, void (*run)(const uint8_t *page), bool zeros)
{
    static const uint8_t *pages[8192];
    unsigned count = 0;
    double began;

    for (uint64_t i = 0; i < frames && count < 8192; i++)
        if (page_is_zero(memory + i * PAGE) == zeros)
            pages[count++] = memory + i * PAGE;
    began = now();
    for (unsigned i = 0; i < count; i++)
        run(pages[i]);
    began = now() - began;
    printf("  %-22s %7.0f ns a page, %6.0f MB/s\n", name, began / count * 1e9,
           (double)count * PAGE / began / 1e6);
}

int main(int argc, char **argv)
{
    struct stat st;
    int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;

    if (fd < 0 || fstat(fd, &st))
        return 2;
    workers = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    frames = (uint64_t)st.st_size / PAGE / 8 * 8;
    target = malloc(frames * PAGE);
    if (!target)
        return 2;
    for (uint64_t done = 0; done < frames * PAGE;) { /* read() stops at 2 GiB */
        ssize_t got = pread(fd, target + done, frames * PAGE - done, (off_t)done);

        if (got <= 0)
            return 2;
        done += (uint64_t)got;
    }
    memory = target;
    repeats = repeats_new(frames);
    codec = codec_new();
    step("copy", step_copy, false);
    step("zero? (zero pages)", step_zero, true);
    step("zero? (others)", step_zero, false);
    step("checksum", step_sum, false);
    step("hash", step_hash, false);
    step("LZ4, page by page", step_lz4, false);
    step("zlib 1, page by page", step_zlib, false);
    return measure("fast", IMAGE_MODE_FAST) | measure("default", IMAGE_MODE_DEFAULT) |
           measure("small", IMAGE_MODE_SMALL);
}
