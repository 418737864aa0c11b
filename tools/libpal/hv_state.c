/* SPDX-License-Identifier: MIT */
#include "libpal/hv_state.h"
#include "libpal/hv_buffer.h"

#include "abi/pal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_A_CALL 1024u
#define PINS_A_CALL   256u
#define EXTENDED_MOST 65536u /* bytes; no processor has more */

/* ---- frames ---- */

static struct pal_own_frame frame_of(const struct pal_owned *o)
{
    bool table = o->role >= PAL_ROLE_l1 && o->role <= PAL_ROLE_l4 && o->flags & PAL_FRAME_validated;

    return (struct pal_own_frame){o->mfn, o->gfn, table ? o->role - PAL_ROLE_l1 + 1 : 0,
                                  table && o->flags & PAL_FRAME_pinned};
}

static int visit_all(struct pal_hv *hv, struct pal_frames *call, const struct pal_owned *list,
                     pal_frame_visit visit, void *data, struct pal_error *e)
{
    while (call->next != ~0ull) {
        int got = xencall2(hv->call, __HYPERVISOR_pal_op, PALOP_frames, (uintptr_t)call);

        if (got < 0)
            return pal_hv_refused(e, "to list the domain's memory");
        for (int i = 0; i < got && i < (int)call->room; i++) {
            struct pal_own_frame frame = frame_of(&list[i]);

            if (visit(data, &frame, e))
                return -1;
        }
    }
    return 0;
}

int pal_domain_frames(struct pal_hv *hv, uint32_t domain, pal_frame_visit visit, void *data,
                      struct pal_error *e)
{
    struct pal_frames *call = pal_hv_buffer(hv, sizeof(*call), e);
    struct pal_owned *list = pal_hv_buffer(hv, FRAMES_A_CALL * sizeof(*list), e);
    int rc = -1;

    if (call && list) {
        call->domain = domain;
        call->room = FRAMES_A_CALL;
        call->list = (uintptr_t)list;
        rc = visit_all(hv, call, list, visit, data, e);
    }
    pal_hv_buffer_free(hv, list);
    pal_hv_buffer_free(hv, call);
    return rc;
}

int pal_domain_read(struct pal_hv *hv, uint32_t domain, struct pal_read_call *call,
                    const uint64_t *list, unsigned count, void *to, struct pal_error *e)
{
    const struct pal_read read = {domain, count, (uintptr_t)list, (uintptr_t)to};

    _Static_assert(sizeof(read) == sizeof(*call), "room for the request");
    memcpy(call, &read, sizeof(read));
    if (xencall2(hv->call, __HYPERVISOR_pal_op, PALOP_read, (uintptr_t)call) < 0)
        return pal_hv_refused(e, "to show the domain's memory");
    return 0;
}

/* ---- contexts ---- */

static int get_context(struct pal_hv *hv, uint32_t domain, unsigned vcpu, struct pal_vcpu_state *s,
                       struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_getvcpucontext, .domain = (domid_t)domain};
    vcpu_guest_context_t *buffer = pal_hv_buffer(hv, sizeof(*buffer), e);
    struct pal_error refused = {0};
    int rc;

    if (!buffer)
        return -1;
    op.u.vcpucontext.vcpu = vcpu;
    set_xen_guest_handle(op.u.vcpucontext.ctxt, buffer);
    errno = 0;
    rc = pal_domctl(hv, &op, "the state of a virtual CPU", &refused);
    s->initialised = rc >= 0;
    if (s->initialised)
        s->context = *buffer;
    else if (errno == ENODATA)
        rc = 0;
    else
        *e = refused;
    pal_hv_buffer_free(hv, buffer);
    return rc < 0 ? -1 : 0;
}

static int get_callbacks(struct pal_hv *hv, uint32_t domain, unsigned vcpu,
                         struct pal_vcpu_state *s, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_get_ext_vcpucontext, .domain = (domid_t)domain};

    op.u.ext_vcpucontext.vcpu = vcpu;
    op.u.ext_vcpucontext.size = sizeof(op.u.ext_vcpucontext);
    if (pal_domctl(hv, &op, "callbacks of a virtual CPU", e) < 0)
        return -1;
    s->callbacks = op.u.ext_vcpucontext;
    return 0;
}

static int get_extended(struct pal_hv *hv, uint32_t domain, unsigned vcpu, struct pal_vcpu_state *s,
                        struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_getvcpuextstate, .domain = (domid_t)domain};
    struct xen_domctl_vcpuextstate *x = &op.u.vcpuextstate;
    void *buffer;
    int rc;

    x->vcpu = vcpu;
    if (pal_domctl(hv, &op, "the size of the extended state", e) < 0)
        return -1;
    if (!x->size)
        return 0;
    if (x->size > EXTENDED_MOST)
        return pal_fail(e, PAL_HV_REFUSED, "the extended state is said to have %llu bytes",
                        (unsigned long long)x->size);
    buffer = pal_hv_buffer(hv, x->size, e);
    s->extended = malloc(x->size);
    if (!buffer || !s->extended) {
        pal_hv_buffer_free(hv, buffer);
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    }
    set_xen_guest_handle(x->buffer, buffer);
    rc = pal_domctl(hv, &op, "the extended state of a virtual CPU", e);
    s->features = x->xfeature_mask;
    s->extended_size = x->size;
    memcpy(s->extended, buffer, x->size);
    pal_hv_buffer_free(hv, buffer);
    return rc < 0 ? -1 : 0;
}

static int get_msrs(struct pal_hv *hv, uint32_t domain, unsigned vcpu, struct pal_vcpu_state *s,
                    struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_get_vcpu_msrs, .domain = (domid_t)domain};
    struct xen_domctl_vcpu_msrs *m = &op.u.vcpu_msrs;
    struct xen_domctl_vcpu_msr *buffer = pal_hv_buffer(hv, sizeof(s->msr), e);
    int rc;

    if (!buffer)
        return -1;
    m->vcpu = vcpu;
    m->msr_count = PAL_MSRS_MOST;
    set_xen_guest_handle(m->msrs, buffer);
    rc = pal_domctl(hv, &op, "registers of a virtual CPU", e);
    if (rc >= 0 && m->msr_count <= PAL_MSRS_MOST) {
        s->msrs = m->msr_count;
        memcpy(s->msr, buffer, s->msrs * sizeof(*buffer));
    }
    pal_hv_buffer_free(hv, buffer);
    return rc < 0 ? -1 : 0;
}

int pal_vcpu_state_get(struct pal_hv *hv, uint32_t domain, unsigned vcpu, struct pal_vcpu_state *s,
                       struct pal_error *e)
{
    memset(s, 0, sizeof(*s));
    if (get_context(hv, domain, vcpu, s, e))
        return -1;
    if (!s->initialised)
        return 0;
    if (get_callbacks(hv, domain, vcpu, s, e) || get_extended(hv, domain, vcpu, s, e))
        return -1;
    return get_msrs(hv, domain, vcpu, s, e);
}

static int set_callbacks(struct pal_hv *hv, uint32_t domain, unsigned vcpu,
                         const struct pal_vcpu_state *s, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_set_ext_vcpucontext, .domain = (domid_t)domain};

    op.u.ext_vcpucontext = s->callbacks;
    op.u.ext_vcpucontext.vcpu = vcpu;
    op.u.ext_vcpucontext.size = sizeof(op.u.ext_vcpucontext);
    return pal_domctl(hv, &op, "callbacks of a virtual CPU", e) < 0 ? -1 : 0;
}

static int set_extended(struct pal_hv *hv, uint32_t domain, unsigned vcpu,
                        const struct pal_vcpu_state *s, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_setvcpuextstate, .domain = (domid_t)domain};
    struct xen_domctl_vcpuextstate *x = &op.u.vcpuextstate;
    void *buffer = pal_hv_buffer(hv, s->extended_size, e);
    int rc;

    if (!buffer)
        return -1;
    memcpy(buffer, s->extended, s->extended_size);
    x->vcpu = vcpu;
    x->xfeature_mask = s->features;
    x->size = s->extended_size;
    set_xen_guest_handle(x->buffer, buffer);
    rc = pal_domctl(hv, &op, "the extended state of a virtual CPU", e);
    pal_hv_buffer_free(hv, buffer);
    return rc < 0 ? -1 : 0;
}

static int set_msrs(struct pal_hv *hv, uint32_t domain, unsigned vcpu,
                    const struct pal_vcpu_state *s, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_set_vcpu_msrs, .domain = (domid_t)domain};
    struct xen_domctl_vcpu_msrs *m = &op.u.vcpu_msrs;
    struct xen_domctl_vcpu_msr *buffer = pal_hv_buffer(hv, sizeof(s->msr), e);
    int rc;

    if (!buffer)
        return -1;
    memcpy(buffer, s->msr, s->msrs * sizeof(*buffer));
    m->vcpu = vcpu;
    m->msr_count = s->msrs;
    set_xen_guest_handle(m->msrs, buffer);
    rc = pal_domctl(hv, &op, "registers of a virtual CPU", e);
    pal_hv_buffer_free(hv, buffer);
    return rc < 0 ? -1 : 0;
}

int pal_vcpu_state_set(struct pal_hv *hv, uint32_t domain, unsigned vcpu,
                       const struct pal_vcpu_state *s, struct pal_error *e)
{
    if (!s->initialised)
        return 0;
    if (s->msrs > PAL_MSRS_MOST || s->extended_size > EXTENDED_MOST)
        return pal_fail(e, PAL_HV_REFUSED, "a virtual CPU's state has parts of impossible sizes");
    if (pal_domain_set_context(hv, domain, vcpu, &s->context, e) ||
        set_callbacks(hv, domain, vcpu, s, e) ||
        (s->extended_size && set_extended(hv, domain, vcpu, s, e)))
        return -1;
    return s->msrs ? set_msrs(hv, domain, vcpu, s, e) : 0;
}

void pal_vcpu_state_free(struct pal_vcpu_state *s)
{
    free(s->extended);
    memset(s, 0, sizeof(*s));
}

/* ---- going on ---- */

int pal_domain_resume_cancelled(struct pal_hv *hv, uint32_t domain, struct pal_error *e)
{
    struct pal_resume call = {.domain = domain};

    return pal_hv_own(hv, PALOP_resume, &call, sizeof(call), e) < 0
               ? pal_hv_refused(e, "to let the domain go on")
               : 0;
}

/* ---- making one ---- */

long pal_populate_list(struct pal_hv *hv, uint32_t domain, unsigned order, xen_pfn_t *frames,
                       unsigned count, struct pal_error *e)
{
    struct xen_memory_reservation *r = pal_hv_buffer(hv, sizeof(*r), e);
    xen_pfn_t *extents = pal_hv_buffer(hv, count * sizeof(*extents), e);
    long got = -1;

    if (r && extents) {
        memcpy(extents, frames, count * sizeof(*extents));
        set_xen_guest_handle(r->extent_start, extents);
        r->nr_extents = count;
        r->extent_order = order;
        r->domid = (domid_t)domain;
        got = xencall2L(hv->call, __HYPERVISOR_memory_op, XENMEM_populate_physmap, (uintptr_t)r);
        if (got < 0)
            pal_hv_refused(e, "memory for the domain");
        got = got > (long)count ? (long)count : got;
        memcpy(frames, extents, (got > 0 ? (size_t)got : 0) * sizeof(*frames));
    }
    pal_hv_buffer_free(hv, extents);
    pal_hv_buffer_free(hv, r);
    return got;
}

int pal_domain_set_handle(struct pal_hv *hv, uint32_t domain, const uint8_t uuid[16],
                          struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_setdomainhandle, .domain = (domid_t)domain};

    memcpy(op.u.setdomainhandle.handle, uuid, sizeof(op.u.setdomainhandle.handle));
    return pal_domctl(hv, &op, "the domain's handle", e) < 0 ? -1 : 0;
}

/* ---- page tables ---- */

static int pin_some(struct pal_hv *hv, uint32_t domain, struct mmuext_op *op, unsigned *done,
                    const struct pal_pin *pins, unsigned count, struct pal_error *e)
{
    for (unsigned i = 0; i < count; i++) {
        op[i].cmd = MMUEXT_PIN_L1_TABLE + pins[i].level - 1;
        op[i].arg1.mfn = pins[i].mfn;
    }
    *done = 0;
    if (!xencall4(hv->call, __HYPERVISOR_mmuext_op, (uintptr_t)op, count, (uintptr_t)done, domain))
        return 0;
    if (*done >= count)
        return pal_hv_refused(e, "the domain's page tables");
    return pal_fail(e, PAL_HV_REFUSED, "the hypervisor refused a page table of level %u: %s",
                    pins[*done].level, strerror(errno));
}

int pal_pin_tables(struct pal_hv *hv, uint32_t domain, const struct pal_pin *pins, unsigned count,
                   struct pal_error *e)
{
    struct mmuext_op *op = pal_hv_buffer(hv, PINS_A_CALL * sizeof(*op), e);
    unsigned *done = pal_hv_buffer(hv, sizeof(*done), e);
    int rc = op && done ? 0 : -1;

    for (unsigned at = 0; !rc && at < count; at += PINS_A_CALL) {
        unsigned n = count - at < PINS_A_CALL ? count - at : PINS_A_CALL;

        rc = pin_some(hv, domain, op, done, pins + at, n, e);
    }
    pal_hv_buffer_free(hv, done);
    pal_hv_buffer_free(hv, op);
    return rc;
}
