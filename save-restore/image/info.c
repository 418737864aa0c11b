/* SPDX-License-Identifier: MIT */
#include "image/info.h"

#include <string.h>

#include "image/access.h"

void image_info_front(const struct image_reader *r, struct image_info *info)
{
    size_t length;

    *info = (struct image_info){.header = r->header, .domain = r->domain, .end = r->end};
    memcpy(info->chunks_by, r->chunks_by, sizeof(info->chunks_by));
    memcpy(info->packed_by, r->packed_by, sizeof(info->packed_by));
    for (uint32_t v = 0; v < r->domain.vcpus; v++)
        if (image_reader_state(r, IMAGE_STATE_CONTEXT, v, &length))
            info->vcpus_with_state++;
}

static void count_type(struct image_info *info, uint8_t type, uint32_t count)
{
    unsigned level = type & ~(unsigned)IMAGE_PINNED;

    if (level >= IMAGE_L1 && level <= IMAGE_L4)
        info->tables[level - 1] += count;
    if (type & IMAGE_PINNED)
        info->pinned += count;
}

static int count_chunks(struct image_reader *r, struct image_info *info, struct pal_error *e)
{
    struct chunk chunk;

    for (uint64_t i = 0; i < r->indexed; i++) {
        if (access_chunk(r, i, &chunk, e))
            return -1;
        for (unsigned n = 0; n < chunk.data_count; n++)
            count_type(info, chunk.data[n].type, 1);
        for (unsigned n = 0; n < chunk.zero_count; n++)
            count_type(info, chunk.zero[n].type, chunk.zero[n].count);
        info->chunks_by[chunk.codec]++;
        info->packed_by[chunk.codec] += r->record.data_length;
    }
    return 0;
}

int image_info_read(const char *path, struct image_info *info, struct pal_error *e)
{
    struct image_reader *r = image_reader_open(path, e);
    int rc = -1;

    if (r && image_reader_seek_index(r, e) == 0) {
        image_info_front(r, info);
        rc = count_chunks(r, info, e);
    }
    image_reader_free(r);
    return rc;
}
