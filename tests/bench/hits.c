/* SPDX-License-Identifier: MIT */
/*
 * In domain 0: what a page out of the hypervisor's buffer cache costs, and one into it, beside a plain copy of a page. The page
 * copied to is domain 0's own, granted to itself, so that nothing but the call is counted. Lines: BENCH ROW nanoseconds a page.
 *
 * Link with -lxencall.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <xen/xen.h>
#include <xencall.h>
#include <xen/sys/gntalloc.h>

#include "../../hv/include/abi/pal.h"
#include "program.h"

enum { PAGES = PAL_CACHE_BATCH, REPEATS = 10, PAGE = 4096 };

static xencall_handle *call;

static void *buffer(size_t size)
{
    void *p = xencall_alloc_buffer_pages(call, (size + PAGE - 1) / PAGE);

    if (!p)
        fail("buffer");
    memset(p, 0, size);
    return p;
}

static long pal(unsigned cmd, void *arg)
{
    return xencall2(call, __HYPERVISOR_pal_op, cmd, (uintptr_t)arg);
}

static uint32_t own_grant(void)
{
    struct ioctl_gntalloc_alloc_gref a = {.domid = 0, .flags = GNTALLOC_FLAG_WRITABLE, .count = 1};
    int fd = open("/dev/xen/gntalloc", O_RDWR);

    if (fd < 0 || ioctl(fd, IOCTL_GNTALLOC_ALLOC_GREF, &a))
        fail("gntalloc");
    return a.gref_ids[0];
}

static void copy_page(void *to, const void *from)
{
    size_t words = PAGE / 8;

    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

struct lists {
    struct pal_cache_list list;
    struct pal_cache_drop drop;
    union {
        struct pal_cache_page page[PAGES];
        struct pal_cache_copy copy[PAGES];
    };
};

static uint32_t object(void)
{
    struct pal_cache_object *o = buffer(sizeof(*o));
    struct pal_cache_reader *r = buffer(sizeof(*r));
    long number;

    *o = (struct pal_cache_object){.name = {1, 1}, .pages = PAGES};
    number = pal(PALOP_cache_object, o);
    *r = (struct pal_cache_reader){.object = (uint32_t)number, .domain = 0, .allow = 1};
    if (number < 0 || pal(PALOP_cache_reader, r))
        fail("object");
    return (uint32_t)number;
}

static uint64_t insert(struct lists *l, uint32_t number, uint8_t *bytes)
{
    uint64_t start;

    l->drop = (struct pal_cache_drop){.object = number};
    if (pal(PALOP_cache_drop, &l->drop))
        fail("drop");
    for (unsigned i = 0; i < PAGES; i++)
        l->page[i] = (struct pal_cache_page){.page = i, .address = (uintptr_t)(bytes + i * PAGE)};
    l->list = (struct pal_cache_list){
        .object = number, .domain = PAL_CACHE_NOBODY, .count = PAGES, .list = (uintptr_t)l->page};
    start = now_ns();
    if (pal(PALOP_cache_insert, &l->list) != PAGES || l->page[PAGES - 1].status)
        fail("insert");
    return now_ns() - start;
}

static uint64_t hit(struct lists *l, uint32_t number, uint32_t ref)
{
    uint64_t start;

    for (unsigned i = 0; i < PAGES; i++)
        l->copy[i] = (struct pal_cache_copy){.page = i, .ref = ref, .length = PAGE};
    l->list = (struct pal_cache_list){
        .object = number, .domain = 0, .count = PAGES, .list = (uintptr_t)l->copy};
    start = now_ns();
    if (pal(PALOP_cache_copy, &l->list) != PAGES || l->copy[PAGES - 1].status)
        fail("copy");
    return now_ns() - start;
}

int main(void)
{
    uint64_t in = UINT64_MAX, out = UINT64_MAX, plain = UINT64_MAX;
    uint32_t ref, number;
    struct lists *l;
    uint8_t *bytes;

    call = xencall_open(NULL, 0);
    if (!call)
        fail("xencall");
    ref = own_grant();
    number = object();
    l = buffer(sizeof(*l));
    bytes = buffer(PAGES * PAGE);
    for (unsigned round = 0; round < REPEATS; round++) {
        uint64_t took = insert(l, number, bytes), start;

        in = took < in ? took : in;
        took = hit(l, number, ref);
        out = took < out ? took : out;
        start = now_ns();
        for (unsigned i = 1; i <= PAGES; i++)
            copy_page(bytes, bytes + i % PAGES * PAGE);
        took = now_ns() - start;
        plain = took < plain ? took : plain;
    }
    printf("BENCH page_copy %llu\nBENCH cache_hit %llu\nBENCH cache_insert %llu\n",
           (unsigned long long)plain / PAGES, (unsigned long long)out / PAGES,
           (unsigned long long)in / PAGES);
    l->drop = (struct pal_cache_drop){.object = number, .retire = 1};
    return pal(PALOP_cache_drop, &l->drop) != 0;
}
