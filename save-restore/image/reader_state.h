/* SPDX-License-Identifier: MIT */
/* The reader's insides, shared by reader.c (front and end), unpack.c (pages), access.c. */
#ifndef IMAGE_READER_STATE_H
#define IMAGE_READER_STATE_H

#include "image/chain.h"
#include "image/chunk.h"
#include "image/codec.h"
#include "image/input.h"

struct reader_state {
    struct image_state head;
    void *data;
    size_t length;
};

/* A chunk kept unpacked for random access. */
struct kept_chunk {
    uint64_t number; /* + 1; 0: none */
    uint64_t used;
    struct chunk chunk;
    uint8_t *content; /* of its data pages */
};
#define KEPT_CHUNKS 12u

struct image_reader {
    struct input in;
    struct image_header header;
    char *xml;
    size_t xml_length;
    struct image_domain domain;
    uint8_t *bitmap;
    struct reader_state *states;
    unsigned state_count;
    struct image_record record; /* the one at hand */
    uint64_t at;                /* where it begins */
    uint32_t records;           /* read */
    struct chain chain;
    struct image_index_entry *index;
    uint64_t indexed; /* entries */
    struct image_end end;
    bool pages_read;
    uint32_t first_chunk; /* number of its record */
    uint64_t chunks_by[3], packed_by[3];
    /* random access */
    struct kept_chunk *kept;
    uint8_t *packed;
    struct codec *codec;
    uint64_t clock;
};

/* "record 7 (pages) at byte 4711 of FILE: ...". Returns -1. */
int reader_bad(const struct image_reader *r, struct pal_error *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a record that is not the one at hand. */
int record_bad(const struct image_reader *r, const struct image_record *record, uint64_t at,
               struct pal_error *e, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Exactly this many bytes of the record at hand; the end before them is an error. */
int reader_bytes(struct image_reader *r, void *to, size_t size, struct pal_error *e);
/* The next record's header into r->record, with everything checked but its body. */
int reader_next(struct image_reader *r, struct pal_error *e);
/* The body of the record at hand, checked by its checksum; the caller frees it. NULL: error set. */
void *reader_body(struct image_reader *r, struct pal_error *e);
/* A header's own checks: checksum, number, lengths by type; at: where it stands. */
int record_check(const struct image_reader *r, const struct image_record *record, uint64_t at,
                 uint32_t number, struct pal_error *e);
/* Index, end and end of file, against what was counted. */
int reader_finish(struct image_reader *r, const struct image_end *counted, struct pal_error *e);
/* What is wrong with the end record's totals, against these; NULL: nothing. */
const char *end_trouble(const struct image_end *end, const struct image_end *counted);

#endif
