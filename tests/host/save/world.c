/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../directory.h"

#define ENTRY_FLAGS 0x067ull /* present, writable, user, accessed, dirty */
#define READ_ONLY   0x025ull
#define NX          (1ull << 63)

uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15ull;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static bool has(const struct world *w, uint64_t gfn)
{
    return gfn < w->frames && w->bitmap[gfn / 8] >> gfn % 8 & 1;
}

static uint8_t *page_of(const struct world *w, uint64_t gfn)
{
    return w->memory + gfn * WORLD_PAGE;
}

/* Machine frames: a permutation, every second number unused. */
static void shuffle(struct world *w, uint64_t *random)
{
    for (uint32_t i = 0; i < w->frames; i++)
        w->mfn[i] = 2 * i;
    for (uint32_t i = w->frames - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(next_random(random) % (i + 1));
        uint64_t t = w->mfn[i];

        w->mfn[i] = w->mfn[j];
        w->mfn[j] = t;
    }
    memset(w->gfn, 0xff, 2 * w->frames * sizeof(*w->gfn));
    for (uint32_t i = 0; i < w->frames; i++)
        if (has(w, i))
            w->gfn[w->mfn[i]] = i;
}

static void fill_page(struct world *w, uint32_t gfn, uint64_t *random)
{
    uint64_t *words = (uint64_t *)page_of(w, gfn);
    char *text = (char *)words;

    switch (next_random(random) % 8) {
    case 0:
    case 1:
    case 2:
        return; /* zero */
    case 3:
        memset(words, 0xcc, WORLD_PAGE); /* the same one many times */
        return;
    case 4:
        if (gfn > 40 && w->type[gfn - 40] == IMAGE_NORMAL)
            memcpy(words, page_of(w, gfn - 40), WORLD_PAGE);
        return;
    case 5:
    case 6:
        for (unsigned i = 0; i < WORLD_PAGE; i += 16)
            snprintf(text + i, 16, "line %08x\n", (unsigned)(next_random(random) % 5000));
        return;
    default:
        for (unsigned i = 0; i < WORLD_PAGE / 8; i++)
            words[i] = next_random(random);
    }
}

/* Frames 8..: level 4, 3, 2, then level 1; each level-1 table maps data frames and tables read-only. */
static void make_tables(struct world *w, uint64_t *random)
{
    uint32_t l4 = 8, l3 = 9, l2 = 10, l1 = 11, last = 14;

    for (uint32_t t = l4; t <= last; t++) {
        memset(page_of(w, t), 0, WORLD_PAGE);
        w->type[t] = (uint8_t)(t == l4 ? IMAGE_L4 | IMAGE_PINNED
                                       : (t == l3 ? IMAGE_L3 : (t == l2 ? IMAGE_L2 : IMAGE_L1)));
    }
    ((uint64_t *)page_of(w, l4))[511] = w->mfn[l3] << 12 | ENTRY_FLAGS;
    ((uint64_t *)page_of(w, l4))[256] = 0x1234567ull; /* the hypervisor's */
    ((uint64_t *)page_of(w, l3))[510] = w->mfn[l2] << 12 | ENTRY_FLAGS;
    for (uint32_t t = l1; t < last; t++) /* the last one stays zero */
        ((uint64_t *)page_of(w, l2))[t] = w->mfn[t] << 12 | ENTRY_FLAGS;
    for (uint32_t t = l1; t < last; t++)
        for (unsigned i = 0; i < 512; i++) {
            uint64_t gfn = next_random(random) % w->frames;
            bool table = has(w, gfn) && w->type[gfn] >= IMAGE_L1 && w->type[gfn] != IMAGE_LIST;
            uint64_t entry = next_random(random) & ~1ull; /* not present: anything */

            if (has(w, gfn) && i % 3)
                entry = w->mfn[gfn] << 12 | (table ? READ_ONLY : ENTRY_FLAGS) | (i & 8 ? NX : 0);
            ((uint64_t *)page_of(w, t))[i] = entry;
        }
}

/* A page that lists machine frames; what canonical() makes of it is the same with guest frames. */
static void make_list(struct world *w)
{
    uint64_t *list = (uint64_t *)page_of(w, 3);

    w->type[3] = IMAGE_LIST;
    for (unsigned i = 0; i < 512; i++)
        list[i] = has(w, i) && i < w->frames ? w->mfn[i] : UINT64_MAX;
}

static struct world *allocate(uint32_t frames)
{
    struct world *w = calloc(1, sizeof(*w));

    w->frames = frames;
    w->bitmap = calloc(1, (frames + 7) / 8);
    w->memory = calloc(frames, WORLD_PAGE);
    w->type = calloc(1, frames);
    w->mfn = calloc(frames, sizeof(*w->mfn));
    w->gfn = calloc(frames, 2 * sizeof(*w->gfn));
    w->seen = calloc(1, frames);
    return w;
}

struct world *world_new(uint32_t frames, unsigned seed)
{
    struct world *w = allocate(frames);
    uint64_t random = seed;

    for (uint32_t i = 0; i < frames; i++)
        if (i < 16 || next_random(&random) % 5)
            w->bitmap[i / 8] = (uint8_t)(w->bitmap[i / 8] | 1u << i % 8);
    shuffle(w, &random);
    for (uint32_t i = 0; i < frames; i++)
        if (has(w, i))
            fill_page(w, i, &random);
    make_tables(w, &random);
    make_list(w);
    w->domain = (struct image_domain){.vcpus = 2,
                                      .frames = frames,
                                      .max_pages = frames,
                                      .start_info = 3,
                                      .store = 4,
                                      .console = IMAGE_NO_FRAME,
                                      .store_port = 1,
                                      .tsc_khz = 1000000};
    return w;
}

struct world *world_empty(const struct image_reader *r, unsigned seed)
{
    const struct image_domain *d = image_reader_domain(r);
    struct world *w = allocate((uint32_t)d->frames);
    uint64_t random = seed;

    w->domain = *d;
    memcpy(w->bitmap, image_reader_bitmap(r), (d->frames + 7) / 8);
    shuffle(w, &random);
    return w;
}

void world_free(struct world *w)
{
    free(w->bitmap);
    free(w->memory);
    free(w->type);
    free(w->mfn);
    free(w->gfn);
    free(w->seen);
    free(w);
}

/* ---- rewriting ---- */

static uint64_t gfn_of(void *context, uint64_t mfn)
{
    const struct world *w = context;

    return mfn < 2ull * w->frames && w->gfn[mfn] != UINT32_MAX ? w->gfn[mfn] : REWRITE_NONE;
}

static uint64_t mfn_of(void *context, uint64_t gfn)
{
    const struct world *w = context;

    return has(w, gfn) ? w->mfn[gfn] : REWRITE_NONE;
}

struct rewrite_frames world_frames(struct world *w, bool to_gfn)
{
    return (struct rewrite_frames){.context = w, .lookup = to_gfn ? gfn_of : mfn_of};
}

static int rewrite_page(struct world *w, uint8_t type, const void *in, void *out, bool to_gfn)
{
    struct rewrite_frames frames = world_frames(w, to_gfn);
    struct rewrite_result result;
    const uint64_t *from = in;
    uint64_t *to = out;

    if (type != IMAGE_LIST)
        return to_gfn ? rewrite_to_gfn(type & 7u, in, out, &frames, &result)
                      : rewrite_to_mfn(type & 7u, in, out, &frames, &result);
    for (unsigned i = 0; i < 512; i++)
        to[i] = from[i] == UINT64_MAX ? UINT64_MAX : frames.lookup(w, from[i]);
    return 0;
}

/* ---- source: shows copies, so that a use after unmap is found ---- */

static const void *source_map(void *context, struct image_page *pages, unsigned count,
                              struct pal_error *e)
{
    struct world *w = context;
    uint8_t *shown;

    if (__atomic_add_fetch(&w->maps, 1, __ATOMIC_SEQ_CST) == w->fail_map_at) {
        pal_fail(e, PAL_HV_REFUSED, "made up");
        return NULL;
    }
    shown = malloc((size_t)count * WORLD_PAGE);
    for (unsigned i = 0; i < count; i++) {
        assert_true(has(w, pages[i].gfn));
        pages[i].type = w->type[pages[i].gfn];
        memcpy(shown + (size_t)i * WORLD_PAGE, page_of(w, pages[i].gfn), WORLD_PAGE);
    }
    __atomic_add_fetch(&w->mapped, 1, __ATOMIC_SEQ_CST);
    return shown;
}

static int source_canonical(void *context, const struct image_page *page, const void *raw,
                            void *out, struct pal_error *e)
{
    if (rewrite_page(context, page->type, raw, out, true))
        return pal_fail(e, PAL_HV_REFUSED, "a table of frame %u", page->gfn);
    return 0;
}

static void source_unmap(void *context, const void *base, unsigned count)
{
    struct world *w = context;

    (void)count;
    free((void *)base);
    __atomic_sub_fetch(&w->mapped, 1, __ATOMIC_SEQ_CST);
}

struct image_source world_source(struct world *w)
{
    return (struct image_source){w, source_map, source_canonical, source_unmap, true};
}

/* ---- sink ---- */

static void deliver(struct world *w, uint32_t gfn, uint8_t type)
{
    assert_true(has(w, gfn));
    w->type[gfn] = type;
    assert_int_equal(__atomic_add_fetch(&w->seen[gfn], 1, __ATOMIC_SEQ_CST), 1);
    __atomic_add_fetch(&w->delivered, 1, __ATOMIC_SEQ_CST);
}

static void *sink_place(void *context, const struct image_page *pages, unsigned count,
                        struct pal_error *e)
{
    (void)context;
    (void)pages;
    (void)e;
    return malloc((size_t)count * WORLD_PAGE);
}

static int sink_placed(void *context, void *room, const struct image_page *pages, unsigned count,
                       bool bad, struct pal_error *e)
{
    struct world *w = context;
    int rc = 0;

    for (unsigned i = 0; i < count && !bad && rc == 0; i++) {
        uint8_t *content = (uint8_t *)room + (size_t)i * WORLD_PAGE;

        if (pages[i].type != IMAGE_NORMAL &&
            rewrite_page(w, pages[i].type, content, content, false))
            rc = pal_fail(e, PAL_SAVE_DAMAGED, "frame %u: a bad table", pages[i].gfn);
        memcpy(page_of(w, pages[i].gfn), content, WORLD_PAGE);
        deliver(w, pages[i].gfn, pages[i].type);
    }
    free(room);
    return rc;
}

static int sink_zero(void *context, uint32_t gfn, uint32_t count, uint8_t type, struct pal_error *e)
{
    (void)e;
    for (uint32_t i = 0; i < count; i++)
        deliver(context, gfn + i, type);
    return 0;
}

static int sink_copy(void *context, const struct image_copy *list, unsigned count,
                     struct pal_error *e)
{
    struct world *w = context;

    (void)e;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(w->seen[list[i].source], 1);
        assert_int_equal(w->type[list[i].source], IMAGE_NORMAL);
        memcpy(page_of(w, list[i].gfn), page_of(w, list[i].source), WORLD_PAGE);
        deliver(w, list[i].gfn, IMAGE_NORMAL);
    }
    return 0;
}

struct image_sink world_sink(struct world *w)
{
    return (struct image_sink){w, sink_place, sink_placed, sink_zero, sink_copy};
}

/* ---- comparing ---- */

void assert_same_world(const struct world *a, const struct world *b)
{
    uint64_t canonical[2][512];

    assert_int_equal(a->frames, b->frames);
    assert_memory_equal(a->bitmap, b->bitmap, (a->frames + 7) / 8);
    for (uint32_t i = 0; i < a->frames; i++) {
        const void *left = page_of(a, i), *right = page_of(b, i);

        if (!has(a, i))
            continue;
        assert_int_equal(a->type[i], b->type[i]);
        if (a->type[i] != IMAGE_NORMAL) {
            assert_int_equal(rewrite_page((struct world *)a, a->type[i], left, canonical[0], true),
                             0);
            assert_int_equal(rewrite_page((struct world *)b, b->type[i], right, canonical[1], true),
                             0);
            left = canonical[0];
            right = canonical[1];
        }
        assert_memory_equal(left, right, WORLD_PAGE);
    }
}

/* ---- saving ---- */

static const char xml[] = "<domain type='xen'><name>made-up</name></domain>";

void world_write(struct world *w, struct image_writer *writer, struct pal_error *e)
{
    struct image_source source = world_source(w);
    uint8_t state[5168];

    memset(state, 0x5a, sizeof(state));
    assert_int_equal(image_writer_description(writer, xml, sizeof(xml) - 1, e), 0);
    assert_int_equal(image_writer_domain(writer, &w->domain, w->bitmap, e), 0);
    assert_int_equal(image_writer_state(writer,
                                        w->small ? IMAGE_STATE_EXT_CONTEXT : IMAGE_STATE_CONTEXT, 0,
                                        state, w->small ? 64 : sizeof(state), e),
                     0);
    assert_int_equal(image_writer_state(writer,
                                        w->small ? IMAGE_STATE_TSC : IMAGE_STATE_SHARED_INFO,
                                        IMAGE_NO_VCPU, state, w->small ? 24 : 4096, e),
                     0);
    assert_int_equal(image_writer_pages(writer, &source, e), 0);
    assert_int_equal(w->mapped, 0);
}

void world_save(struct world *w, const char *path, const struct image_writer_options *options)
{
    struct pal_error e = {0};
    struct image_writer *writer = image_writer_create(path, options, &e);

    assert_non_null(writer);
    world_write(w, writer, &e);
    if (image_writer_commit(writer, &e))
        fail_msg("%s", e.why);
    image_writer_free(writer);
}

/* ---- files ---- */

static void remove_scratch(void)
{
    if (directory_remove())
        perror(directory);
}

const char *scratch(const char *name)
{
    static char path[4][160];
    static unsigned turn;

    if (!directory[0]) {
        assert_int_equal(directory_make(), 0);
        atexit(remove_scratch);
    }
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", directory, name);
    return path[turn];
}

uint8_t *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "r");
    struct stat st;
    uint8_t *data;

    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    *size = (size_t)st.st_size;
    data = malloc(*size + 1);
    assert_int_equal(fread(data, 1, *size, f), *size);
    fclose(f);
    return data;
}

void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}
