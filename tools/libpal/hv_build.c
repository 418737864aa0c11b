/* SPDX-License-Identifier: MIT */
/* What a domain being built needs of the hypervisor: memory, tables, events, grants. */
#include "libpal/hv.h"
#include "libpal/hv_buffer.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/event_channel.h>
#include <xen/grant_table.h>

long pal_populate(struct pal_hv *hv, uint32_t domain, uint64_t first, unsigned long count,
                  unsigned order, xen_pfn_t *mfns, struct pal_error *e)
{
    struct xen_memory_reservation *r;
    xen_pfn_t *extents;
    long got = -1;

    r = pal_hv_buffer(hv, sizeof(*r), e);
    if (!r)
        return -1;
    extents = pal_hv_buffer(hv, count * sizeof(*extents), e);
    if (!extents)
        goto out;
    for (unsigned long i = 0; i < count; i++)
        extents[i] = first + (i << order);
    set_xen_guest_handle(r->extent_start, extents);
    r->nr_extents = count;
    r->extent_order = order;
    r->domid = (domid_t)domain;
    got = xencall2L(hv->call, __HYPERVISOR_memory_op, XENMEM_populate_physmap, (uintptr_t)r);
    if (got < 0) {
        pal_hv_refused(e, "memory for the domain");
        goto out;
    }
    if ((unsigned long)got > count)
        got = (long)count;
    memcpy(mfns, extents, (size_t)got * sizeof(*mfns));
out:
    pal_hv_buffer_free(hv, extents);
    pal_hv_buffer_free(hv, r);
    return got;
}

#define MAP_RAM 1 /* the firmware's type of it */

struct map_entry {
    uint64_t start, size;
    uint32_t type;
} __attribute__((packed));

void pal_set_memory_map(struct pal_hv *hv, uint32_t domain, uint64_t bytes)
{
    struct pal_error ignored = {0};
    struct xen_foreign_memory_map *map = pal_hv_buffer(hv, sizeof(*map), &ignored);
    struct map_entry *entry = pal_hv_buffer(hv, sizeof(*entry), &ignored);

    if (map && entry) {
        *entry = (struct map_entry){0, bytes, MAP_RAM};
        map->domid = (domid_t)domain;
        map->map.nr_entries = 1;
        set_xen_guest_handle(map->map.buffer, entry);
        xencall2(hv->call, __HYPERVISOR_memory_op, XENMEM_set_memory_map, (uintptr_t)map);
    }
    pal_hv_buffer_free(hv, entry);
    pal_hv_buffer_free(hv, map);
}

int pal_hypercall_page(struct pal_hv *hv, uint32_t domain, uint64_t mfn, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_hypercall_init, .domain = (domid_t)domain};

    op.u.hypercall_init.gmfn = mfn;
    return pal_domctl(hv, &op, "the page of hypercalls", e) < 0 ? -1 : 0;
}

int pal_pin_top_table(struct pal_hv *hv, uint32_t domain, uint64_t mfn, struct pal_error *e)
{
    struct mmuext_op *op = pal_hv_buffer(hv, sizeof(*op), e);
    int rc;

    if (!op)
        return -1;
    op->cmd = MMUEXT_PIN_L4_TABLE;
    op->arg1.mfn = mfn;
    rc = xencall4(hv->call, __HYPERVISOR_mmuext_op, (uintptr_t)op, 1, 0, domain);
    pal_hv_buffer_free(hv, op);
    return rc < 0 ? pal_hv_refused(e, "the domain's first page tables") : 0;
}

int pal_event_unbound(struct pal_hv *hv, uint32_t domain, uint32_t *port, struct pal_error *e)
{
    struct evtchn_alloc_unbound *op = pal_hv_buffer(hv, sizeof(*op), e);
    int rc;

    if (!op)
        return -1;
    op->dom = (domid_t)domain;
    op->remote_dom = 0;
    rc = xencall2(hv->call, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, (uintptr_t)op);
    *port = op->port;
    pal_hv_buffer_free(hv, op);
    return rc < 0 ? pal_hv_refused(e, "an event channel of the domain") : 0;
}

/* The older way to the table: its frame's number, mapped like any frame of the domain. */
static grant_entry_v1_t *map_table_by_frame(struct pal_hv *hv, uint32_t domain, struct pal_error *e)
{
    struct gnttab_setup_table *op = pal_hv_buffer(hv, sizeof(*op), e);
    xen_pfn_t *frame = pal_hv_buffer(hv, sizeof(*frame), e);
    grant_entry_v1_t *table = NULL;
    int rc;

    if (!op || !frame)
        goto out;
    op->dom = (domid_t)domain;
    op->nr_frames = 1;
    set_xen_guest_handle(op->frame_list, frame);
    rc = xencall3(hv->call, __HYPERVISOR_grant_table_op, GNTTABOP_setup_table, (uintptr_t)op, 1);
    if (rc < 0 || op->status != GNTST_okay) {
        pal_fail(e, PAL_HV_REFUSED, "the hypervisor refused the domain's grant table: %d/%d",
                 rc < 0 ? errno : 0, op->status);
        goto out;
    }
    table = xenforeignmemory_map(hv->memory, domain, PROT_READ | PROT_WRITE, 1, frame, NULL);
    if (!table)
        pal_fail(e, PAL_HV_REFUSED, "the domain's grant table cannot be mapped: %s",
                 strerror(errno));
out:
    pal_hv_buffer_free(hv, frame);
    pal_hv_buffer_free(hv, op);
    return table;
}

static void seed(grant_entry_v1_t *table, const struct pal_grant *grants, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        table[grants[i].ref].domid = 0;
        table[grants[i].ref].frame = (uint32_t)grants[i].mfn;
        table[grants[i].ref].flags = GTF_permit_access;
    }
}

int pal_grants_seed(struct pal_hv *hv, uint32_t domain, const struct pal_grant *grants,
                    unsigned count, struct pal_error *e)
{
    xenforeignmemory_resource_handle *resource;
    grant_entry_v1_t *table;
    void *at = NULL;

    resource = xenforeignmemory_map_resource(
        hv->memory, (domid_t)domain, XENMEM_resource_grant_table,
        XENMEM_resource_grant_table_id_shared, 0, 1, &at, PROT_READ | PROT_WRITE, 0);
    if (resource) {
        seed(at, grants, count);
        xenforeignmemory_unmap_resource(hv->memory, resource);
        return 0;
    }
    table = map_table_by_frame(hv, domain, e);
    if (!table)
        return -1;
    seed(table, grants, count);
    xenforeignmemory_unmap(hv->memory, table, 1);
    return 0;
}
