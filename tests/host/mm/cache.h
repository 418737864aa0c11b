/* SPDX-License-Identifier: MIT */
/* What the tests of the buffer cache build of: calls as domain 0 makes them, and pages whose content tells what they are. */
#ifndef TESTS_HOST_MM_CACHE_H
#define TESTS_HOST_MM_CACHE_H

#include "abi/pal.h"
#include "grants.h"
#include "mm/bufcache.h"

/* The pages that a test inserts stand in the second half of the guest buffer. */
#define CACHE_SOURCE (fake_buffer + FAKE_BUFFER / 2)

static inline struct pal_cache_list *cache_args(struct mm_vcpu *v)
{
    return args_of(v);
}
/* The list's entries stand behind it. */
static inline void *cache_entries(struct mm_vcpu *v)
{
    return (char *)args_of(v) + 64;
}

static inline long cache_object_of(uint64_t name, uint64_t pages)
{
    struct pal_cache_object *o = args_of(fake_v(0, 0));

    *o = (struct pal_cache_object){.name = {name, ~name}, .pages = pages};
    return mm_cache_op(fake_v(0, 0), PALOP_cache_object, fake_va(o));
}

static inline long cache_reader(long object, unsigned domain, bool allow)
{
    struct pal_cache_reader *r = args_of(fake_v(0, 0));

    *r = (struct pal_cache_reader){.object = (uint32_t)object, .domain = domain, .allow = allow};
    return mm_cache_op(fake_v(0, 0), PALOP_cache_reader, fake_va(r));
}

static inline long cache_drop_by(struct mm_vcpu *v, uint32_t object, bool retire)
{
    struct pal_cache_drop *d = args_of(v);

    *d = (struct pal_cache_drop){.object = object, .retire = retire};
    return mm_cache_op(v, PALOP_cache_drop, fake_va(d));
}

static inline long cache_limit(unsigned domain, bool off, uint64_t pages)
{
    struct pal_cache_limit *l = args_of(fake_v(0, 0));

    *l = (struct pal_cache_limit){.domain = domain, .off = off, .pages = pages};
    return mm_cache_op(fake_v(0, 0), PALOP_cache_limit, fake_va(l));
}

static inline long cache_info(uint32_t object, uint32_t domain, struct pal_cache_info *out)
{
    struct pal_cache_info *i = args_of(fake_v(0, 0));
    long rc;

    *i = (struct pal_cache_info){.object = object, .domain = domain};
    rc = mm_cache_op(fake_v(0, 0), PALOP_cache_info, fake_va(i));
    *out = *i;
    return rc;
}

/* Every word of a page tells object (by name) and page. */
static inline uint64_t content(uint64_t name, uint64_t page)
{
    return name << 32 | page << 8 | 0x5a;
}

static inline void fill_source(unsigned at, uint64_t name, uint64_t page)
{
    uint64_t *w = (void *)(CACHE_SOURCE + at * PAGE_SIZE);

    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        w[i] = content(name, page);
}

/* Insert one page by v, from place `at` of the source; its status, or the call's error. */
static inline long cache_insert_by(struct mm_vcpu *v, unsigned at, long object, uint64_t page,
                                   unsigned domain)
{
    struct pal_cache_list *l = cache_args(v);
    struct pal_cache_page *p = cache_entries(v);
    long rc;

    *p = (struct pal_cache_page){
        .page = page, .address = fake_va(CACHE_SOURCE + at * PAGE_SIZE), .status = 99};
    *l = (struct pal_cache_list){
        .object = (uint32_t)object, .domain = domain, .count = 1, .list = fake_va(p)};
    rc = mm_cache_op(v, PALOP_cache_insert, fake_va(l));
    return rc == 1 ? p->status : rc;
}

static inline long cache_put(uint64_t name, long object, uint64_t page)
{
    fill_source(0, name, page);
    return cache_insert_by(fake_v(0, 0), 0, object, page, PAL_CACHE_NOBODY);
}

/* Copy a page to the frame that `domain` granted as `ref`; its status, or the call's error. */
static inline long cache_copy_by(struct mm_vcpu *v, long object, uint64_t page, unsigned domain,
                                 uint32_t ref)
{
    struct pal_cache_list *l = cache_args(v);
    struct pal_cache_copy *c = cache_entries(v);
    long rc;

    *c = (struct pal_cache_copy){.page = page, .ref = ref, .length = PAGE_SIZE, .status = 99};
    *l = (struct pal_cache_list){
        .object = (uint32_t)object, .domain = domain, .count = 1, .list = fake_va(c)};
    rc = mm_cache_op(v, PALOP_cache_copy, fake_va(l));
    return rc == 1 ? c->status : rc;
}

static inline bool page_is(mfn_t m, uint64_t word)
{
    const uint64_t *w = env_frame(m);

    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        if (w[i] != word)
            return false;
    return true;
}

#endif
