/* SPDX-License-Identifier: MIT */
/*
 * The buffer cache between vCPUs, switched at every atomic access: pages are inserted, copied out, dropped and retired while others
 * take the frames. What is copied is right; what is taken is zero and stays so; the books balance.
 */
#include "cache.h"
#include "../../../mm/bufcache_internal.h"

#define READER 1u
#define OTHER  2u
#define PAGES  24
#define ROUNDS 25

static long object; /* its name is object_name; both change at a retirement */
static uint64_t object_name;
static mfn_t window[2];
static unsigned hits, taken, disowned;

static uint64_t random64;
static unsigned pick(unsigned n)
{
    random64 ^= random64 << 13, random64 ^= random64 >> 7, random64 ^= random64 << 17;
    return (unsigned)(random64 >> 33) % n;
}

static void insert_pages(void *arg)
{
    unsigned cpu = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t name = object_name, page = pick(PAGES);
        long o = object, rc;

        fill_source(cpu, name, page);
        rc = cache_insert_by(fake_v(0, cpu), cpu, o, page, pick(2) ? PAL_CACHE_NOBODY : READER);
        assert_true(rc == 0 || rc == -XEN_EEXIST || rc == -XEN_ENOMEM || rc == -XEN_ENOENT ||
                    rc == -XEN_EPERM);
    }
}

static void copy_pages(void *arg)
{
    unsigned cpu = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < 2 * ROUNDS; i++) {
        uint64_t name = object_name, page = pick(PAGES);
        long rc = cache_copy_by(fake_v(0, cpu), object, page, READER, 9 + cpu);

        assert_true(rc == 0 || rc == -XEN_ENOENT || rc == -XEN_EPERM ||
                    (rc == -XEN_EACCES && fake_d(READER)->dying));
        if (rc == 0)
            assert_true(page_is(window[cpu], content(name, page)));
        hits += rc == 0;
    }
}

static void take_frames(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        mfn_t m[24];
        unsigned order = pick(4), n = 0;

        while (n < ARRAY_SIZE(m) && !mfn_eq(m[n] = palloc_hv(order, 0), MFN_NONE))
            n++;
        for (unsigned k = 0; k < n << order; k++)
            assert_true(page_is(mfn(m[k >> order].n + (k & (BIT(order) - 1))), 0));
        fake_yield();
        for (unsigned k = 0; k < n << order; k++)
            assert_true(page_is(mfn(m[k >> order].n + (k & (BIT(order) - 1))), 0));
        taken += n;
        while (n--) {
            memset(env_frame(m[n]), 0xdd, PAGE_SIZE << order);
            palloc_free_hv(m[n], order);
        }
    }
}

static void drop_pages_once(void *arg)
{
    struct mm_vcpu *v = fake_v(0, (unsigned)(uintptr_t)arg);

    assert_int_equal(cache_drop_by(v, pick(2) ? ~0u : (uint32_t)object, false), 0);
}

static void drop_pages(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++)
        drop_pages_once(arg);
}

static void retire_object(void *arg)
{
    struct mm_vcpu *v = fake_v(0, (unsigned)(uintptr_t)arg);

    for (unsigned i = 0; i < ROUNDS / 3; i++) {
        struct pal_cache_object *o = args_of(v);
        struct pal_cache_reader *r = args_of(v);
        long number;

        assert_int_equal(cache_drop_by(v, (uint32_t)object, true), 0);
        do {
            fake_yield();
            *o = (struct pal_cache_object){.name = {object_name + 1, 0}, .pages = PAGES};
            number = mm_cache_op(v, PALOP_cache_object, fake_va(o));
        } while (number == -XEN_ENOMEM); /* others have all there is */
        assert_true(number >= 0);
        *r = (struct pal_cache_reader){.object = (uint32_t)number, .domain = READER, .allow = 1};
        assert_int_equal(mm_cache_op(v, PALOP_cache_reader, fake_va(r)), 0);
        object_name++;
        object = number; /* no switch between these two */
    }
}

static void end_reader(void *arg)
{
    (void)arg;
    fake_d(READER)->dying = true;
    for (unsigned i = 0; i < 10; i++) {
        bufcache_domain_end(fake_d(READER));
        fake_yield();
    }
}

static void limit_reader(void *arg)
{
    struct mm_vcpu *v = fake_v(0, (unsigned)(uintptr_t)arg);

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct pal_cache_limit *l = args_of(v);

        *l = (struct pal_cache_limit){
            .domain = pick(2) ? READER : ~0u, .off = pick(4) == 0, .pages = pick(3) ? 5 : ~0ull};
        (void)mm_cache_op(v, PALOP_cache_limit, fake_va(l));
    }
}

/* The reader goes with its account, and the next of its number has another. */
static void end_accounts(void *arg)
{
    struct mm_vcpu *v = fake_v(0, (unsigned)(uintptr_t)arg);

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct pal_cache_reader *r = args_of(v);

        bufcache_domain_end(fake_d(READER));
        fake_yield();
        if (pick(2))
            cache_disown();
        *r = (struct pal_cache_reader){.object = (uint32_t)object, .domain = READER, .allow = 1};
        assert_int_equal(mm_cache_op(v, PALOP_cache_reader, fake_va(r)), 0);
        fake_yield();
    }
    cache_disown();
    disowned += !bufcache.gone;
}

static uint64_t hoard[FAKE_FRAMES];
static unsigned hoarded;

/* A machine with few free frames: what is cached and what is taken are the same ones. */
static void begin(unsigned seed, unsigned left)
{
    random64 = seed * 0x9e3779b97f4a7c15ull + 1;
    fake_reset(60);
    fake_grants(2, 1);
    for (unsigned i = 0; i < 2; i++) {
        window[i] = new_frame(fake_d(READER));
        grant_access(READER, 9 + i, 0, window[i], 0);
    }
    object_name = seed + 1;
    object = cache_object_of(object_name, PAGES);
    assert_true(object >= 0);
    assert_int_equal(cache_reader(object, READER, true), 0);
    assert_int_equal(cache_limit(~0u, false, ~0ull), 0);
    for (hoarded = 0; palloc_free_frames() > left; hoarded++)
        hoard[hoarded] = palloc_hv(0, 0).n;
}

static void finish(void)
{
    fake_check();
    while (hoarded)
        palloc_free_hv(mfn(hoard[--hoarded]), 0);
    fake_check();
    assert_int_equal(cache_limit(~0u, false, ~0ull), 0);
    fake_reset(0);
}

static void run(void (*a)(void *), void (*b)(void *), void (*c)(void *), unsigned seeds)
{
    for (unsigned seed = 0; seed < seeds; seed++) {
        const struct fake_op ops[] = {{a, (void *)0}, {b, (void *)1}, {c, (void *)0}};

        begin(seed, 20 + seed % 30);
        /* Something to begin with. */
        for (uint64_t page = 0; page < PAGES; page += 3) {
            fill_source(0, object_name, page);
            (void)cache_insert_by(fake_v(0, 0), 0, object, page, READER);
        }
        fake_run(ops, c ? 3 : 2, seed);
        finish();
    }
}

static void frames_are_taken_while_pages_are_copied(void **state)
{
    (void)state;
    hits = taken = 0;
    run(insert_pages, copy_pages, take_frames, 250);
    assert_true(hits > 500 && taken > 5000);
}

/* Pages go and others come into their frames, by one vCPU, while the other copies. */
static void drop_and_insert(void *arg)
{
    for (unsigned i = 0; i < 4; i++) {
        drop_pages_once(arg);
        insert_pages(arg);
    }
}

static void insert_beyond_the_limit(void *arg)
{
    struct pal_cache_limit *l = args_of(fake_v(0, 1));

    *l = (struct pal_cache_limit){.domain = ~0u, .pages = 3};
    assert_int_equal(mm_cache_op(fake_v(0, 1), PALOP_cache_limit, fake_va(l)), 0);
    for (unsigned i = 0; i < 4; i++)
        insert_pages(arg);
}

static void frames_get_other_pages_while_they_are_copied(void **state)
{
    (void)state;
    hits = 0;
    run(copy_pages, drop_and_insert, NULL, 300);
    run(copy_pages, insert_beyond_the_limit, NULL, 300);
    assert_true(hits > 1000);
}

static void two_insert_the_same(void **state)
{
    (void)state;
    run(insert_pages, insert_pages, take_frames, 150);
}

static void pages_are_dropped_while_they_are_copied(void **state)
{
    (void)state;
    hits = 0;
    run(copy_pages, drop_pages, take_frames, 100);
    run(insert_pages, drop_pages, take_frames, 100);
    assert_true(hits > 20);
}

static void an_object_is_retired_while_it_is_used(void **state)
{
    (void)state;
    run(insert_pages, retire_object, take_frames, 100);
    run(copy_pages, retire_object, take_frames, 100);
}

static void limits_change_while_pages_come(void **state)
{
    (void)state;
    run(insert_pages, limit_reader, take_frames, 100);
    run(copy_pages, limit_reader, take_frames, 100);
}

static void the_reader_ends_while_it_reads(void **state)
{
    (void)state;
    run(copy_pages, insert_pages, end_reader, 150);
}

static void pages_of_the_gone_become_nobody_s(void **state)
{
    (void)state;
    disowned = 0;
    run(insert_pages, end_accounts, take_frames, 150);
    run(insert_pages, end_accounts, limit_reader, 100);
    run(copy_pages, end_accounts, insert_pages, 100);
    assert_int_equal(disowned, 350);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_taken_while_pages_are_copied),
        cmocka_unit_test(frames_get_other_pages_while_they_are_copied),
        cmocka_unit_test(two_insert_the_same),
        cmocka_unit_test(pages_are_dropped_while_they_are_copied),
        cmocka_unit_test(an_object_is_retired_while_it_is_used),
        cmocka_unit_test(limits_change_while_pages_come),
        cmocka_unit_test(the_reader_ends_while_it_reads),
        cmocka_unit_test(pages_of_the_gone_become_nobody_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
