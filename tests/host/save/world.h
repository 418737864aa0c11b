/* SPDX-License-Identifier: MIT */
/* A made-up domain: memory of every kind, page tables that name machine frames, states. */
#ifndef TESTS_SAVE_WORLD_H
#define TESTS_SAVE_WORLD_H

#include "test.h"

#include "image/reader.h"
#include "image/rewrite.h"
#include "image/tools.h"

#define WORLD_PAGE 4096u

struct world {
    uint32_t frames;
    uint8_t *bitmap;
    uint8_t *memory; /* frames pages; tables name machine frames */
    uint8_t *type;   /* enum image_type of each */
    uint64_t *mfn;   /* of each gfn */
    uint32_t *gfn;   /* of each mfn below 2 * frames */
    struct image_domain domain;
    bool small;           /* write short states only */
    unsigned mapped;      /* shown by the source now */
    unsigned fail_map_at; /* the source refuses this map (counted from 1) */
    unsigned maps;
    uint64_t delivered; /* pages, by the sink */
    uint8_t *seen;      /* by the sink: how often */
};

/*
 * A domain of so many frames (at least 64), the same for the same seed: about a fifth holes, a third
 * zero, some repeated, some text, some random; a tree of page tables; a list page.
 */
struct world *world_new(uint32_t frames, unsigned seed);
/* Of the same shape, empty: to restore into, with other machine frames. */
struct world *world_empty(const struct image_reader *r, unsigned seed);
void world_free(struct world *w);

/* Its memory as a source, and as a sink. */
struct image_source world_source(struct world *w);
struct image_sink world_sink(struct world *w);

/* Same memory, when machine frames are taken as guest frames. */
void assert_same_world(const struct world *a, const struct world *b);

/* Write all of it; fails the test if that fails. */
void world_write(struct world *w, struct image_writer *writer, struct pal_error *e);
/* To a file, with these options. */
void world_save(struct world *w, const char *path, const struct image_writer_options *options);
/* The two machine frame lookups. */
struct rewrite_frames world_frames(struct world *w, bool to_gfn);

/* A directory of its own for the test program's files; removed at exit. */
const char *scratch(const char *name);
uint8_t *read_file(const char *path, size_t *size);
void write_file(const char *path, const void *data, size_t size);
uint64_t next_random(uint64_t *state);

#endif
