/* SPDX-License-Identifier: MIT */
#include "image/chunk.h"

#include <stdarg.h>
#include <stdio.h>

#include "image/limits.h"

struct why {
    char *text;
    size_t size;
};

static bool bad(const struct why *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool bad(const struct why *why, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why->text, why->size, format, args);
    va_end(args);
    return false;
}

/* The pages of a run, in the order of all populated frames. */
static bool take_frames(struct chunk_walk *walk, const struct image_run *run, const struct why *why)
{
    uint64_t frames = walk->domain->frames;

    for (uint64_t gfn = run->gfn; gfn < (uint64_t)run->gfn + run->count; gfn++) {
        if (gfn >= frames)
            return bad(why, "frame %llu is beyond the last one", (unsigned long long)gfn);
        if (gfn < walk->next_gfn)
            return bad(why, "frame %llu comes twice or is not populated", (unsigned long long)gfn);
        if (gfn > walk->next_gfn)
            return bad(why, "frame %llu is left out", (unsigned long long)walk->next_gfn);
        walk->next_gfn = bitmap_next(walk->bitmap, frames, gfn + 1);
    }
    return true;
}

static bool check_fields(const struct image_run *run, unsigned left, const struct why *why)
{
    if (run->count < 1 || run->count > left)
        return bad(why, "a run of %u frames where %u may be", run->count, left);
    if (run->kind < IMAGE_DATA || run->kind > IMAGE_REPEAT)
        return bad(why, "frame %u is of unknown kind %u", run->gfn, run->kind);
    if (!type_is_known(run->type))
        return bad(why, "frame %u has the unknown type %#x", run->gfn, run->type);
    if (run->zero || (run->kind != IMAGE_REPEAT && run->source))
        return bad(why, "frame %u has something in a reserved field", run->gfn);
    return true;
}

static bool check_source(const struct chunk_walk *walk, const struct image_run *run,
                         const struct why *why)
{
    if (run->type != IMAGE_NORMAL)
        return bad(why, "frame %u repeats another, but is of type %#x", run->gfn, run->type);
    if ((uint64_t)run->source + run->count > run->gfn)
        return bad(why, "frame %u repeats frame %u, which does not come before it", run->gfn,
                   run->source);
    for (uint32_t i = 0; i < run->count; i++) {
        const uint8_t *allowed = walk->plain ? walk->plain : walk->bitmap;

        if (!bitmap_has(allowed, run->source + i))
            return bad(why, "frame %u repeats frame %u, which has no plain content", run->gfn + i,
                       run->source + i);
    }
    return true;
}

static void note(struct chunk_walk *walk, const struct image_run *run, struct chunk *chunk)
{
    if (run->kind == IMAGE_ZERO) {
        chunk->zero[chunk->zero_count++] = *run;
        walk->counted.zero_pages += run->count;
    }
    for (uint32_t i = 0; i < run->count && run->kind == IMAGE_REPEAT; i++) {
        chunk->copy[chunk->copy_count++] = (struct image_copy){run->gfn + i, run->source + i};
        walk->counted.repeat_pages++;
    }
    for (uint32_t i = 0; i < run->count && run->kind == IMAGE_DATA; i++) {
        chunk->data[chunk->data_count++] = (struct image_page){run->gfn + i, run->type};
        walk->counted.data_pages++;
        if (walk->plain && run->type == IMAGE_NORMAL)
            bitmap_set(walk->plain, run->gfn + i);
    }
    chunk->count += run->count;
}

static bool check_data(const struct chunk *chunk, size_t data_length, const struct why *why)
{
    size_t size = (size_t)chunk->data_count * IMAGE_PAGE_SIZE;

    if (chunk->codec == IMAGE_STORED ? data_length == size : data_length > 0 && data_length < size)
        return true;
    return bad(why, "%zu bytes of data for %u pages", data_length, chunk->data_count);
}

bool chunk_check(struct chunk_walk *walk, const void *body, size_t body_length, size_t data_length,
                 struct chunk *chunk, char *text, size_t size)
{
    const struct image_chunk *head = body;
    const struct image_run *runs = (const struct image_run *)(head + 1);
    struct why why = {text, size};

    chunk->count = chunk->data_count = chunk->zero_count = chunk->copy_count = 0;
    if (body_length < sizeof(*head) || head->runs < 1 || head->runs > IMAGE_CHUNK_PAGES ||
        body_length != sizeof(*head) + head->runs * sizeof(*runs))
        return bad(&why, "a wrong number of runs");
    if (head->codec > IMAGE_ZLIB)
        return bad(&why, "unknown codec %u", head->codec);
    chunk->codec = (enum image_codec)head->codec;
    chunk->first = runs[0].gfn;
    for (uint32_t i = 0; i < head->runs; i++) {
        if (!check_fields(&runs[i], IMAGE_CHUNK_PAGES - chunk->count, &why) ||
            !take_frames(walk, &runs[i], &why))
            return false;
        if (runs[i].kind == IMAGE_REPEAT && !check_source(walk, &runs[i], &why))
            return false;
        note(walk, &runs[i], chunk);
    }
    if (chunk->count < IMAGE_CHUNK_PAGES && walk->next_gfn < walk->domain->frames)
        return bad(&why, "only %u pages, and it is not the last chunk", chunk->count);
    walk->counted.chunks++;
    walk->counted.packed_bytes += data_length;
    walk->chunks_by[chunk->codec]++;
    walk->packed_by[chunk->codec] += data_length;
    return check_data(chunk, data_length, &why);
}
