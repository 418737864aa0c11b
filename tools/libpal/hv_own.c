/* SPDX-License-Identifier: MIT */
#include "libpal/hv_own.h"

#include <errno.h>
#include <string.h>

#include "abi/pal.h"
#include "libpal/hv_buffer.h"

long pal_hv_own(struct pal_hv *hv, unsigned cmd, void *arg, size_t size, struct pal_error *e)
{
    void *buffer = pal_hv_buffer(hv, size, e);
    long rc;

    if (!buffer) {
        errno = ENOMEM;
        return -1;
    }
    memcpy(buffer, arg, size);
    rc = xencall2L(hv->call, __HYPERVISOR_pal_op, cmd, (uintptr_t)buffer);
    memcpy(arg, buffer, size);
    pal_hv_buffer_free(hv, buffer);
    return rc;
}

int pal_hv_memory(struct pal_hv *hv, struct pal_hv_memory *m, struct pal_error *e)
{
    struct pal_stats s = {0};

    if (pal_hv_own(hv, PALOP_stats, &s, sizeof(s), e) < 0)
        return pal_hv_refused(e, "to tell of its memory");
    m->machine = s.ram_frames << 2;
    m->tables = s.table_frames << 2;
    m->managed = s.total_frames << 2;
    m->image = m->machine - m->tables - m->managed;
    m->heap = s.heap_frames << 2;
    m->regions = s.region_frames << 2;
    m->free = s.free_frames << 2;
    m->cached = s.cached_frames << 2;
    return 0;
}
