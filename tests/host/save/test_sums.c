/* SPDX-License-Identifier: MIT */
/* Checksums, hashes, codecs: against published values, plain definitions, and what must fail. */
#include "test.h"

#include "image/checksum.h"
#include "image/chunk.h"
#include "image/codec.h"
#include "image/limits.h"
#include "image/repeat.h"

/* Of XXH64's specification and its other implementations. */
static void test_checksum_values(void **state)
{
    static const struct {
        const char *text;
        uint64_t seed, value;
    } known[] = {
        {"", 0, 0xef46db3751d8e999ull},
        {"a", 0, 0xd24ec4f1a98c6e5bull},
        {"abc", 0, 0x44bc2cf5ad770999ull},
        {"Nobody inspects the spammish repetition", 0, 0xfbcea83c8a378bf1ull},
        {"", 1, 0xd5afba1336a3be4bull},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_int_equal(checksum_of(known[i].seed, known[i].text, strlen(known[i].text)),
                         known[i].value);
}

static void test_checksum_pieces(void **state)
{
    uint8_t data[1000];
    struct checksum c;

    (void)state;
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * i);
    for (size_t size = 0; size < sizeof(data); size++) {
        size_t first = size / 2 / 32 * 32;

        checksum_begin(&c, 7);
        checksum_add(&c, data, first);
        assert_int_equal(checksum_end(&c, data + first, size - first), checksum_of(7, data, size));
    }
}

static void test_checksum_sees_each_bit(void **state)
{
    uint8_t data[300];
    uint64_t whole;

    (void)state;
    memset(data, 0x11, sizeof(data));
    whole = checksum_of(3, data, sizeof(data));
    for (unsigned bit = 0; bit < 8 * sizeof(data); bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(checksum_of(3, data, sizeof(data)) != whole);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void test_zero(void **state)
{
    static uint64_t page[512];

    (void)state;
    assert_true(page_is_zero(page));
    for (unsigned i = 0; i < 512; i++) {
        page[i] = 1ull << i % 64;
        assert_false(page_is_zero(page));
        page[i] = 0;
    }
}

/* Pages that differ in one bit, or by two words exchanged, are told apart; equal ones are found. */
static void test_repeats(void **state)
{
    struct repeats *r = repeats_new(5000);
    uint64_t page[512] = {0};

    (void)state;
    assert_non_null(r);
    for (unsigned i = 0; i < 4096; i++) {
        page[i % 512] ^= 1ull << i / 64;
        assert_int_equal(repeats_find(r, repeats_hash(r, page), 100 + i), UINT32_MAX);
        assert_int_equal(repeats_find(r, repeats_hash(r, page), 5000 + i), 100 + i);
        page[i % 512] ^= 1ull << i / 64;
    }
    page[0] = 1;
    page[2] = 2;
    assert_int_equal(repeats_find(r, repeats_hash(r, page), 1), UINT32_MAX);
    page[0] = 2;
    page[2] = 1;
    assert_int_equal(repeats_find(r, repeats_hash(r, page), 2), UINT32_MAX);
    repeats_free(r);
}

/* A source must lie below; who comes later with a lower frame takes its place. */
static void test_repeats_order(void **state)
{
    struct repeats *r = repeats_new(100);
    struct page_hash h = {1, 2};

    (void)state;
    assert_int_equal(repeats_find(r, h, 50), UINT32_MAX);
    assert_int_equal(repeats_find(r, h, 40), UINT32_MAX);
    assert_int_equal(repeats_find(r, h, 45), 40);
    for (uint32_t i = 0; i < 100000; i++) /* bounded: the oldest go */
        repeats_find(r, (struct page_hash){i * 64, 7}, 60 + i);
    assert_int_equal(repeats_find(r, (struct page_hash){99999 * 64, 7}, 200000), 60 + 99999);
    repeats_free(r);
}

/* Who is like nobody needs no hash; who is like somebody is told so, and once that the first one was not hashed. */
static void test_suspects(void **state)
{
    struct repeats *r = repeats_new(1 << 18);
    uint64_t page[512] = {0};
    uint32_t first, sample, changed = 0;

    (void)state;
    for (uint32_t i = 1; i < 3000; i++) {
        page[0] = i;
        assert_false(repeats_suspect(r, repeats_sample(page), i, &first));
        assert_int_equal(first, UINT32_MAX);
    }
    for (uint32_t i = 1; i < 3000; i++) {
        page[0] = i;
        assert_true(repeats_suspect(r, repeats_sample(page), 3000 + i, &first));
        assert_int_equal(first, i);
        assert_true(repeats_suspect(r, repeats_sample(page), 6000 + i, &first));
        assert_int_equal(first, UINT32_MAX);
    }
    sample = repeats_sample(page);
    for (unsigned i = 0; i < 512; i++) {
        page[i] ^= 1ull << i % 64;
        changed += repeats_sample(page) != sample;
        page[i] ^= 1ull << i % 64;
    }
    assert_int_equal(changed, 32);         /* words of 512 */
    for (uint32_t i = 0; i < 1000000; i++) /* bounded: the oldest go */
        repeats_suspect(r, i * 64, i, &first);
    assert_true(repeats_suspect(r, 999999 * 64, 1, &first));
    repeats_free(r);
}

static void test_codecs(void **state)
{
    static uint8_t in[64 * 4096], packed[64 * 4096], out[64 * 4096 + 1];
    struct codec *c = codec_new();
    enum image_codec codec;

    (void)state;
    for (unsigned round = 0; round < 3; round++)
        for (enum effort e = EFFORT_LZ4; e < EFFORTS; e++) {
            size_t size;

            for (size_t i = 0; i < sizeof(in); i++)
                in[i] = (uint8_t)(i % 100 < 50 ? i * i >> 7 : i / 4096 + round);
            size = codec_pack(c, e, in, sizeof(in), packed, &codec);
            assert_true(size > 0 && size < sizeof(in));
            assert_true(codec_unpack(c, codec, packed, size, out, sizeof(in)));
            assert_memory_equal(in, out, sizeof(in));
            assert_false(codec_unpack(c, codec, packed, size - 1, out, sizeof(in)));
            assert_false(codec_unpack(c, codec, packed, size, out, sizeof(in) - 1));
            assert_false(codec_unpack(c, codec, packed, size, out, sizeof(in) + 1));
        }
    codec_free(c);
}

static void test_random_is_stored(void **state)
{
    static uint8_t in[16 * 4096], out[16 * 4096];
    struct codec *c = codec_new();
    enum image_codec codec;
    uint64_t x = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        in[i] = (uint8_t)(x >> 56);
    }
    for (enum effort e = EFFORT_STORED; e < EFFORTS; e++)
        assert_int_equal(codec_pack(c, e, in, sizeof(in), out, &codec), 0);
    codec_free(c);
}

static void test_bitmaps(void **state)
{
    uint8_t map[4] = {0x81, 0, 0, 0x40};

    (void)state;
    assert_int_equal(bitmap_count(map, 32), 3);
    assert_int_equal(bitmap_next(map, 32, 0), 0);
    assert_int_equal(bitmap_next(map, 32, 1), 7);
    assert_int_equal(bitmap_next(map, 32, 8), 30);
    assert_int_equal(bitmap_next(map, 32, 31), 32);
    assert_int_equal(bitmap_next(map, 30, 8), 30);
}

/* ---- the bodies of chunks: one sound one, then each way to be wrong ---- */

#define FRAMES 100u

struct body {
    struct image_chunk head;
    struct image_run runs[4];
};

/* Frames 10..19, 30 and 40..42 are populated. */
static const struct body sound = {{IMAGE_STORED, 4},
                                  {{10, 4, 0, IMAGE_DATA, IMAGE_NORMAL, 0},
                                   {14, 6, 0, IMAGE_ZERO, IMAGE_L1, 0},
                                   {30, 1, 11, IMAGE_REPEAT, IMAGE_NORMAL, 0},
                                   {40, 3, 0, IMAGE_DATA, IMAGE_L4 | IMAGE_PINNED, 0}}};

static const char *judge(const struct body *body, size_t length, size_t data, bool in_order)
{
    static char why[160];
    static struct chunk chunk;
    uint8_t bitmap[13] = {0}, plain[13] = {0};
    struct image_domain d = {.frames = FRAMES, .pages = 14};
    struct chunk_walk walk = {&d, bitmap, in_order ? plain : NULL, 10, {0}, {0}, {0}};

    for (unsigned i = 10; i < 43; i++)
        if (i < 20 || i == 30 || i >= 40)
            bitmap_set(bitmap, i);
    strcpy(why, "nothing");
    return chunk_check(&walk, body, length, data, &chunk, why, sizeof(why)) ? NULL : why;
}

static void wrong(struct body body, size_t data, const char *said)
{
    const char *why =
        judge(&body, sizeof(body.head) + body.head.runs % 5 * sizeof(body.runs[0]), data, true);

    assert_non_null(why);
    if (!strstr(why, said))
        fail_msg("'%s' instead of '%s'", why, said);
}

#define WRONG(field, value, said)                                                                  \
    do {                                                                                           \
        struct body b = sound;                                                                     \
        b.field = (value);                                                                         \
        wrong(b, 7 * 4096, (said));                                                                \
    } while (0)

static void test_chunk_bodies(void **state)
{
    (void)state;
    assert_null(judge(&sound, sizeof(sound), 7 * 4096, true));
    assert_null(judge(&sound, sizeof(sound), 7 * 4096, false));
    assert_non_null(judge(&sound, sizeof(sound) - 1, 7 * 4096, true));
    assert_non_null(judge(&sound, 4, 7 * 4096, true));
    wrong(sound, 6 * 4096, "bytes of data");
    WRONG(head.codec, 3, "codec");
    WRONG(head.codec, IMAGE_LZ4, "bytes of data");
    WRONG(head.runs, 0, "number of runs");
    WRONG(head.runs, 3, "not the last chunk");
    WRONG(runs[0].gfn, 9, "twice or is not populated");
    WRONG(runs[0].gfn, 11, "left out");
    WRONG(runs[0].gfn, 4000, "beyond");
    WRONG(runs[0].count, 0, "a run of 0");
    WRONG(runs[0].count, 257, "a run of 257");
    WRONG(runs[0].count, UINT32_MAX, "a run of");
    WRONG(runs[0].count, 5, "twice");
    WRONG(runs[1].gfn, 10, "twice");
    WRONG(runs[3].count, 4, "not populated");
    WRONG(runs[0].kind, 0, "kind");
    WRONG(runs[0].kind, 4, "kind");
    WRONG(runs[0].type, 6, "type");
    WRONG(runs[0].type, 0x10, "type");
    WRONG(runs[0].type, 0x15, "type");
    WRONG(runs[0].type, 0x21, "type");
    WRONG(runs[0].zero, 1, "reserved");
    WRONG(runs[0].source, 1, "reserved");
    WRONG(runs[2].source, 30, "does not come before");
    WRONG(runs[2].source, UINT32_MAX, "does not come before");
    WRONG(runs[2].source, 14, "no plain content"); /* zero */
    WRONG(runs[2].source, 20, "no plain content"); /* a hole */
    WRONG(runs[2].type, IMAGE_L1, "repeats another");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum_values),
        cmocka_unit_test(test_checksum_pieces),
        cmocka_unit_test(test_checksum_sees_each_bit),
        cmocka_unit_test(test_zero),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_repeats_order),
        cmocka_unit_test(test_suspects),
        cmocka_unit_test(test_codecs),
        cmocka_unit_test(test_random_is_stored),
        cmocka_unit_test(test_bitmaps),
        cmocka_unit_test(test_chunk_bodies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
