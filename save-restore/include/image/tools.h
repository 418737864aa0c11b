/* SPDX-License-Identifier: MIT */
/* What is done with images beside saving and restoring: verify, diff, estimate, totals. */
#ifndef IMAGE_TOOLS_H
#define IMAGE_TOOLS_H

#include "image/reader.h"

/* What `pal image info` tells. Sizes in bytes unless named otherwise. */
struct image_info {
    struct image_header header;
    struct image_domain domain;
    struct image_end end;
    uint64_t tables[4];        /* pages that are tables of level 1..4 */
    uint64_t pinned;           /* of these */
    uint64_t chunks_by[3];     /* by enum image_codec */
    uint64_t packed_by[3];     /* bytes of chunk data, likewise */
    uint64_t vcpus_with_state; /* that have a context */
};

/*
 * Read the whole image and check everything, with all tables: their entries name populated frames,
 * tables of the right level, and nothing else. info may be NULL. progress as in reader.h. `path` may be
 * anything that can be read, `fd` < 0 then; otherwise it names fd in messages.
 */
int image_verify(const char *path, int fd, const struct image_reader_options *options,
                 struct image_info *info, struct pal_error *e);
/* The same figures from the records' headers alone, without the packed pages; a file only. */
int image_info_read(const char *path, struct image_info *info, struct pal_error *e);

/* How two images differ in a range of frames. */
enum image_difference {
    IMAGE_DIFFERS_CONTENT,
    IMAGE_DIFFERS_TYPE, /* and perhaps in content */
    IMAGE_ONLY_FIRST,   /* the second has a hole */
    IMAGE_ONLY_SECOND,
    IMAGE_DIFFERENCES,
};
struct image_diff {
    uint64_t same; /* pages, as all that follow */
    uint64_t differ[IMAGE_DIFFERENCES];
    uint64_t tables;          /* of the differing ones: tables in either image */
    bool description, states; /* differ */
};
/* Called for each range, ascending; false stops. */
typedef bool image_diff_fn(void *context, uint32_t gfn, uint32_t count, enum image_difference how);
/* Compare two files. visit may be NULL. */
int image_diff(const char *first, const char *second, image_diff_fn *visit, void *context,
               struct image_diff *result, struct pal_error *e);

/* What an image of a (frozen or running) domain would be in each mode, from a sample. */
struct image_estimate {
    uint64_t pages;      /* populated */
    uint64_t sampled;    /* of these */
    uint64_t bytes[3];   /* by enum image_mode: how long the image would be */
    uint64_t zero_pages; /* estimated */
};
/*
 * Look at about `sample` pages (0: 4096), spread over the bitmap's frames. The source's `canonical` may
 * be NULL: tables are taken as they are, which packs about as well.
 */
int image_estimate(const struct image_domain *domain, const uint8_t *bitmap,
                   const struct image_source *source, uint64_t sample,
                   struct image_estimate *result, struct pal_error *e);

#endif
