/* SPDX-License-Identifier: MIT */
#include "libpal/hv_own.h"

#include "abi/pal.h"
#include "libpal/hv_buffer.h"

int pal_hv_memory(struct pal_hv *hv, struct pal_hv_memory *m, struct pal_error *e)
{
    struct pal_stats *s = pal_hv_buffer(hv, sizeof(*s), e);
    int rc;

    if (!s)
        return -1;
    rc = xencall2(hv->call, __HYPERVISOR_pal_op, PALOP_stats, (uintptr_t)s);
    if (rc < 0) {
        pal_hv_refused(e, "to tell of its memory");
    } else {
        m->machine = s->ram_frames << 2;
        m->tables = s->table_frames << 2;
        m->managed = s->total_frames << 2;
        m->image = m->machine - m->tables - m->managed;
        m->heap = s->heap_frames << 2;
        m->regions = s->region_frames << 2;
        m->free = s->free_frames << 2;
        m->cached = s->cached_frames << 2;
    }
    pal_hv_buffer_free(hv, s);
    return rc < 0 ? -1 : 0;
}
