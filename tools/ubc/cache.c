/* SPDX-License-Identifier: MIT */
/*
 * Lists and pages that the hypervisor reads lie in memory that libxencall keeps in place. An old hypervisor has no
 * cache (-ENOSYS); that is asked for once.
 */
#include "cache.h"
#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <xencall.h>

#include "abi/pal.h"

#define PAGE        4096u
#define INSERT_MOST 16u

_Static_assert(CACHE_BATCH <= PAL_CACHE_BATCH, "one call");

static xencall_handle *handle;
static bool absent;

/* For the hypervisor's eyes. */
static struct memory {
    union {
        struct pal_cache_object object;
        struct pal_cache_reader reader;
        struct pal_cache_drop drop;
        struct pal_cache_list list;
    };
    union {
        struct pal_cache_copy copy[CACHE_BATCH];
        struct pal_cache_page page[INSERT_MOST];
    };
} * memory;
static uint8_t *pages; /* INSERT_MOST of them */

int cache_open(void)
{
    handle = xencall_open(NULL, 0);
    if (!handle)
        return -1;
    memory = xencall_alloc_buffer_pages(handle, (sizeof(*memory) + PAGE - 1) / PAGE);
    pages = xencall_alloc_buffer_pages(handle, INSERT_MOST);
    return memory && pages ? 0 : -1;
}

static long call(unsigned command, void *argument)
{
    int rc;

    if (absent)
        return -ENOSYS;
    rc = xencall2(handle, __HYPERVISOR_pal_op, command, (uintptr_t)argument);
    if (rc >= 0)
        return rc;
    if (errno == ENOSYS) {
        absent = true;
        fprintf(stderr, "pal-blkd: the hypervisor has no buffer cache\n");
    }
    return -errno;
}

uint32_t cache_object(const uint64_t name[2], uint64_t count)
{
    long rc;

    memory->object = (struct pal_cache_object){{name[0], name[1]}, count};
    rc = call(PALOP_cache_object, &memory->object);
    return rc < 0 ? CACHE_NONE : (uint32_t)rc;
}

void cache_retire(uint32_t object)
{
    memory->drop = (struct pal_cache_drop){object, 1};
    call(PALOP_cache_drop, &memory->drop);
}

void cache_reader(uint32_t object, uint32_t domain, bool allow)
{
    memory->reader = (struct pal_cache_reader){object, domain, allow, 0};
    call(PALOP_cache_reader, &memory->reader);
}

int cache_copy(uint32_t object, uint32_t domain, struct cache_piece *list, unsigned count)
{
    long rc;

    if (absent)
        return -ENOSYS;
    memory->list = (struct pal_cache_list){object, domain, count, 0, (uintptr_t)memory->copy};
    for (unsigned i = 0; i < count; i++) {
        memory->copy[i] = (struct pal_cache_copy){.page = list[i].page,
                                                  .ref = list[i].ref,
                                                  .start = list[i].start,
                                                  .offset = list[i].offset,
                                                  .length = list[i].length,
                                                  .status = -ENOENT};
    }
    rc = call(PALOP_cache_copy, &memory->list);
    for (unsigned i = 0; i < count; i++)
        list[i].status = (long)i < rc ? memory->copy[i].status : -ENOENT;
    return (int)rc;
}

int cache_insert(uint32_t object, uint32_t domain, uint64_t page, unsigned count,
                 const uint8_t *data)
{
    while (count && !absent) {
        unsigned now = count < INSERT_MOST ? count : INSERT_MOST;
        long rc;

        memcpy(pages, data, now * PAGE);
        memory->list = (struct pal_cache_list){object, domain, now, 0, (uintptr_t)memory->page};
        for (unsigned i = 0; i < now; i++)
            memory->page[i] =
                (struct pal_cache_page){page + i, (uintptr_t)(pages + i * PAGE), 0, 0};
        rc = call(PALOP_cache_insert, &memory->list);
        if (rc < 0)
            return (int)rc;
        data += now * PAGE;
        page += now;
        count -= now;
    }
    return 0;
}
