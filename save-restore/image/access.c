/* SPDX-License-Identifier: MIT */
/* Single pages of an image in a file, by its index. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image/access.h"
#include "image/limits.h"

#define PAGE     IMAGE_PAGE_SIZE
#define END_SIZE (sizeof(struct image_record) + sizeof(struct image_end))

/* Bytes that belong to the record at hand, from anywhere. */
static int read_at(struct image_reader *r, uint64_t offset, void *to, size_t size,
                   struct pal_error *e)
{
    r->in.offset = offset;
    return reader_bytes(r, to, size, e);
}

/* The header of the record at this place, which must have this number and type; then its body. */
static void *record_at(struct image_reader *r, uint64_t offset, uint32_t number,
                       enum image_record_type type, struct pal_error *e)
{
    r->at = offset;
    r->record = (struct image_record){.type = IMAGE_END + 1, .number = number};
    if (read_at(r, offset, &r->record, sizeof(r->record), e) ||
        record_check(r, &r->record, offset, number, e))
        return NULL;
    if (r->record.type == type)
        return reader_body(r, e);
    reader_bad(r, e, "a record of another type was expected here");
    return NULL;
}

static int read_end(struct image_reader *r, uint64_t length, struct pal_error *e)
{
    uint64_t front = r->in.offset, chunks = chunks_of(&r->domain);
    uint32_t number = r->first_chunk + (uint32_t)chunks + 1;
    struct image_end *end;

    r->at = front;
    if (length < front + END_SIZE)
        return reader_bad(r, e, "the image ends behind it, at byte %llu",
                          (unsigned long long)length);
    end = record_at(r, length - END_SIZE, number, IMAGE_END, e);
    if (!end)
        return -1;
    r->end = *end;
    free(end);
    if (r->end.length != length || r->end.chunks != chunks || r->end.index_offset < front ||
        r->end.index_offset > length - END_SIZE)
        return reader_bad(r, e, "its totals do not fit the image");
    return 0;
}

static int check_index(struct image_reader *r, uint64_t front, struct pal_error *e)
{
    uint64_t frames = r->domain.frames, gfn = bitmap_next(r->bitmap, frames, 0), at = front;

    for (uint64_t i = 0; i < r->indexed; i++) {
        const struct image_index_entry *entry = &r->index[i];
        uint64_t left = r->domain.pages - i * IMAGE_CHUNK_PAGES;

        if (entry->offset < at || entry->offset >= r->end.index_offset || entry->gfn != gfn ||
            entry->pages != (left < IMAGE_CHUNK_PAGES ? left : IMAGE_CHUNK_PAGES))
            return reader_bad(r, e, "entry %llu is wrong", (unsigned long long)i);
        at = entry->offset + sizeof(struct image_record);
        for (uint32_t n = 0; n < entry->pages; n++)
            gfn = bitmap_next(r->bitmap, frames, gfn + 1);
    }
    return 0;
}

int image_reader_seek_index(struct image_reader *r, struct pal_error *e)
{
    uint64_t front = r->in.offset;
    int64_t length = input_length(&r->in);

    if (r->pages_read || r->index)
        return pal_fail(e, PAL_SYS_FAILED, "the image's reader was used wrongly");
    if (length < 0)
        return pal_fail(e, PAL_SAVE_UNREADABLE, "%s is not a file: it can only be read in order",
                        r->in.name);
    if (read_end(r, (uint64_t)length, e))
        return -1;
    r->indexed = r->end.chunks;
    r->index =
        record_at(r, r->end.index_offset, r->first_chunk + (uint32_t)r->indexed, IMAGE_INDEX, e);
    r->kept = calloc(KEPT_CHUNKS, sizeof(*r->kept));
    r->packed = malloc(IMAGE_CHUNK_PAGES * PAGE);
    r->codec = codec_new();
    if (!r->index)
        return -1;
    if (!r->kept || !r->packed || !r->codec)
        return pal_fail(e, PAL_MEM_HOST, "no memory for the image's index");
    return check_index(r, front, e);
}

int access_chunk(struct image_reader *r, uint64_t number, struct chunk *chunk, struct pal_error *e)
{
    const struct image_index_entry *entry = &r->index[number];
    struct chunk_walk walk = {.domain = &r->domain, .bitmap = r->bitmap, .next_gfn = entry->gfn};
    void *body = record_at(r, entry->offset, r->first_chunk + (uint32_t)number, IMAGE_CHUNK, e);
    char why[160];
    bool sound;

    if (!body)
        return -1;
    sound = chunk_check(&walk, body, r->record.body_length, r->record.data_length, chunk, why,
                        sizeof(why));
    free(body);
    if (!sound)
        return reader_bad(r, e, "%s", why);
    return chunk->count == entry->pages ? 0 : reader_bad(r, e, "the index has other pages for it");
}

static int unpack_kept(struct image_reader *r, struct kept_chunk *k, struct pal_error *e)
{
    size_t size = (size_t)k->chunk.data_count * PAGE;
    uint32_t packed = r->record.data_length;

    if (reader_bytes(r, r->packed, packed, e))
        return -1;
    if (checksum_of(r->header.id, r->packed, packed) != r->record.data_checksum)
        return reader_bad(r, e, "the checksum of its data is wrong");
    if (size && !codec_unpack(r->codec, k->chunk.codec, r->packed, packed, k->content, size))
        return reader_bad(r, e, "its data does not unpack to its pages");
    return 0;
}

/* The chunk, unpacked; kept in the place that was not asked for the longest time. */
static struct kept_chunk *unpacked(struct image_reader *r, uint64_t number, struct pal_error *e)
{
    struct kept_chunk *k = &r->kept[0];

    for (unsigned i = 0; i < KEPT_CHUNKS; i++) {
        if (r->kept[i].number == number + 1) {
            r->kept[i].used = ++r->clock;
            return &r->kept[i];
        }
        if (r->kept[i].used < k->used)
            k = &r->kept[i];
    }
    k->number = 0;
    if (!k->content)
        k->content = malloc(IMAGE_CHUNK_PAGES * PAGE);
    if (!k->content) {
        pal_fail(e, PAL_MEM_HOST, "no memory for a chunk of the image");
        return NULL;
    }
    if (access_chunk(r, number, &k->chunk, e) || unpack_kept(r, k, e))
        return NULL;
    k->number = number + 1;
    k->used = ++r->clock;
    return k;
}

/* Which chunk a populated frame is in. */
static uint64_t chunk_of(const struct image_reader *r, uint32_t gfn)
{
    uint64_t low = 0, high = r->indexed;

    while (high - low > 1) {
        uint64_t middle = (low + high) / 2;

        if (r->index[middle].gfn <= gfn)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static const uint8_t *data_of(const struct kept_chunk *k, uint32_t gfn, uint8_t *type)
{
    for (unsigned i = 0; i < k->chunk.data_count; i++)
        if (k->chunk.data[i].gfn == gfn) {
            *type = k->chunk.data[i].type;
            return k->content + (size_t)i * PAGE;
        }
    return NULL;
}

static bool zero_of(const struct kept_chunk *k, uint32_t gfn, uint8_t *type)
{
    for (unsigned i = 0; i < k->chunk.zero_count; i++)
        if (gfn - k->chunk.zero[i].gfn < k->chunk.zero[i].count) {
            *type = k->chunk.zero[i].type;
            return true;
        }
    return false;
}

static int copy_of(struct image_reader *r, const struct kept_chunk *k, uint32_t gfn, uint8_t *type,
                   void *out, struct pal_error *e)
{
    const uint8_t *content = NULL;
    uint32_t source = gfn;

    for (unsigned i = 0; i < k->chunk.copy_count; i++)
        if (k->chunk.copy[i].gfn == gfn)
            source = k->chunk.copy[i].source;
    k = unpacked(r, chunk_of(r, source), e);
    if (!k)
        return -1;
    content = data_of(k, source, type);
    if (!content || *type != IMAGE_NORMAL)
        return reader_bad(r, e, "frame %u repeats frame %u, which has no plain content", gfn,
                          source);
    memcpy(out, content, PAGE);
    return 0;
}

int image_reader_page(struct image_reader *r, uint32_t gfn, uint8_t *type, void *out,
                      struct pal_error *e)
{
    const struct kept_chunk *k;
    const uint8_t *content;

    if (!r->codec)
        return pal_fail(e, PAL_SYS_FAILED, "the image's reader was used wrongly: no index");
    if (gfn >= r->domain.frames || !bitmap_has(r->bitmap, gfn))
        return 1;
    k = unpacked(r, chunk_of(r, gfn), e);
    if (!k)
        return -1;
    content = data_of(k, gfn, type);
    if (content)
        memcpy(out, content, PAGE);
    else if (zero_of(k, gfn, type))
        memset(out, 0, PAGE);
    else
        return copy_of(r, k, gfn, type, out, e);
    return 0;
}
