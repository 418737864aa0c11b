/* SPDX-License-Identifier: MIT */
/*
 * Reads an image, of which nothing is believed. Works front to back on a pipe; a file can also be
 * asked for single pages.
 *
 *     r = image_reader_open(path, &e);                    or image_reader_stream(fd, ...)
 *     image_reader_domain(r), image_reader_bitmap(r), image_reader_state(r, ...)
 *     image_reader_pages(r, &sink, ..., &e)               all memory, on all CPUs
 *     image_reader_free(r)
 *
 * Errors have PAL_SAVE_DAMAGED, PAL_SAVE_VERSION or PAL_SAVE_UNREADABLE, and say which record, at
 * which byte, and what is wrong with it. Calls come from one thread.
 */
#ifndef IMAGE_READER_H
#define IMAGE_READER_H

#include "image/writer.h"

struct image_reader;

/*
 * Read all that comes before the pages: header, description, domain, states, memory map. It is
 * checked completely: types, order, numbers, lengths, checksums, limits, each state at most once,
 * bits of the map against the domain's facts. NULL with the error set.
 */
struct image_reader *image_reader_open(const char *path, struct pal_error *e);
/* The same from a descriptor that stays the caller's; name is for messages. */
struct image_reader *image_reader_stream(int fd, const char *name, struct pal_error *e);
void image_reader_free(struct image_reader *r); /* r may be NULL */

const struct image_header *image_reader_header(const struct image_reader *r);
/* The XML, zero-terminated, with no other zero in it. */
const char *image_reader_description(const struct image_reader *r, size_t *length);
const struct image_domain *image_reader_domain(const struct image_reader *r);
/* Populated frames: domain->frames bits; domain->pages of them are set. */
const uint8_t *image_reader_bitmap(const struct image_reader *r);
/* A state's data (aligned to 8 bytes) and length, or NULL: there is none. */
const void *image_reader_state(const struct image_reader *r, enum image_state_kind kind,
                               uint32_t vcpu, size_t *length);

/* A page to be filled with the content of another one. */
struct image_copy {
    uint32_t gfn;
    uint32_t source;
};

/*
 * Where pages go. Called from several threads at once, for different pages; each populated page is
 * delivered exactly once, by one of the three ways. Return 0 (place: not NULL), or -1/NULL with *e set,
 * which ends the reading.
 */
struct image_sink {
    void *context;
    /*
     * Room for the content of `count` (1..IMAGE_CHUNK_PAGES) pages, one after the other in memory,
     * in the order of pages[] (ascending gfns): for instance a mapping of just these frames.
     */
    void *(*place)(void *context, const struct image_page *pages, unsigned count,
                   struct pal_error *e);
    /*
     * The content is there: rewrite tables and lists in it, and take it back. Called once after each
     * place; `bad` says that the content is not sound (another error follows) and only the room
     * is to be given back.
     */
    int (*placed)(void *context, void *room, const struct image_page *pages, unsigned count,
                  bool bad, struct pal_error *e);
    /* `count` pages from gfn on are zero; fresh memory of the hypervisor is already. */
    int (*zero)(void *context, uint32_t gfn, uint32_t count, uint8_t type, struct pal_error *e);
    /*
     * Copy pages inside the domain. All sources were placed before (and `placed` has returned), and
     * both sides are IMAGE_NORMAL. 1..IMAGE_CHUNK_PAGES of them.
     */
    int (*copy)(void *context, const struct image_copy *list, unsigned count, struct pal_error *e);
};

struct image_reader_options {
    unsigned workers;            /* threads; 0: as many as there are CPUs */
    image_progress_fn *progress; /* may be NULL */
    void *progress_context;
};

/*
 * All pages, then index, end and end of file. 0 means that the whole image was read and is sound: only
 * then may the domain run. sink NULL: only check. options may be NULL. Once per reader.
 */
int image_reader_pages(struct image_reader *r, const struct image_sink *sink,
                       const struct image_reader_options *options, struct pal_error *e);
/* The totals; sound after image_reader_pages() or image_reader_seek_index(). */
const struct image_end *image_reader_end(const struct image_reader *r);

/* ---- random access, files only ---- */

/* Read and check end and index, so that pages can be asked for. */
int image_reader_seek_index(struct image_reader *r, struct pal_error *e);
/*
 * The content of one page into `out` (a page), and its type. 1: not populated; nothing is written. -1
 * with the error set. The chunk that was asked last is kept unpacked.
 */
int image_reader_page(struct image_reader *r, uint32_t gfn, uint8_t *type, void *out,
                      struct pal_error *e);

#endif
