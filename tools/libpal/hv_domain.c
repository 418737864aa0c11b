/* SPDX-License-Identifier: MIT */
/* Control operations on one domain, and the list of all. */
#include "libpal/hv.h"
#include "libpal/hv_buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* As many event channels as the two-level form has for a 64-bit guest, less port 0. */
#define LAST_PORT 4095

static int simple(struct pal_hv *hv, uint32_t cmd, uint32_t domain, const char *what,
                  struct pal_error *e)
{
    struct xen_domctl op = {.cmd = cmd, .domain = (domid_t)domain};

    return pal_domctl(hv, &op, what, e);
}

int pal_domain_create(struct pal_hv *hv, const struct pal_new_domain *n, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_createdomain};
    struct xen_domctl_createdomain *c = &op.u.createdomain;
    struct xen_domctl vcpus = {.cmd = XEN_DOMCTL_max_vcpus};

    memcpy(c->handle, n->uuid, sizeof(c->handle));
    c->max_vcpus = n->vcpus;
    c->max_evtchn_port = LAST_PORT;
    c->max_grant_frames = -1; /* the hypervisor's own limits */
    c->max_maptrack_frames = -1;
    c->grant_opts = XEN_DOMCTL_GRANT_version(1);
    if (pal_domctl(hv, &op, "a new domain", e) < 0)
        return -1;
    vcpus.domain = op.domain;
    vcpus.u.max_vcpus.max = n->vcpus;
    if (pal_domctl(hv, &vcpus, "that many virtual CPUs", e) < 0 ||
        pal_domain_max_memory(hv, op.domain, n->max_kib, e) < 0) {
        struct pal_error ignored = {0};

        pal_domain_destroy(hv, op.domain, &ignored);
        return -1;
    }
    return op.domain;
}

int pal_domain_destroy(struct pal_hv *hv, uint32_t domain, struct pal_error *e)
{
    return simple(hv, XEN_DOMCTL_destroydomain, domain, "to destroy the domain", e);
}

int pal_domain_pause(struct pal_hv *hv, uint32_t domain, struct pal_error *e)
{
    return simple(hv, XEN_DOMCTL_pausedomain, domain, "to pause the domain", e);
}

int pal_domain_unpause(struct pal_hv *hv, uint32_t domain, struct pal_error *e)
{
    return simple(hv, XEN_DOMCTL_unpausedomain, domain, "to let the domain run", e);
}

int pal_domain_max_memory(struct pal_hv *hv, uint32_t domain, uint64_t kib, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_max_mem, .domain = (domid_t)domain};

    op.u.max_mem.max_memkb = kib;
    return pal_domctl(hv, &op, "that limit of memory", e);
}

int pal_domain_set_context(struct pal_hv *hv, uint32_t domain, unsigned vcpu,
                           const vcpu_guest_context_t *context, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_setvcpucontext, .domain = (domid_t)domain};
    vcpu_guest_context_t *buffer = pal_hv_buffer(hv, sizeof(*buffer), e);
    int rc;

    if (!buffer)
        return -1;
    *buffer = *context;
    op.u.vcpucontext.vcpu = vcpu;
    set_xen_guest_handle(op.u.vcpucontext.ctxt, buffer);
    rc = pal_domctl(hv, &op, "the start state of the first virtual CPU", e);
    pal_hv_buffer_free(hv, buffer);
    return rc;
}

int pal_domain_info(struct pal_hv *hv, uint32_t domain, struct xen_domctl_getdomaininfo *info,
                    struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_getdomaininfo, .domain = (domid_t)domain};

    if (pal_domctl(hv, &op, "to describe the domain", e) < 0)
        return -1;
    /* The operation finds the next higher number when there is none of this one. */
    if (op.u.getdomaininfo.domain != domain)
        return pal_fail(e, PAL_DOM_UNKNOWN, "there is no domain number %u", domain);
    *info = op.u.getdomaininfo;
    return 0;
}

#define LIST_CHUNK 256u

/* One call's worth from `first` on, appended. Returns how many, or -1. */
static int list_chunk(struct pal_hv *hv, struct xen_domctl_getdomaininfo *buffer, domid_t first,
                      struct pal_error *e)
{
    struct xen_sysctl op = {.cmd = XEN_SYSCTL_getdomaininfolist};

    op.u.getdomaininfolist.first_domain = first;
    op.u.getdomaininfolist.max_domains = LIST_CHUNK;
    set_xen_guest_handle(op.u.getdomaininfolist.buffer, buffer);
    if (pal_sysctl(hv, &op, "to list the domains", e) < 0)
        return -1;
    if (op.u.getdomaininfolist.num_domains > LIST_CHUNK)
        return pal_fail(e, PAL_HV_REFUSED,
                        "the hypervisor lists more domains than it was asked for");
    return (int)op.u.getdomaininfolist.num_domains;
}

int pal_domain_list(struct pal_hv *hv, struct xen_domctl_getdomaininfo **list, struct pal_error *e)
{
    struct xen_domctl_getdomaininfo *buffer, *all = NULL, *larger;
    int count = 0, got;
    unsigned first = 0;

    buffer = pal_hv_buffer(hv, LIST_CHUNK * sizeof(*buffer), e);
    if (!buffer)
        return -1;
    do {
        got = list_chunk(hv, buffer, (domid_t)first, e);
        if (got < 0)
            break;
        larger = realloc(all, (size_t)(count + got + 1) * sizeof(*all));
        if (!larger) {
            got = pal_fail(e, PAL_SYS_FAILED, "out of memory");
            break;
        }
        all = larger;
        memcpy(all + count, buffer, (size_t)got * sizeof(*all));
        count += got;
        if (got)
            first = buffer[got - 1].domain + 1u;
    } while (got == (int)LIST_CHUNK && first < DOMID_FIRST_RESERVED);
    pal_hv_buffer_free(hv, buffer);
    if (got < 0) {
        free(all);
        return -1;
    }
    *list = all;
    return count;
}

int pal_vcpu_info(struct pal_hv *hv, uint32_t domain, unsigned vcpu,
                  struct xen_domctl_getvcpuinfo *info, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_getvcpuinfo, .domain = (domid_t)domain};

    op.u.getvcpuinfo.vcpu = vcpu;
    if (pal_domctl(hv, &op, "to describe a virtual CPU", e) < 0)
        return -1;
    *info = op.u.getvcpuinfo;
    return 0;
}

/* The scheduler's number is asked for: it must be named in each operation. */
static int schedule(struct pal_hv *hv, uint32_t domain, uint32_t cmd, unsigned *weight,
                    unsigned *cap, struct pal_error *e)
{
    struct xen_sysctl id = {.cmd = XEN_SYSCTL_sched_id};
    struct xen_domctl op = {.cmd = XEN_DOMCTL_scheduler_op, .domain = (domid_t)domain};

    if (pal_sysctl(hv, &id, "to name its scheduler", e) < 0)
        return -1;
    op.u.scheduler_op.sched_id = id.u.sched_id.sched_id;
    op.u.scheduler_op.cmd = cmd;
    op.u.scheduler_op.u.credit2.weight = (uint16_t)*weight;
    op.u.scheduler_op.u.credit2.cap = (uint16_t)*cap;
    if (pal_domctl(hv, &op, "weight or cap", e) < 0)
        return -1;
    *weight = op.u.scheduler_op.u.credit2.weight;
    *cap = op.u.scheduler_op.u.credit2.cap;
    return 0;
}

int pal_domain_get_schedule(struct pal_hv *hv, uint32_t domain, unsigned *weight, unsigned *cap,
                            struct pal_error *e)
{
    *weight = *cap = 0;
    return schedule(hv, domain, XEN_DOMCTL_SCHEDOP_getinfo, weight, cap, e);
}

int pal_domain_set_schedule(struct pal_hv *hv, uint32_t domain, unsigned weight, unsigned cap,
                            struct pal_error *e)
{
    return schedule(hv, domain, XEN_DOMCTL_SCHEDOP_putinfo, &weight, &cap, e);
}
