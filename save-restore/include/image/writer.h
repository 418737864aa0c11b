/* SPDX-License-Identifier: MIT */
/*
 * Writes an image of a domain: to a file, which appears under its name only when it is complete and
 * on the disk, or to a pipe or socket, front to back.
 *
 *     w = image_writer_create(path, &options, &e);            or image_writer_stream(fd, ...)
 *     image_writer_description(w, xml, length, &e)
 *     image_writer_domain(w, &domain, bitmap, &e)
 *     image_writer_state(w, kind, vcpu, data, length, &e)      any number
 *     image_writer_pages(w, &source, &e)                       all memory, on all CPUs
 *     image_writer_commit(w, &e)                               only now the file exists
 *     image_writer_free(w)                                     without a commit nothing remains
 *
 * The calls come in this order and from one thread. All return 0, or -1 with the error set (what
 * failed to be written, where); after an error only image_writer_free() is of use. Memory taken is
 * bounded (about 2 MiB a CPU, at most 12 CPUs, and 1 byte in 10,000 of the guest's memory).
 */
#ifndef IMAGE_WRITER_H
#define IMAGE_WRITER_H

#include <stdbool.h>
#include <stddef.h>

#include "image/format.h"
#include "libpal/error.h"

enum image_mode {
    IMAGE_MODE_DEFAULT, /* hurried LZ4; harder while the disk or pipe is what the work waits for */
    IMAGE_MODE_FAST,    /* no compression: only holes, zero and repeated pages are left out */
    IMAGE_MODE_SMALL,   /* zlib */
};

struct image_progress {
    uint64_t pages; /* done */
    uint64_t total; /* of how many */
    uint64_t bytes; /* of image written or read so far */
    bool reading_back;
};
/*
 * Called in the caller's own thread, several times a second, also while nothing moves. false stops
 * the work: the call returns -1, with PAL_SAVE_STOPPED unless *e was set before.
 */
typedef bool image_progress_fn(void *context, const struct image_progress *now);

struct image_writer_options {
    enum image_mode mode;
    unsigned workers;            /* threads; 0: as many as there are CPUs */
    bool read_back;              /* commit reads the file again, from the disk, and checks it */
    image_progress_fn *progress; /* may be NULL */
    void *progress_context;
};

/* One page to be written. */
struct image_page {
    uint32_t gfn;
    uint8_t type; /* enum image_type */
};

/*
 * Where pages come from. The functions are called from several threads at once, for different pages.
 * They return 0 (map: not NULL), or -1/NULL with *e set, which ends the writing.
 */
struct image_source {
    void *context;
    /*
     * Show `count` (1..IMAGE_CHUNK_PAGES) pages, one after the other in memory, in the order of
     * pages[] (ascending gfns, all populated); set each page's type. What is shown must not change
     * before unmap: the domain is frozen.
     */
    const void *(*map)(void *context, struct image_page *pages, unsigned count,
                       struct pal_error *e);
    /*
     * The canonical content of a page whose type is not IMAGE_NORMAL: page tables with
     * rewrite_to_gfn(), lists as the saver does it. `out` is a page, to be filled completely.
     */
    int (*canonical)(void *context, const struct image_page *page, const void *raw, void *out,
                     struct pal_error *e);
    /* After map, exactly once, also when something failed. */
    void (*unmap)(void *context, const void *base, unsigned count);
    bool copies; /* what is shown belongs to the writer, which may move it about */
};

struct image_writer;

/*
 * Begin a file. Nothing appears at `path` before the commit; an old file there stays until then. Its
 * directory must exist. NULL with the error set.
 */
struct image_writer *image_writer_create(const char *path,
                                         const struct image_writer_options *options,
                                         struct pal_error *e);
/*
 * Begin a stream on an open descriptor (a pipe, a socket, an ordinary file from its position on),
 * which stays the caller's. Nothing is sought or synced; read_back is ignored. SIGPIPE is not raised.
 */
struct image_writer *image_writer_stream(int fd, const struct image_writer_options *options,
                                         struct pal_error *e);

/* The domain's XML, length at most IMAGE_DESCRIPTION_MAX. */
int image_writer_description(struct image_writer *w, const char *xml, size_t length,
                             struct pal_error *e);
/*
 * The domain's facts and its populated frames: a bitmap of domain->frames bits. domain->pages is set
 * from the bitmap by the writer, whatever the caller left there. The bitmap is copied.
 */
int image_writer_domain(struct image_writer *w, const struct image_domain *domain,
                        const uint8_t *bitmap, struct pal_error *e);
/* A state (enum image_state_kind); vcpu is IMAGE_NO_VCPU for those of the domain. */
int image_writer_state(struct image_writer *w, enum image_state_kind kind, uint32_t vcpu,
                       const void *data, size_t length, struct pal_error *e);
/* All populated pages. Returns when the last one is written and unmapped. */
int image_writer_pages(struct image_writer *w, const struct image_source *source,
                       struct pal_error *e);
/*
 * Write the end. A file is synced, read back if that was asked for, given its name (an older file
 * there is replaced in one step), and its directory synced. When this fails nothing new is there.
 */
int image_writer_commit(struct image_writer *w, struct pal_error *e);
/* Totals so far; complete after the commit. */
void image_writer_totals(const struct image_writer *w, struct image_end *totals);
/* The image's random id (struct image_header), by which its copies and descendants can be known. */
uint64_t image_writer_id(const struct image_writer *w);
/* End it; without a commit what was written is gone. w may be NULL. */
void image_writer_free(struct image_writer *w);

/* The allowed lengths of a state's data; false for an unknown kind. */
bool image_state_limits(uint32_t kind, size_t *least, size_t *most, size_t *multiple_of);

#endif
