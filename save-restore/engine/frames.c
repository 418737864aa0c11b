/* SPDX-License-Identifier: MIT */
#include "engine/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MACHINE_MOST (1ull << 32) /* frames: 16 TiB */

/* Memory that is there when it is touched: numbers without frames cost nothing. */
static void *lazily(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void give_back(void *p, uint64_t bytes)
{
    if (p)
        munmap(p, bytes);
}

static uint64_t blocks_of(uint64_t count)
{
    return (count + FRAMES_A_BLOCK - 1) / FRAMES_A_BLOCK;
}

static struct frames_block *blocks_make(uint64_t count)
{
    return lazily(blocks_of(count) * sizeof(struct frames_block));
}

/* Those below count may be in use, of room. */
static void blocks_free(struct frames_block *b, uint64_t count, uint64_t room)
{
    for (uint64_t i = 0; b && i < blocks_of(count); i++)
        free(b[i].list);
    give_back(b, blocks_of(room) * sizeof(*b));
}

/* It is a row no more. */
static int block_list(struct frames_block *b)
{
    b->list = malloc(FRAMES_A_BLOCK * sizeof(*b->list));
    for (uint32_t i = 0; b->list && i < FRAMES_A_BLOCK; i++)
        b->list[i] = b->base + i;
    return b->list ? 0 : -1;
}

static int block_set(struct frames_block *blocks, uint64_t number, uint64_t is, struct pal_error *e)
{
    struct frames_block *b = &blocks[number / FRAMES_A_BLOCK];
    uint32_t offset = number % FRAMES_A_BLOCK;

    if (!b->count++)
        b->base = (uint32_t)is - offset;
    if (!b->list && b->base + offset != (uint32_t)is && block_list(b))
        return pal_fail(e, PAL_SYS_FAILED, "out of memory for the list of the domain's frames");
    if (b->list)
        b->list[offset] = (uint32_t)is;
    return 0;
}

int frames_make(struct frames *f, uint64_t count, struct pal_error *e)
{
    memset(f, 0, sizeof(*f));
    f->room = f->count = count;
    f->mfn = blocks_make(count);
    f->type = lazily(count);
    f->bitmap = lazily((count + 7) / 8);
    if (f->mfn && f->type && f->bitmap)
        return 0;
    frames_free(f);
    return pal_fail(e, PAL_SYS_FAILED, "out of memory for the list of the domain's frames");
}

void frames_free(struct frames *f)
{
    blocks_free(f->mfn, f->count, f->room);
    blocks_free(f->gfn, f->machine, MACHINE_MOST);
    give_back(f->type, f->room);
    give_back(f->bitmap, (f->room + 7) / 8);
    memset(f, 0, sizeof(*f));
}

int frames_set(struct frames *f, uint64_t gfn, uint64_t mfn, struct pal_error *e)
{
    if (mfn >= MACHINE_MOST)
        return pal_fail(e, PAL_HV_REFUSED, "there is a frame beyond 16 TiB: %#llx",
                        (unsigned long long)mfn);
    if (block_set(f->mfn, gfn, mfn, e))
        return -1;
    f->bitmap[gfn / 8] |= (uint8_t)(1u << gfn % 8);
    f->pages++;
    return 0;
}

/* ---- what the hypervisor says ---- */

static int enter(void *data, const struct pal_own_frame *o, struct pal_error *e)
{
    struct frames *f = data;

    if (o->gfn >= IMAGE_FRAMES_MAX)
        return pal_fail(e, PAL_SAVE_GUEST, "its kernel gives the machine frame %#llx no number",
                        (unsigned long long)o->mfn);
    if (o->gfn >= f->count)
        f->count = o->gfn + 1;
    if (frames_has(f, o->gfn))
        return pal_fail(e, PAL_SAVE_GUEST,
                        "its kernel gives two machine frames (%#x, %#llx) the same number %#llx",
                        frames_mfn(f, o->gfn), (unsigned long long)o->mfn,
                        (unsigned long long)o->gfn);
    if (frames_set(f, o->gfn, o->mfn, e) || block_set(f->gfn, o->mfn, o->gfn, e))
        return -1;
    f->machine = o->mfn + 1; /* they ascend */
    if (o->level)
        f->type[o->gfn] = (uint8_t)(o->level | (o->pinned ? IMAGE_PINNED : 0));
    return 0;
}

int frames_read(struct frames *f, struct pal_hv *hv, uint32_t domain, uint64_t least,
                struct pal_error *e)
{
    if (frames_make(f, IMAGE_FRAMES_MAX, e))
        return -1;
    f->count = least;
    f->gfn = blocks_make(MACHINE_MOST);
    if (!f->gfn)
        pal_fail(e, PAL_SYS_FAILED, "out of memory for the list of the machine's frames");
    if (f->gfn && !pal_domain_frames(hv, domain, enter, f, e))
        return 0;
    frames_free(f);
    return -1;
}

/* ---- from one number to the other ---- */

uint64_t frames_to_gfn(void *context, uint64_t mfn)
{
    const struct frames *f = context;
    uint64_t gfn = mfn < f->machine ? frames_block_get(f->gfn, mfn) : REWRITE_NONE;

    /* What the block says of others' frames means nothing. */
    return frames_has(f, gfn) && frames_mfn(f, gfn) == mfn ? gfn : REWRITE_NONE;
}

uint64_t frames_to_mfn(void *context, uint64_t gfn)
{
    const struct frames *f = context;

    return frames_has(f, gfn) ? frames_mfn(f, gfn) : REWRITE_NONE;
}

unsigned frames_level(void *context, uint64_t gfn)
{
    const struct frames *f = context;
    unsigned type = gfn < f->count ? f->type[gfn] & ~IMAGE_PINNED : 0;

    return type <= IMAGE_L4 ? type : 0;
}

/* ---- contents ---- */

void *frames_map(const struct frames *f, struct pal_hv *hv, uint32_t domain, int protection,
                 const uint32_t *gfns, unsigned count, struct pal_error *e)
{
    xen_pfn_t mfns[IMAGE_CHUNK_PAGES];
    void *at;

    for (unsigned i = 0; i < count; i++)
        mfns[i] = frames_mfn(f, gfns[i]);
    at = xenforeignmemory_map(hv->memory, domain, protection, count, mfns, NULL);
    if (!at)
        pal_fail(e, PAL_HV_REFUSED, "the domain's memory cannot be mapped: %s", strerror(errno));
    return at;
}

void *frames_map_mfn(struct pal_hv *hv, uint32_t domain, int protection, uint64_t mfn,
                     struct pal_error *e)
{
    xen_pfn_t frame = mfn;
    void *at = xenforeignmemory_map(hv->memory, domain, protection, 1, &frame, NULL);

    if (!at)
        pal_fail(e, PAL_HV_REFUSED, "the domain's memory cannot be mapped: %s", strerror(errno));
    return at;
}
