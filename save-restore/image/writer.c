/* SPDX-License-Identifier: MIT */
/* The writer: records in their order. Pages are pack.c's. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "image/limits.h"
#include "image/reader.h"
#include "image/writer_state.h"

/* May a record come after that one? */
static bool follows(enum image_record_type last, enum image_record_type next)
{
    switch (next) {
    case IMAGE_DESCRIPTION:
        return last == 0;
    case IMAGE_DOMAIN:
        return last == IMAGE_DESCRIPTION;
    case IMAGE_STATE:
        return last == IMAGE_DOMAIN || last == IMAGE_STATE;
    case IMAGE_MEMORY:
        return last == IMAGE_DOMAIN || last == IMAGE_STATE;
    case IMAGE_CHUNK:
    case IMAGE_INDEX:
        return last == IMAGE_MEMORY || last == IMAGE_CHUNK;
    case IMAGE_END:
        return last == IMAGE_INDEX;
    }
    return false;
}

static int refuse(struct image_writer *w, const char *why, struct pal_error *e)
{
    w->failed = true;
    return pal_fail(e, PAL_SYS_FAILED, "the image's writer was used wrongly: %s", why);
}

bool writer_goes_on(struct image_writer *w, struct pal_error *e)
{
    struct image_progress now = {w->pages_done, w->domain.pages, w->out.offset, false};

    if (!w->options.progress || w->options.progress(w->options.progress_context, &now))
        return true;
    pal_fail(e, PAL_SAVE_STOPPED, "stopped after %llu of %llu pages", (unsigned long long)now.pages,
             (unsigned long long)now.total);
    return false;
}

static bool patience(void *context)
{
    struct pal_error unused = {0};

    return writer_goes_on(context, &unused);
}

int writer_record(struct image_writer *w, struct image_record *record, struct iovec *parts,
                  unsigned count, struct pal_error *e)
{
    if (w->failed || !follows(w->last, (enum image_record_type)record->type))
        return refuse(w, "records out of order", e);
    record->number = w->records;
    record->body_checksum = checksum_of(w->header.id, parts[1].iov_base, parts[1].iov_len);
    if (record->type != IMAGE_CHUNK)
        record->data_checksum = checksum_of(w->header.id, NULL, 0);
    record->above_checksum = record_above(w->header.id, record);
    parts[0] = (struct iovec){record, sizeof(*record)};
    if (record->type != IMAGE_END)
        chain_add(&w->chain, record);
    w->last = (enum image_record_type)record->type;
    w->records++;
    if (output_write(&w->out, parts, count, e)) {
        w->failed = true;
        return -1;
    }
    return 0;
}

static int simple_record(struct image_writer *w, enum image_record_type type, const void *body,
                         size_t length, struct pal_error *e)
{
    struct image_record record = {.type = type, .body_length = (uint32_t)length};
    struct iovec parts[2] = {{NULL, 0}, {(void *)body, length}};

    return writer_record(w, &record, parts, 2, e);
}

static int write_header(struct image_writer *w, struct pal_error *e)
{
    struct iovec part = {&w->header, sizeof(w->header)};
    struct timespec now;

    memcpy(w->header.magic, IMAGE_MAGIC, sizeof(w->header.magic));
    w->header.version = IMAGE_VERSION;
    w->header.page_size = IMAGE_PAGE_SIZE;
    if (getrandom(&w->header.id, sizeof(w->header.id), 0) != sizeof(w->header.id))
        return pal_fail(e, PAL_SYS_FAILED, "no random numbers: %s", strerror(errno));
    clock_gettime(CLOCK_REALTIME, &now);
    w->header.created_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    w->header.checksum = checksum_of(0, &w->header, offsetof(struct image_header, checksum));
    chain_begin(&w->chain, w->header.id);
    return output_write(&w->out, &part, 1, e);
}

static struct image_writer *begin(const char *path, int fd,
                                  const struct image_writer_options *options, struct pal_error *e)
{
    struct image_writer *w = calloc(1, sizeof(*w));

    if (!w) {
        pal_fail(e, PAL_MEM_HOST, "no memory for the image's writer");
        return NULL;
    }
    if (options)
        w->options = *options;
    if (path ? output_create(&w->out, path, e) : output_stream(&w->out, fd, e))
        goto failed;
    w->out.patience = patience;
    w->out.context = w;
    if (write_header(w, e) == 0)
        return w;
failed:
    image_writer_free(w);
    return NULL;
}

struct image_writer *image_writer_create(const char *path,
                                         const struct image_writer_options *options,
                                         struct pal_error *e)
{
    return begin(path, -1, options, e);
}

struct image_writer *image_writer_stream(int fd, const struct image_writer_options *options,
                                         struct pal_error *e)
{
    return begin(NULL, fd, options, e);
}

int image_writer_description(struct image_writer *w, const char *xml, size_t length,
                             struct pal_error *e)
{
    if (length < 1 || length > IMAGE_DESCRIPTION_MAX || memchr(xml, 0, length))
        return refuse(w, "a description of a wrong length", e);
    return simple_record(w, IMAGE_DESCRIPTION, xml, length, e);
}

int image_writer_domain(struct image_writer *w, const struct image_domain *domain,
                        const uint8_t *bitmap, struct pal_error *e)
{
    const char *trouble = domain_trouble(domain);
    uint64_t bytes = (domain->frames + 7) / 8;

    if (trouble || w->bitmap)
        return refuse(w, trouble ? trouble : "a second domain", e);
    w->domain = *domain;
    w->domain.pages = bitmap_count(bitmap, domain->frames);
    trouble = bitmap_trouble(&w->domain, bitmap);
    if (trouble)
        return refuse(w, trouble, e);
    w->bitmap = malloc(bytes);
    w->index = malloc((w->domain.pages / IMAGE_CHUNK_PAGES + 1) * sizeof(*w->index));
    if (!w->bitmap || !w->index)
        return pal_fail(e, PAL_MEM_HOST, "no memory for the map of the domain's frames");
    memcpy(w->bitmap, bitmap, bytes);
    return simple_record(w, IMAGE_DOMAIN, &w->domain, sizeof(w->domain), e);
}

int writer_memory(struct image_writer *w, struct pal_error *e)
{
    return simple_record(w, IMAGE_MEMORY, w->bitmap, (w->domain.frames + 7) / 8, e);
}

int image_writer_state(struct image_writer *w, enum image_state_kind kind, uint32_t vcpu,
                       const void *data, size_t length, struct pal_error *e)
{
    const char *trouble = state_trouble(kind, vcpu, w->domain.vcpus, length);
    struct image_state head = {kind, vcpu};
    uint8_t *body;
    int rc;

    if (trouble)
        return refuse(w, trouble, e);
    body = malloc(sizeof(head) + length);
    if (!body)
        return pal_fail(e, PAL_MEM_HOST, "no memory for a vCPU's state");
    memcpy(body, &head, sizeof(head));
    memcpy(body + sizeof(head), data, length);
    rc = simple_record(w, IMAGE_STATE, body, sizeof(head) + length, e);
    free(body);
    return rc;
}

static int write_end(struct image_writer *w, struct pal_error *e)
{
    w->end.index_offset = w->out.offset;
    if (simple_record(w, IMAGE_INDEX, w->index, w->end.chunks * sizeof(*w->index), e))
        return -1;
    w->end.length = w->out.offset + sizeof(struct image_record) + sizeof(w->end);
    w->end.records_checksum = chain_value(&w->chain);
    return simple_record(w, IMAGE_END, &w->end, sizeof(w->end), e);
}

static bool read_back_progress(void *context, const struct image_progress *now)
{
    struct image_writer *w = context;
    struct image_progress mine = *now;

    mine.reading_back = true;
    return !w->options.progress || w->options.progress(w->options.progress_context, &mine);
}

/* Read what stands on the disk, not what the page cache still has of it, and check all of it. */
static int read_back(struct image_writer *w, struct pal_error *e)
{
    struct image_reader_options options = {w->options.workers, read_back_progress, w};
    struct image_reader *r;
    int rc = -1;

    posix_fadvise(w->out.fd, 0, 0, POSIX_FADV_DONTNEED);
    if (lseek(w->out.fd, 0, SEEK_SET) < 0)
        return pal_fail(e, PAL_SAVE_WRITE, "reading %s back: %s", w->out.path, strerror(errno));
    r = image_reader_stream(w->out.fd, w->out.path, e);
    if (r)
        rc = image_reader_pages(r, NULL, &options, e);
    if (rc == 0 && image_reader_header(r)->id != w->header.id)
        rc = pal_fail(e, PAL_SAVE_WRITE, "%s is not what was written", w->out.path);
    image_reader_free(r);
    return rc;
}

int image_writer_commit(struct image_writer *w, struct pal_error *e)
{
    if (w->published || w->pages_done != w->domain.pages)
        return refuse(w, "a commit before all pages, or a second one", e);
    if (write_end(w, e) || output_sync(&w->out, e))
        return -1;
    if (w->out.path && w->options.read_back && read_back(w, e))
        return -1;
    w->published = true;
    return output_publish(&w->out, e);
}

void image_writer_totals(const struct image_writer *w, struct image_end *totals)
{
    *totals = w->end;
    if (!totals->length)
        totals->length = w->out.offset;
}

uint64_t image_writer_id(const struct image_writer *w)
{
    return w->header.id;
}

void image_writer_free(struct image_writer *w)
{
    if (!w)
        return;
    output_close(&w->out);
    free(w->bitmap);
    free(w->index);
    free(w);
}
