/* SPDX-License-Identifier: MIT */
/*
 * How long an image would be, from runs of neighbouring pages spread over the memory. Repeats are seen
 * only among the pages looked at, so the figure is rather too high than too low.
 */
#include <stdlib.h>
#include <string.h>

#include "image/codec.h"
#include "image/limits.h"
#include "image/repeat.h"
#include "image/tools.h"

#define PAGE        IMAGE_PAGE_SIZE
#define RUN         8u
#define SAMPLE_SIZE 4096u

struct sampler {
    const struct image_source *source;
    struct repeats *repeats;
    struct codec *codec;
    uint8_t *data, *packed; /* of one chunk */
    unsigned count;         /* pages in it */
    uint64_t stored, lz4, zlib;
    uint64_t seen, zero;
};

static uint64_t packed_size(struct sampler *s, enum effort effort)
{
    enum image_codec unused;
    size_t size = (size_t)s->count * PAGE;
    size_t packed = size ? codec_pack(s->codec, effort, s->data, size, s->packed, &unused) : 0;

    return packed ? packed : size;
}

/* What was gathered, as a chunk. */
static void weigh(struct sampler *s)
{
    s->stored += (uint64_t)s->count * PAGE;
    s->lz4 += packed_size(s, EFFORT_LZ4_FAST);
    s->zlib += packed_size(s, EFFORT_ZLIB_BEST);
    s->count = 0;
}

static void look(struct sampler *s, const struct image_page *page, const uint8_t *content)
{
    s->seen++;
    if (page_is_zero(content)) {
        s->zero++;
        return;
    }
    if (page->type == IMAGE_NORMAL &&
        repeats_find(s->repeats, repeats_hash(s->repeats, content), page->gfn) != UINT32_MAX)
        return;
    memcpy(s->data + (size_t)s->count++ * PAGE, content, PAGE);
    if (s->count == IMAGE_CHUNK_PAGES)
        weigh(s);
}

/* The run of populated frames from *gfn on; *gfn goes behind it. */
static int sample_run(struct sampler *s, const struct image_domain *d, const uint8_t *bitmap,
                      uint64_t *gfn, struct pal_error *e)
{
    struct image_page pages[RUN];
    unsigned count = 0;
    const uint8_t *base;

    for (; count < RUN && *gfn < d->frames; *gfn = bitmap_next(bitmap, d->frames, *gfn + 1))
        pages[count++] = (struct image_page){(uint32_t)*gfn, IMAGE_NORMAL};
    base = s->source->map(s->source->context, pages, count, e);
    if (!base)
        return pal_fail(e, PAL_SYS_FAILED, "frames from %u on cannot be read", pages[0].gfn);
    for (unsigned i = 0; i < count; i++)
        look(s, &pages[i], base + (size_t)i * PAGE);
    s->source->unmap(s->source->context, base, count);
    return 0;
}

static int sample_all(struct sampler *s, const struct image_domain *d, const uint8_t *bitmap,
                      uint64_t step, struct pal_error *e)
{
    uint64_t gfn = bitmap_next(bitmap, d->frames, 0);

    while (gfn < d->frames) {
        if (sample_run(s, d, bitmap, &gfn, e))
            return -1;
        for (uint64_t i = RUN; i < step && gfn < d->frames; i++)
            gfn = bitmap_next(bitmap, d->frames, gfn + 1);
    }
    weigh(s);
    return 0;
}

static void extrapolate(const struct sampler *s, const struct image_domain *d,
                        struct image_estimate *result)
{
    uint64_t fixed = sizeof(struct image_header) + 8 * sizeof(struct image_record) +
                     (result->pages / IMAGE_CHUNK_PAGES + 1) * 100 + d->frames / 8 + 16384;
    double factor = (double)result->pages / (double)s->seen;

    result->sampled = s->seen;
    result->zero_pages = (uint64_t)((double)s->zero * factor);
    result->bytes[IMAGE_MODE_FAST] = fixed + (uint64_t)((double)s->stored * factor);
    result->bytes[IMAGE_MODE_DEFAULT] = fixed + (uint64_t)((double)s->lz4 * factor);
    result->bytes[IMAGE_MODE_SMALL] = fixed + (uint64_t)((double)s->zlib * factor);
}

int image_estimate(const struct image_domain *domain, const uint8_t *bitmap,
                   const struct image_source *source, uint64_t sample,
                   struct image_estimate *result, struct pal_error *e)
{
    struct sampler s = {.source = source};
    uint64_t pages = bitmap_count(bitmap, domain->frames), step;
    int rc = -1;

    *result = (struct image_estimate){.pages = pages};
    sample = sample ? sample : SAMPLE_SIZE;
    step = sample < pages ? (pages + sample - 1) / sample * RUN : RUN;
    s.repeats = repeats_new(sample);
    s.codec = codec_new();
    s.data = malloc(2 * (size_t)IMAGE_CHUNK_PAGES * PAGE);
    s.packed = s.data ? s.data + (size_t)IMAGE_CHUNK_PAGES * PAGE : NULL;
    if (!s.repeats || !s.codec || !s.data)
        pal_fail(e, PAL_MEM_HOST, "no memory for an estimate");
    else if (pages == 0)
        pal_fail(e, PAL_SYS_FAILED, "the domain has no memory");
    else
        rc = sample_all(&s, domain, bitmap, step, e);
    if (rc == 0)
        extrapolate(&s, domain, result);
    repeats_free(s.repeats);
    codec_free(s.codec);
    free(s.data);
    return rc;
}
