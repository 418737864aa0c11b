/* SPDX-License-Identifier: MIT */
#include "builder/guest_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libpal/interrupt.h"

#define BIG_ORDER    9
#define BIG_PAGES    (1ul << BIG_ORDER)
#define CALL_EXTENTS 1024ul /* a call, so that its data stay small */
#define CALL_BIG     4ul /* of large ones: this CPU's kernel gets no interrupt before the call ends */
#define WINDOW_PAGES 4096ul /* 16 MiB */

static unsigned long least(unsigned long a, unsigned long b)
{
    return a < b ? a : b;
}

/* Extents of the order from *done on, until there is no more room for one or no more memory. */
static int populate(struct guest_memory *m, uint64_t *done, unsigned order, struct pal_error *e)
{
    xen_pfn_t extents[CALL_EXTENTS];

    while ((m->pages - *done) >> order) {
        unsigned long want =
            least((m->pages - *done) >> order, order == BIG_ORDER ? CALL_BIG : CALL_EXTENTS);
        long got = pal_populate(m->hv, m->domain, *done, want, order, extents, e);

        if (got < 0 || pal_interrupt_check(e))
            return -1;
        pal_progress_add(m->progress, (uint64_t)got << order << PAL_PAGE_SHIFT);
        for (long i = 0; i < got; i++) {
            for (unsigned long j = 0; j < 1ul << order; j++)
                m->mfn[(*done)++] = extents[i] + j;
        }
        if ((unsigned long)got < want)
            return 0;
    }
    return 0;
}

int guest_memory_make(struct guest_memory *m, struct pal_error *e)
{
    struct pal_error no_big = {0};
    uint64_t done = 0;

    m->mfn = calloc(m->pages, sizeof(*m->mfn));
    if (!m->mfn)
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    /* Large extents are only quicker: what they do not give, single pages do. */
    populate(m, &done, BIG_ORDER, &no_big);
    if (populate(m, &done, 0, e))
        return -1;
    if (done < m->pages)
        return pal_fail(e, PAL_MEM_HOST, "the machine has %llu MiB left of the %llu MiB wanted",
                        (unsigned long long)done >> 8, (unsigned long long)m->pages >> 8);
    return 0;
}

void guest_memory_free(struct guest_memory *m)
{
    free(m->mfn);
    m->mfn = NULL;
}

void *guest_memory_map(struct guest_memory *m, uint64_t pfn, uint64_t count, struct pal_error *e)
{
    void *at;

    if (pfn >= m->pages || count > m->pages - pfn) {
        pal_fail(e, PAL_MEM_GUEST, "the domain's memory ends before what must be put into it");
        return NULL;
    }
    at = xenforeignmemory_map(m->hv->memory, m->domain, PROT_READ | PROT_WRITE, count, m->mfn + pfn,
                              NULL);
    if (!at)
        pal_fail(e, PAL_HV_REFUSED, "the domain's memory cannot be mapped: %s", strerror(errno));
    return at;
}

void guest_memory_unmap(struct guest_memory *m, void *at, uint64_t count)
{
    xenforeignmemory_unmap(m->hv->memory, at, count);
}

int guest_memory_write(struct guest_memory *m, uint64_t paddr, const void *data, uint64_t size,
                       uint64_t room, struct pal_error *e)
{
    uint64_t done = 0;

    while (done < room) {
        uint64_t pfn = (paddr + done) >> PAL_PAGE_SHIFT, in_page = (paddr + done) % PAL_PAGE_SIZE;
        uint64_t left = room - done, bytes = least(left, WINDOW_PAGES * PAL_PAGE_SIZE - in_page);
        uint64_t copied = done < size ? least(size - done, bytes) : 0;
        uint64_t count = (in_page + bytes + PAL_PAGE_SIZE - 1) >> PAL_PAGE_SHIFT;
        uint8_t *at = guest_memory_map(m, pfn, count, e);

        if (!at)
            return -1;
        memcpy(at + in_page, (const uint8_t *)data + done, copied);
        memset(at + in_page + copied, 0, bytes - copied);
        guest_memory_unmap(m, at, count);
        done += bytes;
        pal_progress_add(m->progress, bytes);
        if (pal_interrupt_check(e))
            return -1;
    }
    return 0;
}
