/* SPDX-License-Identifier: MIT */
/*
 * A guest's request, read from the shared ring once and checked; what follows works on this copy only. Nothing here
 * knows hypervisor or files: it runs on the host under a fuzzer. Format: <xen/io/blkif.h>, 64-bit.
 */
#ifndef UBC_REQUEST_H
#define UBC_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/blkif.h>

#define SECTOR           512u
#define REQUEST_PAGE     4096u
#define REQUEST_SEGMENTS 256u /* what feature-max-indirect-segments says */
#define REQUEST_IN_PAGE  (REQUEST_PAGE / sizeof(struct blkif_request_segment))
#define REQUEST_PIECES   (REQUEST_SEGMENTS * 2u) /* a segment touches two pages of a disk at most */
/* The answer to a flush that failed: a number that no driver takes for anything else (disk.c). */
#define REQUEST_NOT_FLUSHED (-3)
#define REQUEST_MOST_SIZE   ((uint64_t)REQUEST_SEGMENTS * REQUEST_PAGE)

enum request_kind {
    REQUEST_READ,
    REQUEST_WRITE,
    REQUEST_BARRIER, /* a write, maybe of nothing: after all before it, durable, before all after it */
    REQUEST_FLUSH,
    REQUEST_DISCARD,
};

struct request_segment {
    uint32_t ref;
    uint16_t offset, length; /* bytes in the granted page */
};

struct request_what {
    uint64_t id;
    uint8_t operation; /* as the answer names it */
    enum request_kind kind;
    uint64_t start, size; /* bytes on the disk */
    unsigned segments;
    struct request_segment segment[REQUEST_SEGMENTS];
};

/* What the disk that it is for is like. */
struct request_limits {
    uint64_t size; /* bytes, whole sectors */
    bool read_only;
};

/* Fetches the page of segments behind a grant reference; false: it cannot be read. */
typedef bool request_page_reader(void *data, uint32_t ref, void *page);

/*
 * Understand a request that was copied from the ring. Returns BLKIF_RSP_OKAY, or what to answer at once; id and
 * operation of *what are set whatever the result.
 */
int16_t request_understand(const struct blkif_request *raw, const struct request_limits *limits,
                           request_page_reader *read_page, void *data, struct request_what *what);

#endif
