/* SPDX-License-Identifier: MIT */
/*
 * A damaged image: each byte changed in turn, the end missing at every length, records left out, moved,
 * exchanged with those of another image, and lies that carry right checksums. Every one is refused, says
 * where, and leaves nothing.
 */
#include "world.h"

#include <sys/mman.h>
#include <unistd.h>

#include "image/chain.h"

static uint8_t *image;
static size_t size;
static int memory; /* a file that no disk knows */

/* Read all of it, as a restore does, and then by its index. */
static enum pal_code judge(const uint8_t *data, size_t length, struct pal_error *e)
{
    struct image_reader_options options = {.workers = 1};
    struct image_reader *r;
    struct world *w;
    int rc = -1;

    assert_int_equal(ftruncate(memory, 0), 0);
    assert_int_equal(pwrite(memory, data, length, 0), length);
    memset(e, 0, sizeof(*e));
    r = image_reader_stream(memory, "damaged", e);
    if (r) {
        struct image_sink sink;

        w = world_empty(r, 4);
        sink = world_sink(w);
        rc = image_reader_pages(r, &sink, &options, e);
        world_free(w);
    }
    image_reader_free(r);
    assert_int_equal(rc == 0, e->code == PAL_OK);
    return e->code;
}

static void refused(const uint8_t *data, size_t length, const char *said)
{
    struct pal_error e;
    enum pal_code code = judge(data, length, &e);

    if (code != PAL_SAVE_DAMAGED && code != PAL_SAVE_VERSION)
        fail_msg("code %d: %s", code, e.why);
    if (said && !strstr(e.why, said))
        fail_msg("'%s' instead of '%s'", e.why, said);
    assert_non_null(strstr(e.why, "byte"));
}

static int set_up(void **state)
{
    struct image_writer_options options = {.workers = 1};
    struct world *w = world_new(300, 3);

    (void)state;
    memory = memfd_create("damaged", MFD_CLOEXEC);
    assert_true(memory >= 0);
    /* Little content, so that every byte can have its turn. */
    w->small = true;
    for (uint32_t gfn = 11; gfn < 14; gfn++)
        memset(w->memory + gfn * WORLD_PAGE + 256, 0, WORLD_PAGE - 256);
    for (uint32_t gfn = 16; gfn < w->frames; gfn++)
        if (gfn % 50)
            memset(w->memory + gfn * WORLD_PAGE, gfn % 7 ? 0 : 0xcc, WORLD_PAGE);
    world_save(w, scratch("sound"), &options);
    image = read_file(scratch("sound"), &size);
    world_free(w);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(image);
    return 0;
}

static void test_sound(void **state)
{
    struct pal_error e;

    (void)state;
    assert_int_equal(judge(image, size, &e), PAL_OK);
    print_message("%zu bytes\n", size);
}

static void test_each_byte(void **state)
{
    uint8_t *copy = malloc(size);

    (void)state;
    memcpy(copy, image, size);
    for (size_t i = 0; i < size; i++) {
        copy[i] = (uint8_t)(image[i] ^ (1u << i % 8 | (i % 3 ? 0 : 0x80u)));
        refused(copy, size, NULL);
        copy[i] = image[i];
    }
    free(copy);
}

static void test_each_length(void **state)
{
    uint8_t *longer = malloc(size + 1);

    (void)state;
    for (size_t length = 0; length < size; length++)
        refused(image, length, length < 64 ? "header" : "ends in");
    memcpy(longer, image, size);
    longer[size] = 0;
    refused(longer, size + 1, "follows the end");
    free(longer);
}

/* ---- records ---- */

struct records {
    size_t at[32], length[32];
    unsigned count;
};

static struct records split(const uint8_t *data, size_t length)
{
    struct records r = {.count = 0};

    for (size_t at = sizeof(struct image_header); at < length;) {
        struct image_record head;

        memcpy(&head, data + at, sizeof(head));
        r.at[r.count] = at;
        r.length[r.count] = sizeof(head) + head.body_length + head.data_length;
        at += r.length[r.count++];
    }
    return r;
}

/* An image of the records in this order; numbers and checksums are put right if so wanted. */
static uint8_t *compose(const uint8_t *from, const struct records *r, const unsigned *order,
                        unsigned count, bool renumber, size_t *length)
{
    uint8_t *data = malloc(4 * size);
    struct image_header *h = (struct image_header *)data;

    memcpy(data, from, sizeof(struct image_header));
    *length = sizeof(struct image_header);
    for (unsigned i = 0; i < count; i++) {
        struct image_record head;

        memcpy(&head, from + r->at[order[i]], sizeof(head));
        if (renumber) {
            head.number = i;
            head.above_checksum = record_above(h->id, &head);
        }
        memcpy(data + *length, &head, sizeof(head));
        memcpy(data + *length + sizeof(head), from + r->at[order[i]] + sizeof(head),
               r->length[order[i]] - sizeof(head));
        *length += r->length[order[i]];
    }
    return data;
}

/* Records left out, doubled, exchanged: with and without right numbers. */
static void test_order(void **state)
{
    struct records r = split(image, size);
    unsigned order[40], n;
    size_t length;
    uint8_t *data;

    (void)state;
    assert_true(r.count >= 8); /* description, domain, 2 states, memory, chunk(s), index, end */
    for (unsigned renumber = 0; renumber < 2; renumber++)
        for (unsigned what = 0; what < 3; what++)
            for (unsigned i = 0; i < r.count; i++) {
                n = 0;
                for (unsigned k = 0; k < r.count; k++) {
                    if (what == 0 && k == i)
                        continue;
                    order[n++] = k;
                    if (what == 1 && k == i)
                        order[n++] = k;
                }
                if (what == 2) {
                    order[i] = (i + 1) % r.count;
                    order[(i + 1) % r.count] = i;
                }
                data = compose(image, &r, order, n, renumber, &length);
                /* two states exchanged: nothing but their numbers says so at once */
                refused(data, length, what == 2 && i == 2 && !renumber ? "should be here" : NULL);
                free(data);
            }
}

/* A record of another image, with the right number, in place of ours. */
static void test_other_image(void **state)
{
    struct image_writer_options options = {.workers = 1};
    struct world *w = world_new(300, 3);
    struct records mine = split(image, size), theirs;
    uint8_t *other, *data;
    size_t other_size;

    (void)state;
    w->small = true;
    world_save(w, scratch("other"), &options);
    other = read_file(scratch("other"), &other_size);
    theirs = split(other, other_size);
    assert_int_equal(mine.count, theirs.count);
    for (unsigned i = 0; i < 4; i++) { /* of these the lengths are the same */
        assert_int_equal(mine.length[i], theirs.length[i]);
        data = malloc(size);
        memcpy(data, image, size);
        memcpy(data + mine.at[i], other + theirs.at[i], mine.length[i]);
        refused(data, size, "checksum");
        free(data);
    }
    free(other);
    world_free(w);
}

/* ---- lies with right checksums ---- */

/* Put record i's checksums right; not those of what comes after it. */
static void reseal(uint8_t *data, const struct records *r, unsigned i)
{
    const struct image_header *h = (const struct image_header *)data;
    struct image_record head;
    const uint8_t *body = data + r->at[i] + sizeof(head);

    memcpy(&head, data + r->at[i], sizeof(head));
    head.body_checksum = checksum_of(h->id, body, head.body_length);
    head.data_checksum = checksum_of(h->id, body + head.body_length, head.data_length);
    head.above_checksum = record_above(h->id, &head);
    memcpy(data + r->at[i], &head, sizeof(head));
}

static unsigned find(const struct records *r, enum image_record_type type)
{
    for (unsigned i = 0; i < r->count; i++) {
        struct image_record head;

        memcpy(&head, image + r->at[i], sizeof(head));
        if (head.type == type)
            return i;
    }
    fail();
    return 0;
}

/* Change `count` bytes at an offset of the record's body. */
static void lie(enum image_record_type type, size_t offset, const void *value, size_t count,
                const char *said)
{
    struct records r = split(image, size);
    uint8_t *data = malloc(size);
    unsigned i = find(&r, type);

    memcpy(data, image, size);
    memcpy(data + r.at[i] + sizeof(struct image_record) + offset, value, count);
    reseal(data, &r, i);
    refused(data, size, said);
    free(data);
}

#define LIE(type, structure, field, number, said)                                                  \
    do {                                                                                           \
        __typeof__(((structure *)0)->field) value = (__typeof__(value))(number);                   \
        lie((type), offsetof(structure, field), &value, sizeof(value), (said));                    \
    } while (0)

static void test_lies(void **state)
{
    (void)state;
    lie(IMAGE_DESCRIPTION, 3, "", 1, "zero byte");
    LIE(IMAGE_DOMAIN, struct image_domain, vcpus, 0, "vCPUs");
    LIE(IMAGE_DOMAIN, struct image_domain, vcpus, IMAGE_VCPUS_MAX + 1, "vCPUs");
    LIE(IMAGE_DOMAIN, struct image_domain, vcpus, UINT32_MAX, "vCPUs");
    LIE(IMAGE_DOMAIN, struct image_domain, flags, 1, "flags");
    LIE(IMAGE_DOMAIN, struct image_domain, frames, 0, "frame list");
    LIE(IMAGE_DOMAIN, struct image_domain, frames, IMAGE_FRAMES_MAX + 1ull, "frame list");
    LIE(IMAGE_DOMAIN, struct image_domain, frames, UINT64_MAX, "frame list");
    LIE(IMAGE_DOMAIN, struct image_domain, frames, IMAGE_FRAMES_MAX, "a body of");
    LIE(IMAGE_DOMAIN, struct image_domain, frames, 299, "does not fit");
    LIE(IMAGE_DOMAIN, struct image_domain, pages, 1, "does not fit");
    LIE(IMAGE_DOMAIN, struct image_domain, pages, UINT64_MAX, "does not fit");
    LIE(IMAGE_DOMAIN, struct image_domain, start_info, 300, "start info");
    LIE(IMAGE_DOMAIN, struct image_domain, start_info, UINT64_MAX, "start info");
    LIE(IMAGE_DOMAIN, struct image_domain, store, 1ull << 40, "store");
    LIE(IMAGE_DOMAIN, struct image_domain, console, 300, "console");
    LIE(IMAGE_DOMAIN, struct image_domain, zero[10], 1, "reserved");
    LIE(IMAGE_STATE, struct image_state, kind, 0, "unknown kind");
    LIE(IMAGE_STATE, struct image_state, kind, IMAGE_STATE_XSAVE + 100, "unknown kind");
    LIE(IMAGE_STATE, struct image_state, kind, IMAGE_STATE_CONTEXT, "length");
    LIE(IMAGE_STATE, struct image_state, kind, IMAGE_STATE_EXTRA, "does not have");
    LIE(IMAGE_STATE, struct image_state, vcpu, 2, "does not have");
    LIE(IMAGE_STATE, struct image_state, vcpu, IMAGE_NO_VCPU, "does not have");
    lie(IMAGE_MEMORY, 0, "\0", 1, "does not fit");
    lie(IMAGE_MEMORY, 37, "\xff", 1, "does not fit");
    LIE(IMAGE_CHUNK, struct image_chunk, codec, 7, "codec");
    LIE(IMAGE_CHUNK, struct image_chunk, codec, IMAGE_STORED, "bytes of data");
    LIE(IMAGE_CHUNK, struct image_chunk, codec, IMAGE_ZLIB, "does not unpack");
    LIE(IMAGE_CHUNK, struct image_chunk, runs, UINT32_MAX, "number of runs");
    LIE(IMAGE_INDEX, struct image_index_entry, offset, 64, "does not name");
    LIE(IMAGE_INDEX, struct image_index_entry, gfn, 1, "does not name");
    LIE(IMAGE_INDEX, struct image_index_entry, pages, 1, "does not name");
    LIE(IMAGE_END, struct image_end, length, 64, "length");
    LIE(IMAGE_END, struct image_end, index_offset, 64, "index");
    LIE(IMAGE_END, struct image_end, chunks, 0, "chunks");
    LIE(IMAGE_END, struct image_end, data_pages, 0, "pages");
    LIE(IMAGE_END, struct image_end, zero_pages, 0, "pages");
    LIE(IMAGE_END, struct image_end, repeat_pages, 9, "pages");
    LIE(IMAGE_END, struct image_end, packed_bytes, 9, "chunks");
    LIE(IMAGE_END, struct image_end, records_checksum, 9, "all records");
}

/* Lengths in the record's header, with a right checksum of it. */
static void test_lying_lengths(void **state)
{
    static const uint32_t lengths[] = {0, 1, 7, 8, 65545, 1u << 20, (1u << 20) + 1, UINT32_MAX};
    struct records r = split(image, size);

    (void)state;
    for (unsigned i = 0; i < r.count; i++)
        for (unsigned field = 0; field < 2; field++)
            for (unsigned n = 0; n < sizeof(lengths) / sizeof(lengths[0]); n++) {
                uint8_t *data = malloc(size);
                struct image_record head;

                memcpy(data, image, size);
                memcpy(&head, data + r.at[i], sizeof(head));
                if ((field ? head.data_length : head.body_length) == lengths[n]) {
                    free(data);
                    continue;
                }
                if (field)
                    head.data_length = lengths[n];
                else
                    head.body_length = lengths[n];
                head.above_checksum = record_above(((struct image_header *)data)->id, &head);
                memcpy(data + r.at[i], &head, sizeof(head));
                refused(data, size, NULL);
                free(data);
            }
}

static void test_no_data(void **state)
{
    struct records r = split(image, size);
    uint8_t *data = malloc(size);
    struct image_record head;

    (void)state;
    memcpy(data, image, size);
    memcpy(&head, data + r.at[0], sizeof(head));
    head.data_checksum ^= 1;
    head.above_checksum = record_above(((struct image_header *)data)->id, &head);
    memcpy(data + r.at[0], &head, sizeof(head));
    refused(data, size, "checksum of no data");
    free(data);
}

/* A version to come, a file that is something else. */
static void test_header(void **state)
{
    uint8_t *data = malloc(size);
    struct image_header *h = (struct image_header *)data;
    struct pal_error e;

    (void)state;
    memcpy(data, image, size);
    h->version = 2;
    h->checksum = checksum_of(0, h, offsetof(struct image_header, checksum));
    assert_int_equal(judge(data, size, &e), PAL_SAVE_VERSION);
    assert_non_null(strstr(e.why, "version 2"));
    memcpy(data, image, size);
    h->zero[23] = 1;
    h->checksum = checksum_of(0, h, offsetof(struct image_header, checksum));
    assert_int_equal(judge(data, size, &e), PAL_SAVE_DAMAGED);
    memset(data, 'x', size);
    assert_int_equal(judge(data, size, &e), PAL_SAVE_DAMAGED);
    assert_non_null(strstr(e.why, "not an image"));
    free(data);
    memset(&e, 0, sizeof(e));
    assert_null(image_reader_open("/nonexistent/image", &e));
    assert_int_equal(e.code, PAL_SAVE_UNREADABLE);
    memset(&e, 0, sizeof(e));
    assert_null(image_reader_open("/", &e));
    assert_int_equal(e.code, PAL_SAVE_UNREADABLE);
}

/* What random access believes of a changed byte: nothing false, ever. */
static void test_access(void **state)
{
    uint8_t *copy = malloc(size), sound[WORLD_PAGE], page[WORLD_PAGE], type;
    const char *path = scratch("access"), *good = scratch("sound");
    struct pal_error e = {0};
    struct image_reader *a = image_reader_open(good, &e);
    uint64_t random = 5;
    unsigned found = 0;

    (void)state;
    assert_int_equal(image_reader_seek_index(a, &e), 0);
    memcpy(copy, image, size);
    for (unsigned i = 0; i < 400; i++) {
        size_t at = next_random(&random) % size;
        struct image_reader *r;

        copy[at] ^= 4;
        write_file(path, copy, size);
        copy[at] ^= 4;
        memset(&e, 0, sizeof(e));
        r = image_reader_open(path, &e);
        if (r && image_reader_seek_index(r, &e) == 0)
            for (uint32_t gfn = 0; gfn < 300 && e.code == PAL_OK; gfn += 3) {
                struct pal_error none = {0};

                if (image_reader_page(r, gfn, &type, page, &e) == 0) {
                    assert_int_equal(image_reader_page(a, gfn, &type, sound, &none), 0);
                    assert_memory_equal(page, sound, WORLD_PAGE);
                }
            }
        found += e.code != PAL_OK;
        image_reader_free(r);
    }
    assert_int_equal(found, 400);
    image_reader_free(a);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),         cmocka_unit_test(test_each_byte),
        cmocka_unit_test(test_each_length),   cmocka_unit_test(test_order),
        cmocka_unit_test(test_other_image),   cmocka_unit_test(test_lies),
        cmocka_unit_test(test_lying_lengths), cmocka_unit_test(test_no_data),
        cmocka_unit_test(test_header),        cmocka_unit_test(test_access),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
