/* SPDX-License-Identifier: MIT */
#include "libpal/hv_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/pal.h"
#include "libpal/hv_buffer.h"

static void take(const struct pal_cache_info *i, struct pal_cache *c)
{
    *c = (struct pal_cache){
        .object = i->object,
        .domain = i->domain,
        .name = {i->name[0], i->name[1]},
        .object_pages = i->object_pages,
        .readers = i->readers,
        .off = i->off,
        .limit = i->limit,
        .pages = i->counts.pages,
        .hits = i->counts.hits,
        .misses = i->counts.misses,
        .inserts = i->counts.inserts,
        .evictions = i->counts.evictions,
        .taken = i->counts.taken,
        .bytes = i->counts.bytes,
    };
}

int pal_hv_cache(struct pal_hv *hv, struct pal_cache *all, struct pal_error *e)
{
    struct pal_cache_info i = {.object = PAL_CACHE_ALL, .domain = PAL_CACHE_ALL};

    if (pal_hv_own(hv, PALOP_cache_info, &i, sizeof(i), e) < 0)
        return pal_hv_refused(e, "to tell of its buffer cache");
    take(&i, all);
    return 0;
}

/* All from i on, in the field that `at` points to, which is in i. */
static int list(struct pal_hv *hv, struct pal_cache_info *i, uint32_t *at, struct pal_cache **list,
                struct pal_error *e)
{
    int count = 0;

    *list = NULL;
    while (pal_hv_own(hv, PALOP_cache_info, i, sizeof(*i), e) >= 0) {
        struct pal_cache *more = realloc(*list, ((size_t)count + 1) * sizeof(**list));

        if (!more) {
            free(*list);
            return pal_fail(e, PAL_SYS_FAILED, "out of memory");
        }
        *list = more;
        take(i, &more[count++]);
        ++*at;
    }
    if (errno == ENOENT)
        return count;
    free(*list);
    *list = NULL;
    return pal_hv_refused(e, "to tell of its buffer cache");
}

int pal_hv_cache_objects(struct pal_hv *hv, struct pal_cache **all, struct pal_error *e)
{
    struct pal_cache_info i = {.domain = PAL_CACHE_ALL};

    return list(hv, &i, &i.object, all, e);
}

int pal_hv_cache_domains(struct pal_hv *hv, struct pal_cache **all, struct pal_error *e)
{
    struct pal_cache_info i = {.object = PAL_CACHE_ALL};

    return list(hv, &i, &i.domain, all, e);
}

int pal_hv_cache_drop(struct pal_hv *hv, uint32_t object, struct pal_error *e)
{
    struct pal_cache_drop d = {.object = object};

    if (pal_hv_own(hv, PALOP_cache_drop, &d, sizeof(d), e) < 0 && errno != ENOENT)
        return pal_hv_refused(e, "to drop cached pages");
    return 0;
}

int pal_hv_cache_limit(struct pal_hv *hv, uint32_t domain, bool off, uint64_t pages,
                       struct pal_error *e)
{
    struct pal_cache_limit l = {.domain = domain, .off = off, .pages = pages};

    if (pal_hv_own(hv, PALOP_cache_limit, &l, sizeof(l), e) < 0)
        return pal_hv_refused(e, "to limit the buffer cache");
    return 0;
}

int pal_hv_cache_object(struct pal_hv *hv, const uint64_t name[2], uint64_t pages, uint32_t *object,
                        struct pal_error *e)
{
    struct pal_cache_object o = {.name = {name[0], name[1]}, .pages = pages};
    long rc = pal_hv_own(hv, PALOP_cache_object, &o, sizeof(o), e);

    if (rc < 0)
        return pal_hv_refused(e, "to cache another image");
    *object = (uint32_t)rc;
    return 0;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* Sorted, each once. */
static long settle(uint32_t *list, long count)
{
    long kept = 0;

    qsort(list, (size_t)count, sizeof(*list), ascending);
    for (long i = 0; i < count; i++) {
        if (!kept || list[i] != list[kept - 1])
            list[kept++] = list[i];
    }
    return kept;
}

long pal_hv_cache_pages(struct pal_hv *hv, uint32_t object, uint32_t **pages, struct pal_error *e)
{
    const uint32_t room = 16384;
    struct pal_cache_pages a = {.object = object, .room = room};
    uint32_t *some = pal_hv_buffer(hv, room * sizeof(*some), e);
    long count = 0, n = some ? 0 : -1;

    *pages = NULL;
    a.list = (uintptr_t)some;
    while (n >= 0 && a.next != UINT64_MAX) {
        n = pal_hv_own(hv, PALOP_cache_pages, &a, sizeof(a), e);
        if (n < 0) {
            pal_hv_refused(e, "to tell which pages are cached");
            break;
        }
        uint32_t *more = realloc(*pages, ((size_t)(count + n) + 1) * sizeof(*more));

        if (!more) {
            n = pal_fail(e, PAL_SYS_FAILED, "out of memory");
            break;
        }
        *pages = more;
        memcpy(more + count, some, (size_t)n * sizeof(*more));
        count += n;
    }
    pal_hv_buffer_free(hv, some);
    if (n >= 0)
        return settle(*pages, count);
    free(*pages);
    *pages = NULL;
    return -1;
}

int pal_hv_cache_insert(struct pal_hv *hv, uint32_t object, uint64_t first, unsigned count,
                        const void *bytes, struct pal_error *e)
{
    struct {
        struct pal_cache_list list;
        struct pal_cache_page page[PAL_CACHE_PIECE];
        uint8_t bytes[];
    } *b = pal_hv_buffer(hv, sizeof(*b) + PAL_CACHE_PIECE * PAL_PAGE_SIZE, e);
    int there = 0;
    long rc;

    if (!b)
        return -1;
    b->list = (struct pal_cache_list){
        .object = object, .domain = PAL_CACHE_NOBODY, .count = count, .list = (uintptr_t)b->page};
    memcpy(b->bytes, bytes, count * PAL_PAGE_SIZE);
    for (unsigned i = 0; i < count; i++)
        b->page[i] = (struct pal_cache_page){.page = first + i,
                                             .address = (uintptr_t)(b->bytes + i * PAL_PAGE_SIZE)};
    rc = xencall2L(hv->call, __HYPERVISOR_pal_op, PALOP_cache_insert, (uintptr_t)b);
    for (long i = 0; i < rc; i++)
        there += b->page[i].status == 0 || b->page[i].status == -EEXIST;
    pal_hv_buffer_free(hv, b);
    return rc < 0 ? pal_hv_refused(e, "to cache pages") : there;
}
