/* SPDX-License-Identifier: MIT */
/* The lists of a domain's frames: both ways they say what the hypervisor said, in bounded memory, for guests of any size. */
#include "world.h"

#include <unistd.h>

#include "engine/frames.h"

enum shape { ROWS, HALVES, SCATTERED, TWICE, TOO_HIGH };

static enum shape shape;
static uint64_t frames; /* of the domain; the machine has twice as many */

/* ---- in place of the hypervisor ---- */

/* Two of three frames of a row of 1536 are the domain's in rows; every second one otherwise. */
static uint64_t gfn_of(uint64_t mfn)
{
    if (shape == ROWS)
        return mfn % 1536 < 1024 ? mfn / 1536 * 1024 + mfn % 1536 : REWRITE_NONE;
    if (mfn % 2)
        return REWRITE_NONE;
    if (shape == HALVES)
        return mfn / 2;
    return mfn / 2 * 0x9e3779b1u % frames; /* odd: each number once, if there are 2^n */
}

int pal_domain_frames(struct pal_hv *hv, uint32_t domain, pal_frame_visit visit, void *data,
                      struct pal_error *e)
{
    uint64_t done = 0;

    (void)hv;
    (void)domain;
    for (uint64_t mfn = 1536; done < frames; mfn++) {
        struct pal_own_frame o = {.mfn = mfn, .gfn = gfn_of(mfn - 1536)};

        if (o.gfn >= frames)
            continue;
        if (shape == TWICE && done == 77)
            o.gfn = gfn_of(mfn - 1538);
        if (shape == TOO_HIGH && done == 77)
            o.gfn = IMAGE_FRAMES_MAX;
        o.level = o.gfn % 1000 == 7 ? 1 : 0;
        o.pinned = o.gfn % 2000 == 7;
        if (visit(data, &o, e))
            return -1;
        done++;
    }
    return 0;
}

void *xenforeignmemory_map(xenforeignmemory_handle *h, uint32_t domain, int protection,
                           size_t pages, const xen_pfn_t *list, int *errors)
{
    (void)h, (void)domain, (void)protection, (void)pages, (void)list, (void)errors;
    return NULL;
}

/* ---- tests ---- */

static unsigned long resident_kib(void)
{
    unsigned long all, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &all, &resident), 2);
    fclose(f);
    return resident * 4;
}

static void check_all(struct frames *f)
{
    uint64_t found = 0;

    for (uint64_t mfn = 0; mfn < f->machine + 1000; mfn++) {
        uint64_t gfn = mfn < 1536 || mfn >= f->machine ? REWRITE_NONE : gfn_of(mfn - 1536);

        if (gfn >= frames)
            gfn = REWRITE_NONE;
        if (frames_to_gfn(f, mfn) != gfn)
            fail_msg("machine frame %lu is %lx, not %lx", mfn, frames_to_gfn(f, mfn), gfn);
        if (gfn == REWRITE_NONE)
            continue;
        found++;
        if (frames_to_mfn(f, gfn) != mfn)
            fail_msg("frame %lu is %lx, not %lx", gfn, frames_to_mfn(f, gfn), mfn);
    }
    assert_int_equal(found, frames);
}

static void read_bounded(enum shape which, uint64_t count, unsigned long bound_kib)
{
    unsigned long before = resident_kib(), after;
    struct pal_error e = {0};
    struct frames f;

    shape = which;
    frames = count;
    assert_int_equal(frames_read(&f, NULL, 1, 5, &e), 0);
    after = resident_kib();
    print_message("%lu MiB, shape %d: %lu KiB\n", count >> 8, which, after - before);
    assert_true(after - before < bound_kib);
    assert_int_equal(f.pages, count);
    assert_int_equal(f.count, count);
    check_all(&f);
    assert_int_equal(frames_level(&f, 1007), 1);
    assert_int_equal(f.type[2007], IMAGE_L1 | IMAGE_PINNED);
    assert_int_equal(f.type[1007], IMAGE_L1);
    assert_int_equal(frames_to_mfn(&f, count), REWRITE_NONE);
    frames_free(&f);
}

static void test_rows(void **state)
{
    (void)state;
    read_bounded(ROWS, 1 << 16, 2 << 10);
    read_bounded(ROWS, 1 << 22, 8 << 10);
}

/* Nothing stands in a row: 16 GiB, one frame here, one there. */
static void test_scattered(void **state)
{
    (void)state;
    read_bounded(HALVES, 1 << 22, 60 << 10);
    read_bounded(SCATTERED, 1 << 22, 60 << 10);
}

static void test_refused(void **state)
{
    static const char *const why[] = {[TWICE] = "the same number", [TOO_HIGH] = "no number"};

    (void)state;
    frames = 1 << 12;
    for (shape = TWICE; shape <= TOO_HIGH; shape++) {
        struct pal_error e = {0};
        struct frames f;

        assert_int_equal(frames_read(&f, NULL, 1, 5, &e), -1);
        assert_int_equal(e.code, PAL_SAVE_GUEST);
        assert_non_null(strstr(e.why, why[shape]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_scattered),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
