/* SPDX-License-Identifier: MIT */
/*
 * Everything about an image is checked that can be checked without a hypervisor: the reader's own checks,
 * and all page tables. Tables come in any order and from several threads, so each frame has a byte that
 * gathers what it is and what tables take it for; they are held against each other at the end.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "image/info.h"
#include "image/limits.h"
#include "image/rewrite.h"
#include "image/tools.h"

/* Of a frame's byte. */
#define IS_LEVEL     0x07u              /* the table it is, 0: none */
#define WRITABLE     0x08u              /* mapped so */
#define TAKEN_FOR(l) (0x10u << ((l)-1)) /* a table of level 1..3 */

#define PTE_PRESENT 0x1u
#define PTE_RW      0x2u
#define PTE_FRAME   0x000ffffffffff000ull

struct checker {
    const struct image_domain *domain;
    const uint8_t *bitmap;
    uint8_t *frame;
    pthread_mutex_t lock; /* for what follows */
    uint64_t tables[4], pinned;
};

struct room {
    uint64_t words[IMAGE_CHUNK_PAGES * IMAGE_PAGE_SIZE / 8];
};

static uint64_t same_if_there(void *context, uint64_t gfn)
{
    const struct checker *c = context;

    return gfn < c->domain->frames && bitmap_has(c->bitmap, gfn) ? gfn : REWRITE_NONE;
}

static void note(struct checker *c, uint64_t gfn, unsigned bits)
{
    __atomic_fetch_or(&c->frame[gfn], (uint8_t)bits, __ATOMIC_RELAXED);
}

static void note_type(struct checker *c, uint32_t gfn, uint32_t count, uint8_t type)
{
    unsigned level = type & ~(unsigned)IMAGE_PINNED;

    if (level < IMAGE_L1 || level > IMAGE_L4)
        return;
    for (uint32_t i = 0; i < count; i++)
        note(c, gfn + i, level);
    pthread_mutex_lock(&c->lock);
    c->tables[level - 1] += count;
    c->pinned += type & IMAGE_PINNED ? count : 0;
    pthread_mutex_unlock(&c->lock);
}

static int check_table(struct checker *c, uint32_t gfn, unsigned level, uint64_t *table,
                       struct pal_error *e)
{
    const struct rewrite_frames frames = {.context = c, .lookup = same_if_there};
    struct rewrite_result result;
    char text[120];

    if (rewrite_to_mfn(level, table, table, &frames, &result))
        return pal_fail(e, PAL_SAVE_DAMAGED, "frame %u, a page table of level %u: %s", gfn, level,
                        rewrite_describe(&result, text, sizeof(text)));
    for (unsigned i = 0; i < REWRITE_ENTRIES; i++) {
        uint64_t target = (table[i] & PTE_FRAME) / IMAGE_PAGE_SIZE;

        if (!(table[i] & PTE_PRESENT))
            continue;
        if (level > 1)
            note(c, target, TAKEN_FOR(level - 1));
        else if (table[i] & PTE_RW)
            note(c, target, WRITABLE);
    }
    return 0;
}

/* ---- the sink ---- */

static void *place(void *context, const struct image_page *pages, unsigned count,
                   struct pal_error *e)
{
    struct room *room = malloc(sizeof(*room));

    (void)context;
    (void)pages;
    (void)count;
    if (!room)
        pal_fail(e, PAL_MEM_HOST, "no memory for checking");
    return room;
}

static int placed(void *context, void *at, const struct image_page *pages, unsigned count, bool bad,
                  struct pal_error *e)
{
    struct checker *c = context;
    struct room *room = at;
    int rc = 0;

    for (unsigned i = 0; i < count && !bad && rc == 0; i++) {
        unsigned level = pages[i].type & ~(unsigned)IMAGE_PINNED;

        note_type(c, pages[i].gfn, 1, pages[i].type);
        if (level >= IMAGE_L1 && level <= IMAGE_L4)
            rc = check_table(c, pages[i].gfn, level, room->words + i * REWRITE_ENTRIES, e);
    }
    free(room);
    return rc;
}

static int zero(void *context, uint32_t gfn, uint32_t count, uint8_t type, struct pal_error *e)
{
    (void)e;
    note_type(context, gfn, count, type);
    return 0;
}

static int copy(void *context, const struct image_copy *list, unsigned count, struct pal_error *e)
{
    (void)context;
    (void)list;
    (void)count;
    (void)e;
    return 0;
}

/* What tables take frames for, against what they are. */
static int check_frames(const struct checker *c, const char *name, struct pal_error *e)
{
    for (uint64_t gfn = 0; gfn < c->domain->frames; gfn++) {
        unsigned bits = c->frame[gfn], level = bits & IS_LEVEL;
        unsigned taken = bits & (TAKEN_FOR(1) | TAKEN_FOR(2) | TAKEN_FOR(3));

        if (taken && (!level || level == 4 || taken != TAKEN_FOR(level)))
            return pal_fail(e, PAL_SAVE_DAMAGED,
                            "%s: frame %llu is used as a page table of another level than it has",
                            name, (unsigned long long)gfn);
        if (level && bits & WRITABLE)
            return pal_fail(e, PAL_SAVE_DAMAGED,
                            "%s: frame %llu is a page table and is mapped writable", name,
                            (unsigned long long)gfn);
    }
    return 0;
}

static int check_all(struct image_reader *r, const char *name,
                     const struct image_reader_options *options, struct checker *c,
                     struct pal_error *e)
{
    const struct image_sink sink = {c, place, placed, zero, copy};

    c->domain = image_reader_domain(r);
    c->bitmap = image_reader_bitmap(r);
    c->frame = calloc(1, c->domain->frames);
    if (!c->frame)
        return pal_fail(e, PAL_MEM_HOST, "no memory for checking");
    return image_reader_pages(r, &sink, options, e) || check_frames(c, name, e) ? -1 : 0;
}

int image_verify(const char *path, int fd, const struct image_reader_options *options,
                 struct image_info *info, struct pal_error *e)
{
    struct checker c = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct image_reader *r = fd < 0 ? image_reader_open(path, e) : image_reader_stream(fd, path, e);
    int rc = -1;

    if (r)
        rc = check_all(r, path, options, &c, e);
    if (rc == 0 && info) {
        image_info_front(r, info);
        memcpy(info->tables, c.tables, sizeof(c.tables));
        info->pinned = c.pinned;
    }
    image_reader_free(r);
    free(c.frame);
    return rc;
}
