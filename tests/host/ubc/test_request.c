/* SPDX-License-Identifier: MIT */
/* What guests may ask, at its limits and beyond; and the ring's indices. */
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "request.h"
#include "ring.h"

static const struct request_limits limits = {1000 * SECTOR, false}, fixed = {1000 * SECTOR, true};
static struct blkif_request_segment listed[REQUEST_IN_PAGE];
static bool readable = true;

static bool read_page(void *data, uint32_t ref, void *page)
{
    (void)data;
    memcpy(page, listed, REQUEST_PAGE);
    return readable && ref == 77;
}

static int16_t understand(const struct blkif_request *raw, const struct request_limits *l,
                          struct request_what *what)
{
    return request_understand(raw, l, read_page, NULL, what);
}

static struct blkif_request direct(uint8_t operation, uint64_t sector, unsigned segments)
{
    struct blkif_request r = {
        .operation = operation, .nr_segments = (uint8_t)segments, .id = 9, .sector_number = sector};

    for (unsigned i = 0; i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
        r.seg[i] = (struct blkif_request_segment){100 + i, 0, 7};
    return r;
}

static void test_direct(void **state)
{
    struct blkif_request r = direct(BLKIF_OP_READ, 1000 - 88, 11);
    struct request_what w;

    (void)state;
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_OKAY);
    assert_int_equal(w.size, 11 * 4096);
    assert_int_equal(w.start, (1000 - 88) * SECTOR);
    assert_int_equal(w.segment[10].ref, 110);
    r.sector_number++; /* one sector beyond the end */
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_ERROR);
    r.sector_number = UINT64_MAX; /* whose sum would be small again */
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_ERROR);
    r.sector_number = UINT64_MAX / SECTOR + 1;
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_ERROR);
    r = direct(BLKIF_OP_READ, 0, 12);
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_ERROR);
    r = direct(BLKIF_OP_READ, 0, 0);
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_ERROR);
    r = direct(BLKIF_OP_READ, 0, 2);
    r.seg[1] = (struct blkif_request_segment){1, 5, 4};
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_ERROR);
    r.seg[1] = (struct blkif_request_segment){1, 0, 8};
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_ERROR);
    r.seg[1] = (struct blkif_request_segment){1, 7, 7};
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_OKAY);
    assert_int_equal(w.size, 4096 + 512);
    assert_int_equal(w.segment[1].offset, 7 * 512);
}

static void test_rights(void **state)
{
    struct blkif_request r = direct(BLKIF_OP_WRITE, 0, 1);
    struct request_what w;

    (void)state;
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_OKAY);
    assert_int_equal(understand(&r, &fixed, &w), BLKIF_RSP_ERROR);
    r.operation = BLKIF_OP_WRITE_BARRIER;
    r.nr_segments = 0;
    r.sector_number = UINT64_MAX;
    assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_OKAY);
    assert_int_equal(w.kind, REQUEST_BARRIER);
    assert_int_equal(understand(&r, &fixed, &w), BLKIF_RSP_ERROR);
    r.operation = BLKIF_OP_FLUSH_DISKCACHE;
    assert_int_equal(understand(&r, &fixed, &w), BLKIF_RSP_OKAY);
    for (unsigned i = 7; i < 256; i++) {
        r.operation = (uint8_t)i;
        assert_int_equal(understand(&r, &limits, &w), BLKIF_RSP_EOPNOTSUPP);
        assert_int_equal(w.operation, i);
        assert_int_equal(w.id, 9);
    }
}

static void test_indirect(void **state)
{
    struct blkif_request raw = {0};
    struct blkif_request_indirect *r = (void *)&raw;
    struct request_what w;

    (void)state;
    for (unsigned i = 0; i < REQUEST_IN_PAGE; i++)
        listed[i] = (struct blkif_request_segment){i, 0, 0};
    r->operation = BLKIF_OP_INDIRECT;
    r->indirect_op = BLKIF_OP_WRITE;
    r->nr_segments = REQUEST_SEGMENTS;
    r->id = 5;
    r->indirect_grefs[0] = 77;
    assert_int_equal(understand(&raw, &limits, &w), BLKIF_RSP_OKAY);
    assert_int_equal(w.segments, REQUEST_SEGMENTS);
    assert_int_equal(w.operation, BLKIF_OP_WRITE);
    assert_int_equal(w.id, 5);
    assert_int_equal(understand(&raw, &fixed, &w), BLKIF_RSP_ERROR);
    r->nr_segments++;
    assert_int_equal(understand(&raw, &limits, &w), BLKIF_RSP_ERROR);
    r->nr_segments = 3;
    r->indirect_grefs[0] = 78;
    assert_int_equal(understand(&raw, &limits, &w), BLKIF_RSP_ERROR);
    r->indirect_grefs[0] = 77;
    r->indirect_op = BLKIF_OP_INDIRECT;
    assert_int_equal(understand(&raw, &limits, &w), BLKIF_RSP_ERROR);
    r->indirect_op = BLKIF_OP_FLUSH_DISKCACHE;
    assert_int_equal(understand(&raw, &limits, &w), BLKIF_RSP_ERROR);
    r->indirect_op = BLKIF_OP_READ;
    listed[2].last_sect = 255;
    assert_int_equal(understand(&raw, &limits, &w), BLKIF_RSP_ERROR);
}

static void test_discard(void **state)
{
    struct blkif_request raw = {0};
    struct blkif_request_discard *r = (void *)&raw;
    struct request_what w;

    (void)state;
    r->operation = BLKIF_OP_DISCARD;
    r->sector_number = 10;
    r->nr_sectors = 990;
    assert_int_equal(understand(&raw, &limits, &w), BLKIF_RSP_OKAY);
    assert_int_equal(w.size, 990 * SECTOR);
    assert_int_equal(understand(&raw, &fixed, &w), BLKIF_RSP_ERROR);
    r->nr_sectors = 991;
    assert_int_equal(understand(&raw, &limits, &w), BLKIF_RSP_ERROR);
    r->nr_sectors = UINT64_MAX - 5;
    assert_int_equal(understand(&raw, &limits, &w), BLKIF_RSP_ERROR);
}

/* A frontend that counts to more than the ring holds, and indices that pass the end of 32 bits. */
static void test_ring(void **state)
{
    struct blkif_sring *shared = aligned_alloc(4096, 4096);
    struct blkif_request copy;
    struct ring r;

    (void)state;
    memset(shared, 0, 4096);
    shared->req_prod = shared->rsp_prod = UINT32_MAX - 3;
    shared->rsp_event = UINT32_MAX - 2;
    ring_attach(&r, shared, 1);
    assert_int_equal(r.slots, 32);
    assert_int_equal(ring_slots(16), 512);
    assert_int_equal(ring_take(&r, &copy), RING_EMPTY);
    for (unsigned i = 0; i < 8; i++) {
        shared->ring[(UINT32_MAX - 3 + i) % 32].req.id = i;
        shared->req_prod++;
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(ring_take(&r, &copy), RING_TAKEN);
        assert_int_equal(copy.id, i);
    }
    assert_false(ring_wait(&r));
    shared->req_prod++;
    assert_true(ring_wait(&r));
    ring_answer(&r, 0, 0, 0);
    assert_true(ring_publish(&r)); /* the event that was asked for */
    ring_answer(&r, 1, 0, 0);
    assert_false(ring_publish(&r));
    shared->req_prod = r.answered + 33;
    assert_int_equal(ring_take(&r, &copy), RING_BROKEN);
    shared->req_prod = r.taken - 1;
    assert_int_equal(ring_take(&r, &copy), RING_BROKEN);
    /* Whoever comes next begins at the first without an answer. */
    ring_attach(&r, shared, 1);
    shared->req_prod = r.taken + 6;
    assert_int_equal(ring_take(&r, &copy), RING_TAKEN);
    assert_int_equal(copy.id, 2);
    free(shared);
}

/* What one that was killed leaves is, for each request, the request or its answer. */
static void check_killed(const void *left)
{
    static uint8_t page[4096] __attribute__((aligned(4096)));
    struct blkif_sring *shared = (void *)page;
    struct blkif_request copy, whole;
    struct ring r;
    unsigned at = 0;

    memcpy(page, left, sizeof(page));
    ring_attach(&r, shared, 1);
    ring_take_over(&r);
    assert_int_equal(r.answered, shared->rsp_prod);
    for (; at < shared->rsp_prod; at++) {
        assert_int_equal(shared->ring[at].rsp.id, 0x101 + at);
        assert_int_equal(shared->ring[at].rsp.operation, BLKIF_OP_READ);
        assert_int_equal(shared->ring[at].rsp.status, at ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR);
    }
    for (; at < 3; at++) {
        memset(&whole, 0x40 + (int)at, sizeof(whole));
        whole.operation = BLKIF_OP_READ;
        whole.id = 0x101 + at;
        assert_int_equal(ring_take(&r, &copy), RING_TAKEN);
        assert_memory_equal(&copy, &whole, sizeof(whole));
    }
    assert_int_equal(ring_take(&r, &copy), RING_EMPTY);
}

/* Killed before any of its instructions while it answers. */
static void test_killed(void **state)
{
    struct blkif_sring *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct blkif_request copy;
    struct ring r;
    int status;
    pid_t child;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        memset(&shared->ring[i], 0x40 + (int)i, sizeof(shared->ring[i]));
        shared->ring[i].req.operation = BLKIF_OP_READ;
        shared->ring[i].req.id = 0x101 + i;
    }
    shared->req_prod = 3;
    ring_attach(&r, shared, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ring_take(&r, &copy), RING_TAKEN);
    child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        ring_answer(&r, 0x101, BLKIF_OP_READ, BLKIF_RSP_ERROR);
        ring_answer(&r, 0x102, BLKIF_OP_READ, BLKIF_RSP_OKAY);
        ring_publish(&r);
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    for (unsigned steps = 0; shared->rsp_prod != 2; steps++) {
        assert_true(steps < 100000 && WIFSTOPPED(status));
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        check_killed(shared);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    munmap(shared, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct),   cmocka_unit_test(test_rights),
        cmocka_unit_test(test_indirect), cmocka_unit_test(test_discard),
        cmocka_unit_test(test_ring),     cmocka_unit_test(test_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
