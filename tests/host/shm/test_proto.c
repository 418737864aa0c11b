/* SPDX-License-Identifier: MIT */
/* The file protocol: what is taken, what is refused. */
#include "test.h"

#include <errno.h>

#include "proto.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct input {
    uint8_t bytes[9000];
    size_t n, at;
};

static ssize_t read_input(void *from, void *to, size_t n)
{
    struct input *in = from;

    n = n < in->n - in->at ? n : in->n - in->at;
    n = n > 3 ? n / 2 : n;
    memcpy(to, in->bytes + in->at, n);
    in->at += n;
    return (ssize_t)n;
}

static void add(struct input *in, const void *bytes, size_t n)
{
    memcpy(in->bytes + in->n, bytes, n);
    in->n += n;
}

static void add_entry(struct input *in, uint16_t kind, const char *path, size_t length)
{
    struct proto_entry e = {
        .magic = PROTO_MAGIC, .kind = kind, .path = (uint16_t)length, .mode = 0100644, .size = 5};

    add(in, &e, sizeof(e));
    add(in, path, strlen(path));
}

static void add_data(struct input *in, uint32_t length, uint64_t hash)
{
    struct proto_tail tail = {.hash = hash};
    uint32_t end = 0;

    add(in, &length, sizeof(length));
    add(in, "hello", 5);
    add(in, &end, sizeof(end));
    add(in, &tail, sizeof(tail));
}

static char seen[64], bytes[64];
static int good_files, bad_files;

static int entry(void *to, const struct proto_entry *e, const char *path)
{
    (void)to;
    assert_int_equal(e->mode, 0644);
    snprintf(seen, sizeof(seen), "%s", path);
    return 0;
}

static int data(void *to, const void *from, size_t n)
{
    (void)to;
    strncat(bytes, from, n);
    return 0;
}

static int done(void *to, bool good, int error)
{
    (void)to, (void)error;
    good_files += good;
    bad_files += !good;
    return 0;
}

static int answer(struct input *in)
{
    struct proto_source source = {read_input, in};
    struct proto_sink sink = {entry, data, done, NULL};

    good_files = bad_files = 0;
    seen[0] = bytes[0] = 0;
    errno = 0;
    return proto_read_answer(&source, &sink, true);
}

static void test_paths(void **state)
{
    static const char *const good[] = {"a", "a/b", "..a", "a..", "a/..b/c", "...", ".a", "a b/\n"};
    static const char *const bad[] = {"/",    "/a",   "a/",     "a//b", ".",   "..",
                                      "../a", "a/..", "a/../b", "./a",  "a/.", "a/./b"};
    static char long_one[PROTO_PATH + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(proto_path_is_good(good[i], strlen(good[i]), false));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(proto_path_is_good(bad[i], strlen(bad[i]), true));
    assert_false(proto_path_is_good("a\0b", 3, true));
    assert_true(proto_path_is_good("", 0, true));
    assert_false(proto_path_is_good("", 0, false));
    memset(long_one, 'a', PROTO_PATH);
    assert_false(proto_path_is_good(long_one, PROTO_PATH, true));
    assert_true(proto_path_is_good(long_one, PROTO_PATH - 1, true));
}

static void test_answer(void **state)
{
    static struct input in;
    uint64_t hash = XXH3_64bits("hello", 5);

    (void)state;
    memset(&in, 0, sizeof(in));
    add_entry(&in, PROTO_FILE, "a/b", 3);
    add_data(&in, 5, hash);
    add_entry(&in, PROTO_END, "", 0);
    assert_int_equal(answer(&in), 0);
    assert_string_equal(seen, "a/b");
    assert_string_equal(bytes, "hello");
    assert_int_equal(good_files, 1);
    /* Another hash; cut off at every byte; a path that leaves; lengths that cannot be. */
    memset(&in, 0, sizeof(in));
    add_entry(&in, PROTO_FILE, "a", 1);
    add_data(&in, 5, hash + 1);
    add_entry(&in, PROTO_END, "", 0);
    assert_int_equal(answer(&in), 0);
    assert_int_equal(bad_files, 1);
    for (size_t all = in.n, cut = 0; cut < all; cut++) {
        in.n = cut;
        in.at = 0;
        assert_int_equal(answer(&in), -1);
        assert_int_equal(errno, EPIPE);
    }
    memset(&in, 0, sizeof(in));
    add_entry(&in, PROTO_FILE, "../a", 4);
    assert_int_equal(answer(&in), -1);
    assert_int_equal(errno, EPROTO);
    assert_string_equal(seen, "");
    memset(&in, 0, sizeof(in));
    add_entry(&in, PROTO_FILE, "", 0);
    assert_int_equal(answer(&in), -1);
    memset(&in, 'a', sizeof(in));
    in.n = in.at = 0;
    add_entry(&in, PROTO_DIRECTORY, "", PROTO_PATH);
    in.n = sizeof(in.bytes);
    assert_int_equal(answer(&in), -1);
    assert_int_equal(errno, EPROTO);
    memset(&in, 0, sizeof(in));
    add_entry(&in, PROTO_FILE, "a", 1);
    add_data(&in, PROTO_CHUNK + 1, hash);
    assert_int_equal(answer(&in), -1);
    assert_int_equal(errno, EPROTO);
    memset(&in, 0, sizeof(in));
    add_entry(&in, PROTO_OTHER + 1, "a", 1);
    assert_int_equal(answer(&in), -1);
    assert_int_equal(errno, EPROTO);
}

static void test_requests(void **state)
{
    static struct input in;
    struct proto_source source = {read_input, &in};
    struct proto_request r = {PROTO_MAGIC, PROTO_GET, 3};
    char path[PROTO_PATH];

    (void)state;
    add(&in, &r, sizeof(r));
    add(&in, "a/b", 3);
    assert_int_equal(proto_read_request(&source, &r, path), 1);
    assert_string_equal(path, "a/b");
    assert_int_equal(proto_read_request(&source, &r, path), 0);
    for (int i = 0; i < 3; i++) {
        struct proto_request wrong = {PROTO_MAGIC + (i == 0), (uint16_t)(i == 1 ? 9 : PROTO_LIST),
                                      2};

        in.n = in.at = 0;
        add(&in, &wrong, sizeof(wrong));
        add(&in, i == 2 ? ".." : "ab", 2);
        assert_int_equal(proto_read_request(&source, &r, path), -1);
        assert_int_equal(errno, EPROTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
