/* SPDX-License-Identifier: MIT */
/* The buffer cache: hits and misses, rights, limits, memory that is taken, what replaces what. */
#include "cache.h"
#include "../../../mm/bufcache_internal.h"

#define READER 1u
#define OTHER  2u
#define REF    9u

static mfn_t window; /* the reader's frame that pages are copied to */
static struct mm_vcpu *backend;

static int start(void **state)
{
    (void)state;
    fake_reset(FAKE_FRAMES);
    fake_grants(2, 1);
    backend = fake_v(0, 0);
    window = new_frame(fake_d(READER));
    grant_access(READER, REF, 0, window, 0);
    return 0;
}

static long read_page(long object, uint64_t page)
{
    return cache_copy_by(backend, object, page, READER, REF);
}

/* Read it; a hit must be the right bytes. */
static bool hit(uint64_t name, long object, uint64_t page)
{
    long rc;

    memset(env_frame(window), 0, PAGE_SIZE);
    rc = read_page(object, page);
    if (rc == 0)
        assert_true(page_is(window, content(name, page)));
    else
        assert_int_equal(rc, -XEN_ENOENT);
    return rc == 0;
}

static void counts_of(uint32_t object, uint32_t domain, struct pal_cache_counts *c)
{
    struct pal_cache_info i;

    assert_int_equal(cache_info(object, domain, &i), 0);
    *c = i.counts;
}

static void what_was_inserted_is_found(void **state)
{
    struct pal_cache_counts c;
    uint64_t free = palloc_free_frames();
    long o;

    (void)state;
    o = cache_object_of(7, 100);
    assert_true(o >= 0);
    assert_int_equal(cache_object_of(7, 100), o);
    assert_int_equal(cache_object_of(7, 101), -XEN_EINVAL);
    assert_int_equal(cache_reader(o, READER, true), 0);
    free = palloc_free_frames() - 1; /* one chunk of entries is to come */
    assert_false(hit(7, o, 3));
    for (uint64_t page = 0; page < 40; page++)
        assert_int_equal(cache_put(7, o, page), 0);
    assert_int_equal(cache_put(7, o, 5), -XEN_EEXIST);
    assert_int_equal(cache_put(7, o, 100), -XEN_EINVAL);
    assert_int_equal(cache_put(7, o, ~0ull), -XEN_EINVAL);
    assert_int_equal(bufcache_pages(), 40);
    assert_true(palloc_free_frames() + 1 >=
                free); /* no frame but for entries and the reader's account */
    for (uint64_t page = 0; page < 40; page++)
        assert_true(hit(7, o, page));
    assert_false(hit(7, o, 40));
    fake_check();
    counts_of((uint32_t)o, ~0u, &c);
    assert_int_equal(c.pages, 40);
    assert_int_equal(c.inserts, 40);
    assert_int_equal(c.hits, 40);
    assert_int_equal(c.misses, 2);
    assert_int_equal(c.bytes, 40 * PAGE_SIZE);
    counts_of(~0u, READER, &c);
    assert_int_equal(c.hits, 40);
    assert_int_equal(c.pages, 0); /* inserted on nobody's behalf */
}

static void what_is_there_can_be_listed(void **state)
{
    struct pal_cache_pages *a = args_of(backend);
    uint32_t *list = (void *)CACHE_SOURCE;
    bool seen[600] = {0};
    long o = cache_object_of(7, 600), p = cache_object_of(8, 600), n, total = 0;
    unsigned calls = 0;

    (void)state;
    for (uint64_t page = 0; page < 600; page += 2) {
        assert_int_equal(cache_put(7, o, page), 0);
        assert_int_equal(cache_put(8, p, page + 1), 0);
    }
    *a = (struct pal_cache_pages){.object = (uint32_t)o, .room = 130, .list = fake_va(list)};
    while (a->next != ~0ull) {
        n = mm_cache_op(backend, PALOP_cache_pages, fake_va(a));
        assert_in_range(n, 0, 130);
        for (long i = 0; i < n; i++) {
            assert_true(list[i] < 600 && !seen[list[i]]);
            seen[list[i]] = true;
        }
        total += n;
        calls++;
    }
    assert_int_equal(total, 300);
    assert_true(calls > 2);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(seen[i], i % 2 == 0);
    *a = (struct pal_cache_pages){.object = (uint32_t)o, .room = 127, .list = fake_va(list)};
    assert_int_equal(mm_cache_op(backend, PALOP_cache_pages, fake_va(a)), -XEN_EINVAL);
    *a = (struct pal_cache_pages){.object = 99999, .room = 130, .list = fake_va(list)};
    assert_int_equal(mm_cache_op(backend, PALOP_cache_pages, fake_va(a)), -XEN_ENOENT);
}

static void a_part_of_a_page_reaches_a_part_of_a_page(void **state)
{
    struct pal_cache_list *l = cache_args(backend);
    struct pal_cache_copy *c = cache_entries(backend);
    uint8_t *to = env_frame(window);
    long o = cache_object_of(7, 4);

    (void)state;
    assert_int_equal(cache_reader(o, READER, true), 0);
    assert_int_equal(cache_put(7, o, 0), 0);
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        CACHE_SOURCE[i] = (uint8_t)(i / 16);
    assert_int_equal(cache_insert_by(backend, 0, o, 1, PAL_CACHE_NOBODY), 0);
    memset(to, 0xee, PAGE_SIZE);
    c[0] = (struct pal_cache_copy){
        .page = 1, .ref = REF, .start = 512, .offset = 100, .length = 1000, .status = 9};
    c[1] = (struct pal_cache_copy){
        .page = 1, .ref = REF, .start = 3000, .length = 1097, .status = 9}; /* one byte too many */
    c[2] = (struct pal_cache_copy){.page = 1, .ref = REF, .offset = 4096, .length = 1, .status = 9};
    c[3] = (struct pal_cache_copy){.page = 2, .ref = REF, .length = 4096, .status = 9};
    c[4] = (struct pal_cache_copy){.page = 4, .ref = REF, .length = 4096, .status = 9};
    c[5] = (struct pal_cache_copy){.page = 1, .ref = REF, .length = 0xffff, .status = 9};
    *l = (struct pal_cache_list){
        .object = (uint32_t)o, .domain = READER, .count = 6, .list = fake_va(c)};
    assert_int_equal(mm_cache_op(backend, PALOP_cache_copy, fake_va(l)), 6);
    assert_int_equal(c[0].status, 0);
    assert_int_equal(c[1].status, -XEN_EINVAL);
    assert_int_equal(c[2].status, -XEN_EINVAL);
    assert_int_equal(c[3].status, -XEN_ENOENT);
    assert_int_equal(c[4].status, -XEN_EINVAL);
    assert_int_equal(c[5].status, -XEN_EINVAL);
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        assert_int_equal(to[i], i < 100 || i >= 1100 ? 0xee : (uint8_t)((i - 100 + 512) / 16));
}

static void only_domain_0_calls(void **state)
{
    (void)state;
    for (unsigned cmd = PALOP_cache_object; cmd <= PALOP_cache_pages; cmd++)
        assert_int_equal(mm_cache_op(fake_v(READER, 0), cmd, fake_va(fake_buffer)), -XEN_EPERM);
    assert_int_equal(mm_cache_op(backend, PALOP_cache_pages + 1, 0), -XEN_ENOSYS);
    for (unsigned cmd = PALOP_cache_object; cmd <= PALOP_cache_pages; cmd++)
        assert_int_equal(mm_cache_op(backend, cmd, 8), -XEN_EFAULT);
}

static void who_is_not_on_the_list_reads_nothing(void **state)
{
    long o = cache_object_of(7, 10), p = cache_object_of(8, 10);

    (void)state;
    assert_int_equal(cache_put(7, o, 1), 0);
    assert_int_equal(read_page(o, 1), -XEN_EPERM);
    assert_int_equal(read_page(o, 2), -XEN_EPERM);
    assert_int_equal(cache_reader(p, READER, true), 0);
    assert_int_equal(read_page(o, 1), -XEN_EPERM);
    assert_int_equal(read_page(p, 1), -XEN_ENOENT);
    assert_int_equal(cache_reader(o, READER, true), 0);
    assert_int_equal(cache_reader(o, READER, true), 0);
    assert_true(hit(7, o, 1));
    assert_int_equal(cache_reader(o, READER, false), 0);
    assert_int_equal(read_page(o, 1), -XEN_EPERM);
    assert_int_equal(cache_reader(o, FAKE_DOMAINS, true), -XEN_ESRCH);
    assert_int_equal(cache_reader(o, 0x7fffffff, true), -XEN_ESRCH);
    assert_int_equal(cache_reader(12345, READER, true), -XEN_ENOENT);
    assert_int_equal(cache_insert_by(backend, 0, o, 3, READER), -XEN_EPERM);
}

static void the_grant_is_judged_as_for_a_copy(void **state)
{
    long o = cache_object_of(7, 10);
    mfn_t table = new_frame(fake_d(READER));

    (void)state;
    assert_int_equal(cache_reader(o, READER, true), 0);
    assert_int_equal(cache_put(7, o, 1), 0);
    assert_int_equal(cache_copy_by(backend, o, 1, READER, REF + 1), -XEN_EACCES);
    assert_int_equal(cache_copy_by(backend, o, 1, READER, ~0u), -XEN_EACCES);
    grant_access(READER, REF + 1, 0, window, GTF_readonly);
    assert_int_equal(cache_copy_by(backend, o, 1, READER, REF + 1), -XEN_EACCES);
    grant_access(READER, REF + 1, OTHER, window, 0);
    assert_int_equal(cache_copy_by(backend, o, 1, READER, REF + 1), -XEN_EACCES);
    /* Somebody else's frame, and a page table. */
    grant_access(READER, REF + 1, 0, new_frame(fake_d(OTHER)), 0);
    assert_int_equal(cache_copy_by(backend, o, 1, READER, REF + 1), -XEN_EACCES);
    assert_int_equal(mm_pin(fake_d(READER), table, ROLE_L1), 0);
    grant_access(READER, REF + 1, 0, table, 0);
    assert_int_equal(cache_copy_by(backend, o, 1, READER, REF + 1), -XEN_EACCES);
    assert_int_equal(in_use_bits(READER, REF + 1), 0);
    assert_true(hit(7, o, 1));
    assert_int_equal(in_use_bits(READER, REF), 0);
}

static void memory_that_is_needed_is_there(void **state)
{
    long o = cache_object_of(7, FAKE_FRAMES);
    struct pal_cache_counts c;
    uint64_t free, page;
    int error = 0;

    (void)state;
    for (page = 0; cache_put(7, o, page) == 0; page++) {
        counts_of((uint32_t)o, ~0u, &c);
        if (c.evictions)
            break;
    }
    assert_int_equal(cache_reader(o, READER, true), 0);
    fake_check();
    free = palloc_free_frames();
    assert_int_equal(bufcache_pages(), free); /* every free frame holds a page */
    assert_true(free > 700);
    /* Blocks of all sizes, for domains and for the hypervisor; scrubbed, and exactly their pages are gone. */
    for (unsigned order = 0; order <= 7; order++) {
        mfn_t m = order % 2 ? palloc_domain(fake_d(OTHER), order, 0, &error) : palloc_hv(order, 0);

        assert_true(m.n < frame_count);
        for (uint64_t i = 0; i < BIT(order); i++)
            assert_true(page_is(mfn(m.n + i), 0));
        assert_true(bufcache_pages() <= palloc_free_frames());
        fake_check();
        if (order % 2 == 0)
            palloc_free_hv(m, order);
    }
    for (unsigned i = 0; i <= page; i++)
        (void)hit(7, o, i); /* right or not there */
    counts_of((uint32_t)o, ~0u, &c);
    assert_int_equal(c.hits, bufcache_pages());
    assert_true(c.taken >= 128 + 32 + 8 + 2);
    /* To the last frame. */
    fake_exhaust();
    assert_int_equal(palloc_free_frames(), 0);
    assert_int_equal(bufcache_pages(), 0);
    assert_int_equal(cache_put(7, o, 1), -XEN_ENOMEM);
    fake_unexhaust();
    assert_int_equal(cache_put(7, o, 1), 0);
    assert_true(hit(7, o, 1));
}

/* A domain that gave a frame back still knows where it was: what is cached there is not its. */
static void stale_translations_do_not_reach_cached_pages(void **state)
{
    struct tree t = new_tree(fake_d(OTHER), 8);
    struct mm_vcpu *v = fake_v(OTHER, 0);
    long o = cache_object_of(7, 2 * FAKE_FRAMES);
    uint64_t page = 0;

    (void)state;
    assert_int_equal(cache_reader(o, READER, true), 0);
    assert_int_equal(mm_set_root(v, t.l[4], false), 0);
    for (unsigned i = 0; i < 8; i++)
        assert_true(mfn_eq(fake_touch(v, i * PAGE_SIZE, true, 1), t.page[i]));
    while (bufcache_pages() < palloc_free_frames())
        assert_int_equal(cache_put(7, o, page++), 0);
    for (unsigned i = 0; i < 8; i++) {
        struct frame *f = frame_get(fake_d(OTHER), t.page[i]);

        assert_int_equal(update(v, t.l[1], i, 0), 0);
        assert_true(frame_disown(f));
        frame_put(f);
        assert_int_equal(f->owner, OWNER_FREE);
    }
    while (bufcache_pages() < palloc_free_frames())
        assert_int_equal(cache_put(7, o, page++), 0);
    for (unsigned i = 0; i < 8; i++)
        assert_true(frame_of(t.page[i])->flags & FRAME_CACHED);
    for (unsigned i = 0; i < 8; i++)
        assert_true(mfn_eq(fake_touch(v, i * PAGE_SIZE, true, 0xbad), MFN_NONE));
    fake_check_caches();
    while (page--)
        (void)hit(7, o, page);
}

static void a_page_that_cannot_be_read_is_not_there(void **state)
{
    long o = cache_object_of(7, 10);
    struct pal_cache_list *l = cache_args(backend);
    struct pal_cache_page *p = cache_entries(backend);

    (void)state;
    assert_int_equal(cache_reader(o, READER, true), 0);
    p[0] = (struct pal_cache_page){.page = 1, .address = 4096};
    p[1] = (struct pal_cache_page){.page = 2, .address = fake_va(CACHE_SOURCE)};
    *l = (struct pal_cache_list){
        .object = (uint32_t)o, .domain = ~0u, .count = 2, .list = fake_va(p)};
    fill_source(0, 7, 2);
    assert_int_equal(mm_cache_op(backend, PALOP_cache_insert, fake_va(l)), 2);
    assert_int_equal(p[0].status, -XEN_EFAULT);
    assert_int_equal(p[1].status, 0);
    assert_false(hit(7, o, 1));
    assert_true(hit(7, o, 2));
    l->count = PAL_CACHE_BATCH + 1;
    assert_int_equal(mm_cache_op(backend, PALOP_cache_insert, fake_va(l)), -XEN_EINVAL);
    assert_int_equal(mm_cache_op(backend, PALOP_cache_copy, fake_va(l)), -XEN_EINVAL);
}

static void a_number_is_not_used_again(void **state)
{
    long first = cache_object_of(7, 10), second;

    (void)state;
    assert_int_equal(cache_reader(first, READER, true), 0);
    assert_int_equal(cache_put(7, first, 1), 0);
    assert_int_equal(cache_drop_by(backend, (uint32_t)first, true), 0);
    assert_int_equal(bufcache_pages(), 0);
    assert_int_equal(cache_drop_by(backend, (uint32_t)first, true), -XEN_ENOENT);
    second = cache_object_of(8, 10);
    assert_int_equal(second % PAL_CACHE_OBJECTS, first % PAL_CACHE_OBJECTS);
    assert_int_not_equal(second, first);
    assert_int_equal(cache_put(8, second, 1), 0);
    assert_int_equal(read_page(first, 1), -XEN_ENOENT);
    assert_int_equal(cache_put(7, first, 2), -XEN_ENOENT);
    assert_int_equal(cache_reader(first, READER, true), -XEN_ENOENT);
    assert_int_equal(read_page(second, 1), -XEN_EPERM); /* a new object has no readers */
    assert_int_equal(cache_drop_by(backend, (uint32_t)second, false), 0);
    assert_int_equal(cache_reader(second, READER, true), 0);
    assert_false(hit(8, second, 1));
}

static void objects_are_as_many_as_said(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++)
        assert_true(cache_object_of(100 + i, 1) >= 0);
    assert_int_equal(cache_object_of(1, 0), -XEN_EINVAL);
    assert_int_equal(cache_object_of(1, PAL_CACHE_MAX_PAGES + 1), -XEN_EINVAL);
    assert_true(cache_object_of(1, PAL_CACHE_MAX_PAGES) >= 0);
    fake_exhaust();
    assert_int_equal(cache_object_of(2, 1), -XEN_ENOMEM);
    fake_unexhaust();
}

static void limits_and_switches(void **state)
{
    long o = cache_object_of(7, 100);
    struct pal_cache_info i;

    (void)state;
    assert_int_equal(cache_reader(o, READER, true), 0);
    assert_int_equal(cache_limit(READER, false, 3), 0);
    for (uint64_t page = 0; page < 5; page++) {
        fill_source(0, 7, page);
        assert_int_equal(cache_insert_by(backend, 0, o, page, READER), page < 3 ? 0 : -XEN_ENOMEM);
    }
    assert_int_equal(cache_put(7, o, 10), 0); /* nobody's */
    assert_true(hit(7, o, 2) && hit(7, o, 10));
    fake_check();
    /* Off: neither reads nor inserts, and what it inserted goes; others' stays. */
    assert_int_equal(cache_limit(READER, true, 3), 0);
    assert_int_equal(bufcache_pages(), 1);
    assert_int_equal(read_page(o, 10), -XEN_EPERM);
    assert_int_equal(cache_insert_by(backend, 0, o, 11, READER), -XEN_EPERM);
    assert_int_equal(cache_info(~0u, 0, &i), 0);
    assert_int_equal(i.domain, READER);
    assert_int_equal(i.off, 1);
    assert_int_equal(i.limit, 3);
    assert_int_equal(cache_info(~0u, READER + 1, &i), -XEN_ENOENT);
    assert_int_equal(cache_limit(READER, false, ~0ull), 0);
    assert_true(hit(7, o, 10));
    assert_int_equal(cache_limit(FAKE_DOMAINS, false, 1), -XEN_ESRCH);
    /* The whole. */
    for (uint64_t page = 20; page < 60; page++)
        assert_int_equal(cache_put(7, o, page), 0);
    assert_int_equal(cache_limit(~0u, false, 8), 0);
    assert_int_equal(bufcache_pages(), 8);
    assert_int_equal(cache_put(7, o, 70), 0);
    assert_int_equal(bufcache_pages(), 8);
    assert_true(hit(7, o, 70));
    fake_check();
    assert_int_equal(cache_limit(~0u, true, ~0ull), 0);
    assert_int_equal(bufcache_pages(), 0);
    assert_int_equal(cache_put(7, o, 71), -XEN_EPERM);
    assert_int_equal(read_page(o, 70), -XEN_EPERM);
    assert_int_equal(cache_limit(~0u, false, ~0ull), 0);
    assert_int_equal(cache_put(7, o, 71), 0);
}

static void a_domain_s_end_takes_it_off(void **state)
{
    long o = cache_object_of(7, 100);
    struct pal_cache_info i;

    (void)state;
    assert_int_equal(cache_reader(o, OTHER, true), 0);
    assert_int_equal(cache_reader(o, READER, true), 0);
    fill_source(0, 7, 1);
    assert_int_equal(cache_insert_by(backend, 0, o, 1, OTHER), 0);
    assert_int_equal(cache_info((uint32_t)o, ~0u, &i), 0);
    assert_int_equal(i.readers, 2);
    fake_d(OTHER)->dying = true;
    assert_int_equal(cache_copy_by(backend, o, 1, OTHER, REF), -XEN_EPERM);
    assert_int_equal(mm_domain_teardown(fake_d(OTHER)), 0);
    assert_int_equal(cache_info((uint32_t)o, ~0u, &i), 0);
    assert_int_equal(i.readers, 1);
    assert_int_equal(cache_info(~0u, OTHER, &i), -XEN_ENOENT);
    assert_int_equal(cache_reader(o, OTHER, true),
                     -XEN_ESRCH); /* the next of that number would have it */
    assert_int_equal(cache_reader(o, OTHER, false), 0);
    assert_int_equal(cache_limit(OTHER, true, 0), -XEN_ESRCH);
    /* What it brought in serves others. */
    assert_true(hit(7, o, 1));
    fake_check();
}

/* ---- the model: a map of what may be there; every page read is right, or a miss ---- */

#define MODEL_OBJECTS 3
#define MODEL_PAGES   400

static void random_use_is_never_stale(void **state)
{
    uint64_t random = 88172645463325252ull, name = 0;
    struct {
        uint64_t name;
        long number;
        bool put[MODEL_PAGES];
    } o[MODEL_OBJECTS];
    struct {
        mfn_t m;
        unsigned order;
        bool taken;
    } held[64] = {0};
    unsigned hits = 0;

    (void)state;
    for (unsigned i = 0; i < MODEL_OBJECTS; i++) {
        memset(&o[i], 0, sizeof(o[i]));
        o[i].name = ++name;
        o[i].number = cache_object_of(name, MODEL_PAGES);
        assert_int_equal(cache_reader(o[i].number, READER, true), 0);
    }
    for (unsigned step = 0; step < 60000; step++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        unsigned what = random >> 8 & 255, i = (random >> 16) % MODEL_OBJECTS;
        uint64_t page = (random >> 24) % MODEL_PAGES;
        unsigned h = (random >> 40) % 64, order = (random >> 48) % 4;
        long rc;

        if (what < 110) {
            rc = cache_put(o[i].name, o[i].number, page);
            assert_true(rc == 0 || rc == -XEN_EEXIST || rc == -XEN_ENOMEM);
            assert_true(rc != -XEN_EEXIST || o[i].put[page]);
            o[i].put[page] = true;
        } else if (what < 220) {
            bool there = hit(o[i].name, o[i].number, page);

            assert_true(!there || o[i].put[page]);
            hits += there;
        } else if (what < 253) {
            if (held[h].taken) {
                palloc_free_hv(held[h].m, held[h].order);
                held[h].taken = false;
            } else {
                mfn_t m = palloc_hv(order, 0);

                if (!mfn_eq(m, MFN_NONE)) {
                    for (uint64_t k = 0; k < BIT(order); k++)
                        assert_true(page_is(mfn(m.n + k), 0));
                    memset(env_frame(m), 0xdd, PAGE_SIZE << order);
                    held[h].m = m, held[h].order = order, held[h].taken = true;
                }
            }
        } else if (what == 253 && order == 0) {
            assert_int_equal(cache_drop_by(backend, (uint32_t)o[i].number, false), 0);
            memset(o[i].put, 0, sizeof(o[i].put));
        } else if (what == 254 && order == 0) {
            assert_int_equal(cache_drop_by(backend, (uint32_t)o[i].number, true), 0);
            memset(o[i].put, 0, sizeof(o[i].put));
            o[i].name = ++name;
            o[i].number = cache_object_of(name, MODEL_PAGES);
            assert_true(o[i].number >= 0);
            assert_int_equal(cache_reader(o[i].number, READER, true), 0);
        } else if (what == 255) {
            assert_int_equal(cache_limit(~0u, false, page < 200 ? ~0ull : page), 0);
        }
        if (step % 500 == 0)
            fake_check();
    }
    assert_true(hits > 5000);
    for (unsigned h = 0; h < 64; h++)
        if (held[h].taken)
            palloc_free_hv(held[h].m, held[h].order);
    assert_int_equal(cache_limit(~0u, false, ~0ull), 0);
}

/* ---- what replaces what ---- */

#define ROOM 200

/* As a backend does: read, and insert what was missed. */
static bool use(long object, uint64_t page)
{
    if (read_page(object, page) == 0)
        return true;
    assert_int_equal(cache_put(7, object, page), 0);
    return false;
}

static long object_with_room(void)
{
    long o = cache_object_of(7, 1u << 20);

    assert_int_equal(cache_reader(o, READER, true), 0);
    assert_int_equal(cache_limit(~0u, false, ROOM), 0);
    return o;
}

static void a_scan_leaves_what_is_used(void **state)
{
    long o = object_with_room();
    unsigned kept = 0;

    (void)state;
    for (unsigned round = 0; round < 3; round++)
        for (uint64_t page = 0; page < ROOM / 2; page++)
            (void)use(o, page);
    for (uint64_t page = 1000; page < 1000 + 20 * ROOM; page++)
        (void)use(o, page);
    for (uint64_t page = 0; page < ROOM / 2; page++)
        kept += hit(7, o, page);
    /* But for one or two: the search for a page to replace is bounded, and all were in use when the scan began. */
    assert_true(kept >= ROOM / 2 - 3);
    fake_check();
    assert_int_equal(cache_limit(~0u, false, ~0ull), 0);
}

/* What a plain queue of the least recently used would keep, for comparison. */
static unsigned lru_hits(const uint32_t *trace, unsigned n)
{
    uint32_t list[ROOM];
    unsigned used = 0, hits = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned at = 0;

        while (at < used && list[at] != trace[i])
            at++;
        hits += at < used;
        if (at == used && used < ROOM)
            used++;
        at = min(at, used - 1);
        memmove(list + 1, list, at * sizeof(*list));
        list[0] = trace[i];
    }
    return hits;
}

/* A skewed load with a scan in between, as of guests that work while another reads its whole disk. */
static unsigned make_trace(uint32_t *trace, unsigned n, bool scans)
{
    uint64_t random = 0x853c49e6748fea9bull;
    unsigned scanned = 0;

    for (unsigned i = 0; i < n; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        uint32_t r = (uint32_t)(random >> 20) % 1000, range = r < 600 ? 80 : r < 850 ? 300 : 2000;

        trace[i] = (uint32_t)(random >> 40) % range;
        if (scans && i / 1000 % 3 == 2)
            trace[i] = 100000 + scanned++;
    }
    return n;
}

static void hits_are_not_fewer_than_of_the_least_recently_used(void **state)
{
    static uint32_t trace[24000];

    (void)state;
    for (unsigned scans = 0; scans < 2; scans++) {
        unsigned n = make_trace(trace, ARRAY_SIZE(trace), scans), ours = 0, lru;
        long o = object_with_room();

        for (unsigned i = 0; i < n; i++)
            ours += use(o, trace[i]);
        lru = lru_hits(trace, n);
        print_message("%s: %u hits of %u; least recently used: %u\n", scans ? "scans" : "skewed",
                      ours, n, lru);
        assert_true(ours * 100 >= lru * (scans ? 105 : 100));
        assert_int_equal(cache_drop_by(backend, (uint32_t)o, true), 0);
    }
    assert_int_equal(cache_limit(~0u, false, ~0ull), 0);
}

/* A loop somewhat longer than the small queue is learnt by the ghosts; one that is longer than all keeps at least a part. */
static void loops_are_not_lost(void **state)
{
    long o = object_with_room();
    unsigned hits = 0;

    (void)state;
    for (unsigned round = 0; round < 10; round++)
        for (uint64_t page = 0; page < ROOM * 9 / 10; page++)
            hits += use(o, page);
    assert_true(hits >= 8 * ROOM * 9 / 10);
    assert_int_equal(cache_limit(~0u, false, ~0ull), 0);
}

static void a_miss_costs_bounded_steps(void **state)
{
    long o = object_with_room();

    (void)state;
    /* All have been hit: still one is replaced at once. */
    for (unsigned round = 0; round < 6; round++)
        for (uint64_t page = 0; page < ROOM; page++)
            (void)use(o, page);
    assert_int_equal(cache_put(7, o, 5000), 0);
    assert_true(hit(7, o, 5000));
    assert_int_equal(bufcache_pages(), ROOM);
    assert_int_equal(cache_limit(~0u, false, ~0ull), 0);
}

/* ---- buckets and accounts, which guests try to use up ---- */

static unsigned in_bucket(const struct cache_bucket *b)
{
    unsigned count = 0;

    for (uint32_t n = b->first; n != CACHE_END; n = cache_entry(n)->chain)
        count++;
    return count;
}

/* Pages that a hash without a secret puts into one bucket: whoever reads the source can name them. */
static void known_pages_do_not_meet(void **state)
{
    long o = cache_object_of(7, PAL_CACHE_MAX_PAGES);
    unsigned slot = (unsigned)o % PAL_CACHE_OBJECTS, longest = 0;
    uint64_t page = 0;

    (void)state;
    for (unsigned i = 0; i < 400; page++) {
        uint64_t hash = ((uint64_t)slot << 32 | page) * 0x9e3779b97f4a7c15ull;

        if (hash >> (64 - bufcache.bucket_bits))
            continue;
        assert_int_equal(cache_put(7, o, page), 0);
        i++;
    }
    for (uint64_t i = 0; i < BIT(bufcache.bucket_bits); i++)
        longest = max(longest, in_bucket(&bufcache.buckets[i]));
    assert_true(longest < 16);
    fake_check();
}

static void another_start_has_another_hash(void **state)
{
    uint64_t seed[2];

    (void)state;
    assert_true(cache_object_of(7, 1) >= 0);
    memcpy(seed, bufcache.seed, sizeof(seed));
    assert_int_equal(cache_drop_by(backend, ~0u, true), 0);
    assert_null(bufcache.buckets);
    assert_true(cache_object_of(7, 1) >= 0);
    assert_memory_not_equal(seed, bufcache.seed, sizeof(seed));
    assert_true(bufcache.seed[1] & 1);
}

/* Who knows the secret all the same gets no further than this. */
static void a_bucket_is_not_longer_than_it_may_be(void **state)
{
    long o = cache_object_of(7, PAL_CACHE_MAX_PAGES), rc = 0;
    const struct cache_bucket *b = cache_bucket(cache_hash((unsigned)o % PAL_CACHE_OBJECTS, 0));
    uint64_t page = 0, put = 0;

    (void)state;
    assert_int_equal(cache_reader(o, READER, true), 0);
    for (; rc == 0; page++) {
        if (cache_bucket(cache_hash((unsigned)o % PAL_CACHE_OBJECTS, (uint32_t)page)) != b)
            continue;
        rc = cache_put(7, o, page);
        put += rc == 0;
    }
    assert_int_equal(rc, -XEN_ENOMEM);
    assert_int_equal(put, bufcache.chain_most);
    assert_int_equal(in_bucket(b), put);
    assert_int_equal(cache_put(7, o, 0), -XEN_EEXIST);
    assert_true(hit(7, o, 0));
    for (page = 1; cache_bucket(cache_hash((unsigned)o % PAL_CACHE_OBJECTS, (uint32_t)page)) == b;)
        page++;
    assert_int_equal(cache_put(7, o, page), 0);
    fake_check();
}

/* Domains come, bring a page in and go, more than there are accounts. */
static void the_gone_leave_room_for_accounts(void **state)
{
    static struct cache_account others;
    long o = cache_object_of(7, 1000);
    struct pal_cache_info i;
    unsigned rounds = 0;

    (void)state;
    assert_int_equal(cache_reader(o, READER, true), 0);
    for (unsigned a = 6; a < CACHE_ACCOUNTS; a++)
        bufcache.account[a] = &others; /* of as many domains that live */
    for (; rounds < 40; rounds++) {
        assert_int_equal(cache_reader(o, OTHER, true), 0);
        fill_source(0, 7, rounds);
        assert_int_equal(cache_insert_by(backend, 0, o, rounds, OTHER), 0);
        assert_int_equal(cache_info(~0u, OTHER, &i), 0);
        assert_int_equal(i.domain, OTHER);
        assert_int_equal(i.counts.pages, 1);
        fake_check();
        bufcache_domain_end(fake_d(OTHER));
        assert_int_equal(fake_d(OTHER)->cache, 0);
    }
    assert_int_equal(bufcache_pages(), rounds);
    for (unsigned page = 0; page < rounds; page++)
        assert_true(hit(7, o, page));
    fake_exhaust(); /* the pages go, and with them the last accounts of the gone */
    fake_unexhaust();
    assert_int_equal(bufcache.gone, 0);
    for (unsigned a = 6; a < CACHE_ACCOUNTS; a++)
        bufcache.account[a] = NULL;
    fake_check();
}

/* ---- the audit sees what it is for ---- */

static void the_audit_finds_a_frame_that_is_not_free(void **state)
{
    long o = cache_object_of(7, 10);
    uint64_t n;

    (void)state;
    assert_int_equal(cache_put(7, o, 1), 0);
    for (n = 0; !(frame_table[n].flags & FRAME_CACHED); n++)
        ;
    fake_quiet = true;
    frame_table[n].flags &= (uint8_t)~FRAME_CACHED;
    assert_int_not_equal(fake_audit(), 0);
    frame_table[n].flags |= FRAME_CACHED;
    frame_table[n].owner = OWNER_HV;
    assert_int_not_equal(fake_audit(), 0);
    frame_table[n].owner = OWNER_FREE;
    fake_quiet = false;
    assert_int_equal(fake_audit(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_inserted_is_found),
        TEST(what_is_there_can_be_listed),
        TEST(a_part_of_a_page_reaches_a_part_of_a_page),
        TEST(only_domain_0_calls),
        TEST(who_is_not_on_the_list_reads_nothing),
        TEST(the_grant_is_judged_as_for_a_copy),
        TEST(memory_that_is_needed_is_there),
        TEST(stale_translations_do_not_reach_cached_pages),
        TEST(a_page_that_cannot_be_read_is_not_there),
        TEST(a_number_is_not_used_again),
        TEST(objects_are_as_many_as_said),
        TEST(limits_and_switches),
        TEST(a_domain_s_end_takes_it_off),
        TEST(random_use_is_never_stale),
        TEST(a_scan_leaves_what_is_used),
        TEST(hits_are_not_fewer_than_of_the_least_recently_used),
        TEST(loops_are_not_lost),
        TEST(a_miss_costs_bounded_steps),
        TEST(known_pages_do_not_meet),
        TEST(another_start_has_another_hash),
        TEST(a_bucket_is_not_longer_than_it_may_be),
        TEST(the_gone_leave_room_for_accounts),
        TEST(the_audit_finds_a_frame_that_is_not_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
