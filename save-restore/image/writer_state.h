/* SPDX-License-Identifier: MIT */
/* The writer's insides, shared by writer.c (records) and pack.c (pages). */
#ifndef IMAGE_WRITER_STATE_H
#define IMAGE_WRITER_STATE_H

#include "image/chain.h"
#include "image/output.h"
#include "image/writer.h"

struct image_writer {
    struct output out;
    struct image_writer_options options;
    struct image_header header;
    struct image_domain domain;
    uint8_t *bitmap;
    enum image_record_type last; /* the record written last; 0: none */
    uint32_t records;            /* written */
    struct chain chain;
    bool failed, published;
    struct image_index_entry *index;
    struct image_end end;
    uint64_t pages_done;
};

/*
 * Write a record: `record` has type and lengths; its checksums but the data's are made here. parts[0] is
 * room for the header, parts[1] the body, the rest the data.
 */
int writer_record(struct image_writer *w, struct image_record *record, struct iovec *parts,
                  unsigned count, struct pal_error *e);
/* The record of populated frames. */
int writer_memory(struct image_writer *w, struct pal_error *e);
/* Report progress; false with the error set: stop. */
bool writer_goes_on(struct image_writer *w, struct pal_error *e);

#endif
