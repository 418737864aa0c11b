/* SPDX-License-Identifier: MIT */
/* The heap (heap.c). */
#include "world.h"

static void sizes_alignment_zeroes(void **state)
{
    static const size_t sizes[] = {1,   16,   17,   32,   63,   64,   65,
                                   200, 1024, 2048, 2049, 4096, 4097, 30000};

    (void)state;
    fake_reset(50);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        void *p[300];
        unsigned n = sizes[i] > 4096 ? 3 : 300;

        for (unsigned k = 0; k < n; k++) {
            unsigned char *c = p[k] = heap_alloc(sizes[i]);
            size_t align = sizes[i] >= 4096 ? 4096 : sizes[i] >= 64 ? 64 : 16;

            assert_non_null(c);
            assert_int_equal((uintptr_t)c % align, 0);
            for (size_t b = 0; b < sizes[i]; b++)
                assert_int_equal(c[b], 0);
            memset(c, (int)k + 1, sizes[i]);
        }
        for (unsigned k = 0; k < n; k++) { /* nobody wrote into another's */
            for (size_t b = 0; b < sizes[i]; b++)
                assert_int_equal(((unsigned char *)p[k])[b], (unsigned char)(k + 1));
        }
        for (unsigned k = 0; k < n; k += 2)
            heap_free(p[k]);
        for (unsigned k = 1; k < n; k += 2)
            heap_free(p[k]);
        assert_int_equal(heap_bytes(), 0);
        assert_int_equal(palloc_free_frames(), fake_free_at_start());
    }
    heap_free(NULL);
    assert_null(heap_alloc(0));
    assert_null(heap_alloc(~(size_t)0));
}

static void no_memory_is_said(void **state)
{
    (void)state;
    fake_reset(50);
    fake_exhaust();
    assert_null(heap_alloc(16));
    assert_null(heap_alloc(8192));
    fake_unexhaust();
    assert_int_equal(heap_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_alignment_zeroes),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
