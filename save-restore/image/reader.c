/* SPDX-License-Identifier: MIT */
/* The reader: everything but the pages. Nothing is believed: see FORMAT.md, "What a reader checks". */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/limits.h"
#include "image/reader_state.h"

static const char *const type_names[] = {"header", "description", "domain", "state",
                                         "memory", "pages",       "index",  "end"};

static int say(const struct image_reader *r, const struct image_record *record, uint64_t at,
               struct pal_error *e, const char *format, va_list args)
{
    char text[300];

    vsnprintf(text, sizeof(text), format, args);
    if (at == 0)
        return pal_fail(e, PAL_SAVE_DAMAGED, "%s, header at byte 0: %s", r->in.name, text);
    return pal_fail(e, PAL_SAVE_DAMAGED, "%s, record %u (%s) at byte %llu: %s", r->in.name,
                    record->number,
                    record->type <= IMAGE_END ? type_names[record->type] : "unknown",
                    (unsigned long long)at, text);
}

int record_bad(const struct image_reader *r, const struct image_record *record, uint64_t at,
               struct pal_error *e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(r, record, at, e, format, args);
    va_end(args);
    return -1;
}

int reader_bad(const struct image_reader *r, struct pal_error *e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(r, &r->record, r->at, e, format, args);
    va_end(args);
    return -1;
}

int reader_bytes(struct image_reader *r, void *to, size_t size, struct pal_error *e)
{
    ssize_t got = input_read(&r->in, to, size);

    if (got == (ssize_t)size)
        return 0;
    if (got < 0 && errno == ECANCELED)
        return pal_fail(e, PAL_SAVE_STOPPED, "stopped at byte %llu of %s",
                        (unsigned long long)r->in.offset, r->in.name);
    if (got < 0)
        return pal_fail(e, PAL_SAVE_UNREADABLE, "%s, at byte %llu: %s", r->in.name,
                        (unsigned long long)r->in.offset, strerror(errno));
    return reader_bad(r, e, "the image ends in it, at byte %llu", (unsigned long long)r->in.offset);
}

/* ---- records ---- */

/* How long bodies may be. */
static bool length_is_right(const struct image_reader *r, const struct image_record *record)
{
    uint32_t length = record->body_length;

    switch (record->type) {
    case IMAGE_DESCRIPTION:
        return length >= 1 && length <= IMAGE_DESCRIPTION_MAX;
    case IMAGE_DOMAIN:
        return length == sizeof(struct image_domain);
    case IMAGE_STATE:
        return length > sizeof(struct image_state) && length <= sizeof(struct image_state) + 65536;
    case IMAGE_MEMORY:
        return length == (r->domain.frames + 7) / 8;
    case IMAGE_CHUNK:
        return length <= CHUNK_BODY_MAX;
    case IMAGE_INDEX:
        return length == chunks_of(&r->domain) * sizeof(struct image_index_entry);
    case IMAGE_END:
        return length == sizeof(struct image_end);
    default:
        return false;
    }
}

int record_check(const struct image_reader *r, const struct image_record *record, uint64_t at,
                 uint32_t number, struct pal_error *e)
{
    if (record_above(r->header.id, record) != record->above_checksum) {
        struct image_record shown = {.type = IMAGE_END + 1, .number = number};

        return record_bad(r, &shown, at, e, "the checksum of the record's header is wrong");
    }
    if (record->type < IMAGE_DESCRIPTION || record->type > IMAGE_END)
        return record_bad(r, record, at, e, "unknown type %u", record->type);
    if (record->number != number)
        return record_bad(r, record, at, e, "record %u should be here", number);
    if (!length_is_right(r, record))
        return record_bad(r, record, at, e, "a body of %u bytes cannot be", record->body_length);
    if (record->data_length >
        (record->type == IMAGE_CHUNK ? IMAGE_CHUNK_PAGES * IMAGE_PAGE_SIZE : 0))
        return record_bad(r, record, at, e, "%u bytes of data cannot be", record->data_length);
    if (record->type != IMAGE_CHUNK && record->data_checksum != checksum_of(r->header.id, NULL, 0))
        return record_bad(r, record, at, e, "a checksum of no data is wrong");
    return 0;
}

int reader_next(struct image_reader *r, struct pal_error *e)
{
    r->at = r->in.offset;
    r->record = (struct image_record){.type = IMAGE_END + 1, .number = r->records};
    if (reader_bytes(r, &r->record, sizeof(r->record), e) ||
        record_check(r, &r->record, r->at, r->records, e))
        return -1;
    r->records++;
    if (r->record.type != IMAGE_END)
        chain_add(&r->chain, &r->record);
    return 0;
}

/* The body, with a zero byte behind it. */
void *reader_body(struct image_reader *r, struct pal_error *e)
{
    char *body = malloc((size_t)r->record.body_length + 1);

    if (!body) {
        pal_fail(e, PAL_MEM_HOST, "no memory for a record of %u bytes", r->record.body_length);
        return NULL;
    }
    body[r->record.body_length] = 0;
    if (reader_bytes(r, body, r->record.body_length, e))
        goto failed;
    if (checksum_of(r->header.id, body, r->record.body_length) == r->record.body_checksum)
        return body;
    reader_bad(r, e, "the checksum of its body is wrong");
failed:
    free(body);
    return NULL;
}

/* The next record must be of this type; its body, or NULL. */
static void *expect(struct image_reader *r, enum image_record_type type, struct pal_error *e)
{
    if (reader_next(r, e))
        return NULL;
    if (r->record.type != type) {
        reader_bad(r, e, "here should be: %s", type_names[type]);
        return NULL;
    }
    return reader_body(r, e);
}

/* ---- the front ---- */

static int read_header(struct image_reader *r, struct pal_error *e)
{
    const struct image_header *h = &r->header;

    if (reader_bytes(r, &r->header, sizeof(r->header), e))
        return -1;
    if (memcmp(h->magic, IMAGE_MAGIC, sizeof(h->magic)))
        return reader_bad(r, e, "this is not an image of a domain");
    if (checksum_of(0, h, offsetof(struct image_header, checksum)) != h->checksum)
        return reader_bad(r, e, "its checksum is wrong");
    if (h->version != IMAGE_VERSION)
        return pal_fail(e, PAL_SAVE_VERSION, "%s has version %u; known is version %u", r->in.name,
                        h->version, IMAGE_VERSION);
    if (h->page_size != IMAGE_PAGE_SIZE)
        return reader_bad(r, e, "pages of %u bytes cannot be", h->page_size);
    for (unsigned i = 0; i < sizeof(h->zero); i++)
        if (h->zero[i])
            return reader_bad(r, e, "something stands in a reserved field");
    chain_begin(&r->chain, h->id);
    return 0;
}

static int read_description(struct image_reader *r, struct pal_error *e)
{
    r->xml = expect(r, IMAGE_DESCRIPTION, e);
    if (!r->xml)
        return -1;
    r->xml_length = r->record.body_length;
    return strlen(r->xml) == r->xml_length ? 0 : reader_bad(r, e, "a zero byte in the text");
}

static int read_domain(struct image_reader *r, struct pal_error *e)
{
    struct image_domain *d = expect(r, IMAGE_DOMAIN, e);
    const char *trouble;

    if (!d)
        return -1;
    r->domain = *d;
    free(d);
    trouble = domain_trouble(&r->domain);
    return trouble ? reader_bad(r, e, "impossible: %s", trouble) : 0;
}

/* Take over a state; the body is given up. */
static int keep_state(struct image_reader *r, uint8_t *body, struct pal_error *e)
{
    size_t length = r->record.body_length - sizeof(struct image_state);
    struct image_state head;
    struct reader_state *more;
    const char *trouble;
    size_t there;

    memcpy(&head, body, sizeof(head));
    trouble = state_trouble(head.kind, head.vcpu, r->domain.vcpus, length);
    if (!trouble && image_reader_state(r, (enum image_state_kind)head.kind, head.vcpu, &there))
        trouble = "a second state of the same kind";
    if (trouble) {
        free(body);
        return reader_bad(r, e, "kind %u, vCPU %d: %s", head.kind, (int)head.vcpu, trouble);
    }
    more = realloc(r->states, (r->state_count + 1) * sizeof(*more));
    if (!more) {
        free(body);
        return pal_fail(e, PAL_MEM_HOST, "no memory for the image's states");
    }
    r->states = more;
    memmove(body, body + sizeof(head), length);
    r->states[r->state_count++] = (struct reader_state){head, body, length};
    return 0;
}

/* States, and the memory map that ends them. */
static int read_states(struct image_reader *r, struct pal_error *e)
{
    for (;;) {
        void *body;

        if (reader_next(r, e))
            return -1;
        if (r->record.type != IMAGE_STATE && r->record.type != IMAGE_MEMORY)
            return reader_bad(r, e, "here should be: state or memory");
        body = reader_body(r, e);
        if (!body)
            return -1;
        if (r->record.type == IMAGE_MEMORY) {
            r->bitmap = body;
            return 0;
        }
        if (keep_state(r, body, e))
            return -1;
    }
}

static int read_front(struct image_reader *r, struct pal_error *e)
{
    const char *trouble;

    if (read_header(r, e) || read_description(r, e) || read_domain(r, e) || read_states(r, e))
        return -1;
    trouble = bitmap_trouble(&r->domain, r->bitmap);
    if (trouble)
        return reader_bad(r, e, "does not fit the domain: %s", trouble);
    r->first_chunk = r->records;
    return 0;
}

static struct image_reader *begin(const char *path, int fd, const char *name, struct pal_error *e)
{
    struct image_reader *r = calloc(1, sizeof(*r));

    if (!r) {
        pal_fail(e, PAL_MEM_HOST, "no memory for the image's reader");
        return NULL;
    }
    if (input_open(&r->in, path, fd, name))
        pal_fail(e, PAL_SAVE_UNREADABLE, "%s: %s", name, strerror(errno));
    else if (read_front(r, e) == 0)
        return r;
    image_reader_free(r);
    return NULL;
}

struct image_reader *image_reader_open(const char *path, struct pal_error *e)
{
    return begin(path, -1, path, e);
}

struct image_reader *image_reader_stream(int fd, const char *name, struct pal_error *e)
{
    return begin(NULL, fd, name, e);
}

/* ---- the end ---- */

const char *end_trouble(const struct image_end *end, const struct image_end *counted)
{
    if (end->length != counted->length)
        return "length of the image";
    if (end->index_offset != counted->index_offset)
        return "place of the index";
    if (end->chunks != counted->chunks || end->packed_bytes != counted->packed_bytes)
        return "number or size of the chunks";
    if (end->data_pages != counted->data_pages || end->zero_pages != counted->zero_pages ||
        end->repeat_pages != counted->repeat_pages)
        return "number of pages";
    if (end->records_checksum != counted->records_checksum)
        return "checksum of all records";
    return NULL;
}

static int read_index(struct image_reader *r, struct pal_error *e)
{
    struct image_index_entry *index = expect(r, IMAGE_INDEX, e);
    int rc = 0;

    if (!index)
        return -1;
    for (uint64_t i = 0; i < r->indexed && rc == 0; i++)
        if (memcmp(&index[i], &r->index[i], sizeof(*index)))
            rc = reader_bad(r, e, "entry %llu does not name its chunk", (unsigned long long)i);
    free(index);
    return rc;
}

int reader_finish(struct image_reader *r, const struct image_end *counted, struct pal_error *e)
{
    struct image_end sum = *counted;
    struct image_end *end;
    const char *trouble;
    char more;

    sum.index_offset = r->in.offset;
    if (read_index(r, e))
        return -1;
    sum.records_checksum = chain_value(&r->chain);
    end = expect(r, IMAGE_END, e);
    if (!end)
        return -1;
    r->end = *end;
    free(end);
    sum.length = r->in.offset;
    trouble = end_trouble(&r->end, &sum);
    if (trouble)
        return reader_bad(r, e, "a total is wrong: %s", trouble);
    switch (input_read(&r->in, &more, 1)) {
    case 0:
        return 0;
    case 1:
        return reader_bad(r, e, "something follows the end");
    default:
        return pal_fail(e, PAL_SAVE_UNREADABLE, "%s, at its end: %s", r->in.name, strerror(errno));
    }
}

/* ---- what was read ---- */

const struct image_header *image_reader_header(const struct image_reader *r)
{
    return &r->header;
}

const char *image_reader_description(const struct image_reader *r, size_t *length)
{
    if (length)
        *length = r->xml_length;
    return r->xml;
}

const struct image_domain *image_reader_domain(const struct image_reader *r)
{
    return &r->domain;
}

const uint8_t *image_reader_bitmap(const struct image_reader *r)
{
    return r->bitmap;
}

const void *image_reader_state(const struct image_reader *r, enum image_state_kind kind,
                               uint32_t vcpu, size_t *length)
{
    for (unsigned i = 0; i < r->state_count; i++) {
        const struct reader_state *s = &r->states[i];

        if (s->head.kind == kind && s->head.vcpu == vcpu) {
            *length = s->length;
            return s->data;
        }
    }
    return NULL;
}

const struct image_end *image_reader_end(const struct image_reader *r)
{
    return &r->end;
}

void image_reader_free(struct image_reader *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < r->state_count; i++)
        free(r->states[i].data);
    for (unsigned i = 0; r->kept && i < KEPT_CHUNKS; i++)
        free(r->kept[i].content);
    free(r->kept);
    free(r->packed);
    codec_free(r->codec);
    free(r->states);
    free(r->index);
    free(r->bitmap);
    free(r->xml);
    input_close(&r->in);
    free(r);
}
