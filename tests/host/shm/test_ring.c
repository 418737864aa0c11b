/* SPDX-License-Identifier: MIT */
/* The ring alone: every small size, wraps, waking, lies; then who gets which window. */
#include "test.h"

#include <errno.h>
#include <sys/mman.h>

#include "ring.h"
#include "window.h"

struct pair {
    struct ring_lines lines;
    uint8_t data[4096];
    struct ring out, in;
};

static void start(struct pair *p, size_t size)
{
    memset(p, 0, sizeof(*p));
    ring_start(&p->out, &p->lines, p->data, size, true);
    ring_start(&p->in, &p->lines, p->data, size, false);
}

static size_t put(struct pair *p, const void *from, size_t n)
{
    ssize_t ready = ring_ready(&p->out);

    assert_true(ready >= 0);
    n = ring_put(&p->out, from, n, (size_t)ready);
    ring_publish(&p->out);
    return n;
}

static size_t take(struct pair *p, void *to, size_t n)
{
    ssize_t ready = ring_ready(&p->in);

    assert_true(ready >= 0);
    n = ring_take(&p->in, to, n, (size_t)ready);
    ring_publish(&p->in);
    return n;
}

/* Every size to 70, every pair of step lengths: what goes in comes out, no more than fits, at counts near the wrap of 32 bits. */
static void test_sizes(void **state)
{
    static struct pair p;
    uint8_t buffer[80];

    (void)state;
    for (size_t size = 1; size <= 70; size++)
        for (size_t in = 1; in <= size + 1; in++)
            for (size_t out = 1; out <= size + 1; out += 3) {
                uint8_t next = 0, want = 0;
                size_t inside = 0;

                start(&p, size);
                p.out.count = p.out.told = p.in.count = p.in.told = UINT32_MAX - 20;
                p.lines.producer.count = p.lines.consumer.count = UINT32_MAX - 20;
                for (int round = 0; round < 40; round++) {
                    size_t n;

                    for (size_t i = 0; i < in; i++)
                        buffer[i] = (uint8_t)(next + i);
                    n = put(&p, buffer, in);
                    assert_int_equal(n, in < size - inside ? in : size - inside);
                    next = (uint8_t)(next + n);
                    inside += n;
                    n = take(&p, buffer, out);
                    assert_int_equal(n, out < inside ? out : inside);
                    inside -= n;
                    for (size_t i = 0; i < n; i++)
                        assert_int_equal(buffer[i], (uint8_t)want++);
                }
            }
}

/* A wake-up is due exactly when the mark is passed, and none when nobody asked. */
static void test_waking(void **state)
{
    static struct pair p;
    uint8_t b[64] = {0};

    (void)state;
    for (size_t size = 2; size <= 64; size += 7)
        for (size_t need = 1; need <= size; need++) {
            start(&p, size);
            assert_false(ring_arm(&p.in, need));
            for (size_t i = 1; i <= size; i++) {
                ring_put(&p.out, b, 1, (size_t)ring_ready(&p.out));
                assert_int_equal(ring_publish(&p.out), i == need);
            }
            assert_false(ring_publish(&p.out)); /* nothing new */
            assert_false(ring_arm(&p.out, need));
            for (size_t i = 1; i <= size; i++) {
                ring_take(&p.in, b, 1, (size_t)ring_ready(&p.in));
                assert_int_equal(ring_publish(&p.in), i == need);
            }
            assert_true(ring_arm(&p.out, need)); /* it is so already */
        }
    start(&p, 64);
    ring_put(&p.out, b, 5, 64);
    assert_false(ring_publish(&p.out));
    assert_true(ring_arm(&p.in, 5));
    assert_false(ring_arm(&p.in, 6));
    ring_end(&p.out);
    assert_true(ring_other_ended(&p.in));
    assert_true(ring_arm(&p.in, 6));
    assert_false(ring_other_ended(&p.out));
}

/* Counts that cannot be are told; a count that goes back within the ring harms nobody. */
static void test_lies(void **state)
{
    static struct pair p;
    uint8_t b[64];
    static const uint64_t lies[] = {1ull << 63, UINT64_MAX - 64, 65, 1000, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        start(&p, 64);
        p.lines.producer.count = lies[i];
        assert_int_equal(ring_ready(&p.in), -EPROTO);
        assert_true(ring_arm(&p.in, 1));
        p.lines.consumer.count = lies[i];
        assert_int_equal(ring_ready(&p.out), -EPROTO);
        assert_true(ring_arm(&p.out, 64));
    }
    start(&p, 64);
    assert_int_equal(put(&p, b, 40), 40);
    assert_int_equal(take(&p, b, 30), 30);
    p.lines.producer.count = 29;
    assert_int_equal(ring_ready(&p.in), -EPROTO);
    p.lines.producer.count = 30;
    assert_int_equal(ring_ready(&p.in), 0);
    p.lines.consumer.count = 41;
    assert_int_equal(ring_ready(&p.out), -EPROTO);
    /* What this side wrote of its own is never read back. */
    p.lines.producer.count = 40;
    p.lines.consumer.count = 7;
    assert_int_equal(ring_ready(&p.in), 10);
}

static void check_windows(const struct windows *w)
{
    uint64_t end = w->offset;

    for (unsigned i = 0; i < w->n; i++) {
        assert_true(w->taken[i].offset >= end);
        assert_true(w->taken[i].length >= WINDOW_MIN);
        assert_int_equal(w->taken[i].offset % WINDOW_PAGE, 0);
        assert_int_equal(w->taken[i].length % WINDOW_PAGE, 0);
        end = w->taken[i].offset + w->taken[i].length;
    }
    assert_true(end <= w->offset + w->length);
}

/* Windows never meet, stay inside, none gets more than half, and all come back. */
static void test_windows(void **state)
{
    static struct windows w;
    uint64_t at;

    (void)state;
    srand(5);
    for (int round = 0; round < 300; round++) {
        memset(&w, 0, sizeof(w));
        w.offset = (uint64_t)(rand() % 9) * WINDOW_PAGE;
        w.length = (uint64_t)(2 + rand() % 3000) * WINDOW_PAGE;
        for (int step = 0; step < 600; step++) {
            if (rand() % 3) {
                uint32_t domain = (uint32_t)rand() % 3;
                uint64_t want = (uint64_t)rand() % (rand() % 4 ? 300000 : w.length * 2);
                uint64_t got = window_take(&w, domain, want, &at), sum = 0;

                for (unsigned i = 0; i < w.n; i++)
                    sum += w.taken[i].domain == domain ? w.taken[i].length : 0;
                assert_true(sum <= w.length / 2 || w.length / 2 < WINDOW_MIN);
                assert_true(got <= (want < WINDOW_MIN ? WINDOW_MIN : want + WINDOW_PAGE));
            } else if (w.n) {
                window_free(&w, w.taken[(unsigned)rand() % w.n].offset);
            }
            check_windows(&w);
        }
        while (w.n)
            window_free(&w, w.taken[0].offset);
        assert_int_equal(window_take(&w, 7, w.length, &at) > 0, 1);
        assert_int_equal(at, w.offset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_waking),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_windows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
