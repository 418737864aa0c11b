/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <string.h>

_Static_assert(sizeof(struct blkif_request) == 112, "the 64-bit layout");
_Static_assert(sizeof(struct blkif_request_indirect) <= sizeof(struct blkif_request), "fits");
_Static_assert(REQUEST_SEGMENTS <= BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST * REQUEST_IN_PAGE, "fits");

static bool put_segment(struct request_what *what, const struct blkif_request_segment *raw)
{
    struct request_segment *to = &what->segment[what->segments];

    if (raw->last_sect < raw->first_sect || raw->last_sect >= REQUEST_PAGE / SECTOR)
        return false;
    to->ref = raw->gref;
    to->offset = (uint16_t)(raw->first_sect * SECTOR);
    to->length = (uint16_t)((raw->last_sect - raw->first_sect + 1) * SECTOR);
    what->size += to->length;
    what->segments++;
    return true;
}

static bool put_direct(struct request_what *what, const struct blkif_request *raw)
{
    if (raw->nr_segments > BLKIF_MAX_SEGMENTS_PER_REQUEST)
        return false;
    for (unsigned i = 0; i < raw->nr_segments; i++) {
        if (!put_segment(what, &raw->seg[i]))
            return false;
    }
    return true;
}

static bool put_indirect(struct request_what *what, const struct blkif_request_indirect *raw,
                         request_page_reader *read_page, void *data)
{
    struct blkif_request_segment page[REQUEST_IN_PAGE];

    if (raw->nr_segments > REQUEST_SEGMENTS)
        return false;
    for (unsigned i = 0; i < raw->nr_segments; i++) {
        if (i % REQUEST_IN_PAGE == 0 &&
            !read_page(data, raw->indirect_grefs[i / REQUEST_IN_PAGE], page))
            return false;
        if (!put_segment(what, &page[i % REQUEST_IN_PAGE]))
            return false;
    }
    return true;
}

/* From and for so many sectors, on a disk of that size. */
static bool put_range(struct request_what *what, uint64_t sector, uint64_t sectors, uint64_t size)
{
    if (sector > size / SECTOR || sectors > size / SECTOR - sector)
        return false;
    what->start = sector * SECTOR;
    what->size = sectors * SECTOR;
    return true;
}

static int16_t understand_transfer(const struct blkif_request *raw,
                                   const struct request_limits *limits,
                                   request_page_reader *read_page, void *data,
                                   struct request_what *what)
{
    struct blkif_request_indirect indirect;
    bool is_indirect = raw->operation == BLKIF_OP_INDIRECT;
    uint8_t operation = raw->operation;
    uint64_t sector = raw->sector_number;

    if (is_indirect) {
        memcpy(&indirect, raw, sizeof(indirect));
        what->operation = operation =
            indirect.indirect_op; /* what blkfront looks for in the answer */
        sector = indirect.sector_number;
        if (operation != BLKIF_OP_READ && operation != BLKIF_OP_WRITE)
            return BLKIF_RSP_ERROR;
    }
    what->kind = operation == BLKIF_OP_READ    ? REQUEST_READ
                 : operation == BLKIF_OP_WRITE ? REQUEST_WRITE
                                               : REQUEST_BARRIER;
    if (what->kind != REQUEST_READ && limits->read_only)
        return BLKIF_RSP_ERROR;
    if (is_indirect ? !put_indirect(what, &indirect, read_page, data) : !put_direct(what, raw))
        return BLKIF_RSP_ERROR;
    if (!what->segments && what->kind != REQUEST_BARRIER)
        return BLKIF_RSP_ERROR;
    if (!what->segments) /* what is nowhere cannot be beyond the end */
        sector = 0;
    return put_range(what, sector, what->size / SECTOR, limits->size) ? BLKIF_RSP_OKAY
                                                                      : BLKIF_RSP_ERROR;
}

int16_t request_understand(const struct blkif_request *raw, const struct request_limits *limits,
                           request_page_reader *read_page, void *data, struct request_what *what)
{
    struct blkif_request_discard discard;

    what->id = raw->id;
    what->operation = raw->operation;
    what->segments = 0;
    what->start = what->size = 0;
    switch (raw->operation) {
    case BLKIF_OP_READ:
    case BLKIF_OP_WRITE:
    case BLKIF_OP_WRITE_BARRIER:
    case BLKIF_OP_INDIRECT:
        return understand_transfer(raw, limits, read_page, data, what);
    case BLKIF_OP_FLUSH_DISKCACHE:
        what->kind = REQUEST_FLUSH;
        return BLKIF_RSP_OKAY;
    case BLKIF_OP_DISCARD:
        memcpy(&discard, raw, sizeof(discard));
        what->kind = REQUEST_DISCARD;
        if (limits->read_only)
            return BLKIF_RSP_ERROR;
        return put_range(what, discard.sector_number, discard.nr_sectors, limits->size)
                   ? BLKIF_RSP_OKAY
                   : BLKIF_RSP_ERROR;
    default:
        return BLKIF_RSP_EOPNOTSUPP;
    }
}
