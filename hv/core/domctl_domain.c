/* SPDX-License-Identifier: MIT */
/* Control operations on a domain as a whole. */
#include "base/string.h"
#include "control.h"
#include "core/hypercall_page.h"
#include "core/sched.h"
#include "core/time.h"

/* ---- making one ---- */

/* What was asked for beyond what there is here is refused, not ignored. */
static bool config_ok(const struct xen_domctl_createdomain *c)
{
    return !(c->flags & ~XEN_DOMCTL_CDF_xs_domain) && !c->iommu_opts && !c->vmtrace_size &&
           !c->cpupool_id && !c->arch.emulation_flags && !c->arch.misc_flags &&
           XEN_DOMCTL_GRANT_version(c->grant_opts) == 1 &&
           !(c->grant_opts & ~XEN_DOMCTL_GRANT_version_mask);
}

long domctl_create(struct domain *none, struct xen_domctl *op, bool *copyback)
{
    const struct xen_domctl_createdomain *c = &op->u.createdomain;
    struct domain_limits limits = {c->max_vcpus, 0, c->max_evtchn_port, c->max_grant_frames,
                                   c->max_maptrack_frames};
    unsigned id = op->domain;
    int error = -XEN_ENOSPC;
    (void)none, (void)copyback;

    if (!config_ok(c))
        return -XEN_EINVAL;
    domain_reap(); /* a former one of that number may be ready to go */
    if (id == 0 || id >= DOMID_FIRST_RESERVED)
        id = domain_free_id();
    struct domain *d = id ? domain_create(id, &limits, false, &error) : NULL;
    if (!d)
        return error;
    d->config = *c;
    memcpy(d->handle, c->handle, sizeof(d->handle));
    op->domain = (domid_t)id;
    return 0;
}

/* The vCPUs were made with the domain; tools ask for them separately. */
long domctl_max_vcpus(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)copyback;
    return op->u.max_vcpus.max == d->max_vcpus ? 0 : -XEN_EINVAL;
}

long domctl_max_mem(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)copyback;
    spin_lock(&d->mm.lock);
    d->mm.max_pages = op->u.max_mem.max_memkb >> (PAGE_SHIFT - 10);
    spin_unlock(&d->mm.lock);
    return 0;
}

long domctl_set_handle(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)copyback;
    memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
    return 0;
}

/* ---- running and ending ---- */

long domctl_destroy(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)op, (void)copyback;
    domain_kill(d);
    return 0;
}

#define PAUSES_MAX 255

long domctl_pause(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)op, (void)copyback;
    if (d->control_pauses >= PAUSES_MAX)
        return -XEN_EBUSY;
    if (d->control_pauses == 0)
        domain_pause(d);
    d->control_pauses++;
    return 0;
}

long domctl_unpause(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)op, (void)copyback;
    if (d->control_pauses == 0)
        return -XEN_EINVAL;
    if (--d->control_pauses == 0)
        domain_unpause(d);
    return 0;
}

long domctl_resume(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)op, (void)copyback;
    return domain_resume(d);
}

/* ---- what it is ---- */

static uint32_t describe_vcpus(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    uint32_t flags = XEN_DOMINF_blocked; /* when all that are online are */

    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpus[i];
        struct vcpu_runstate_info r;
        enum vcpu_state state = load_relaxed(&v->state);

        runstate_get(v, &r);
        info->cpu_time += r.time[RUNSTATE_running];
        if (state == VCPU_DOWN || state == VCPU_DEAD)
            continue;
        info->nr_online_vcpus++;
        if (state != VCPU_BLOCKED)
            flags &= ~XEN_DOMINF_blocked;
        if (load_relaxed(&v->running))
            flags |= XEN_DOMINF_running;
    }
    return flags;
}

void domain_describe(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    memset(info, 0, sizeof(*info));
    info->domain = d->mm.id;
    info->flags = describe_vcpus(d, info);
    if (d->mm.dying)
        info->flags |= XEN_DOMINF_dying;
    if (load_acquire(&d->shut_down))
        info->flags |= XEN_DOMINF_shutdown | d->shutdown_code << XEN_DOMINF_shutdownshift;
    if (d->control_pauses)
        info->flags |= XEN_DOMINF_paused;
    if (d->config.flags & XEN_DOMCTL_CDF_xs_domain)
        info->flags |= XEN_DOMINF_xs_domain;
    info->tot_pages = load_relaxed(&d->mm.tot_pages);
    info->max_pages = load_relaxed(&d->mm.max_pages);
    info->shared_info_frame = d->shared_mfn.n;
    info->max_vcpu_id = d->max_vcpus - 1;
    info->ssidref = d->config.ssidref;
    info->gpaddr_bits = (uint8_t)cpu_features.phys_bits;
    info->arch_config = d->config.arch;
    memcpy(info->handle, d->handle, sizeof(info->handle));
}

/* Of that domain, or else of the next higher number: so xenconsoled walks through all of them. */
long domctl_info(struct domain *none, struct xen_domctl *op, bool *copyback)
{
    (void)none, (void)copyback;
    domain_reap();
    struct domain *d = domain_get_from(op->domain);
    if (!d)
        return -XEN_ESRCH;
    domain_describe(d, &op->u.getdomaininfo);
    op->domain = op->u.getdomaininfo.domain;
    domain_put(d);
    return 0;
}

/* Guests have 64 bits. */
long domctl_address_size_set(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)d, (void)copyback;
    return op->u.address_size.size == 64 ? 0 : -XEN_EINVAL;
}

long domctl_address_size_get(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)d, (void)copyback;
    op->u.address_size.size = 64;
    return 0;
}

/* The TSC is never emulated: modes 0 (the best there is) and 2 (never). */
long domctl_tsc_set(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    const struct xen_domctl_tsc_info *t = &op->u.tsc_info;
    (void)copyback;
    if (t->tsc_mode != 0 && t->tsc_mode != 2)
        return -XEN_EOPNOTSUPP;
    d->tsc_mode = t->tsc_mode;
    d->tsc_incarnation = t->incarnation;
    return 0;
}

long domctl_tsc_get(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)copyback;
    op->u.tsc_info = (struct xen_domctl_tsc_info){
        .tsc_mode = d->tsc_mode,
        .gtsc_khz = (uint32_t)(tsc_hz / 1000),
        .incarnation = d->tsc_incarnation,
        .elapsed_nsec = time_now(),
    };
    return 0;
}

long domctl_settimeoffset(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)copyback;
    d->time_offset_seconds = op->u.settimeoffset.time_offset_seconds;
    time_publish_wallclock(d);
    return 0;
}

/* ---- its memory ---- */

long domctl_hypercall_init(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    mfn_t m = mfn(op->u.hypercall_init.gmfn);
    (void)copyback;
    if (mm_hold_writable(&d->mm, m))
        return -XEN_EACCES;
    hypercall_page_fill(env_frame(m));
    mm_release_writable(&d->mm, m);
    return 0;
}

#define PAGE_INFO_MAX  1024 /* entries a call */
#define PAGE_INFO_SOME 64

static uint64_t page_info(struct domain *d, uint64_t m)
{
    if (!frame_is_ram(mfn(m)) || load_relaxed(&frame_of(mfn(m))->owner) != d->mm.id)
        return XEN_DOMCTL_PFINFO_XTAB;
    uint64_t word = load_relaxed(&frame_of(mfn(m))->role);
    uint64_t type = (uint64_t)role_table_level(word) << XEN_DOMCTL_PFINFO_LTAB_SHIFT;
    return type && (word & ROLE_PINNED) ? type | XEN_DOMCTL_PFINFO_LPINTAB : type;
}

/* Frame numbers come in, what each is goes out. */
long domctl_page_info(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    const struct xen_domctl_getpageframeinfo3 *g = &op->u.getpageframeinfo3;
    uint64_t some[PAGE_INFO_SOME], va = (uint64_t)g->array.p;
    (void)copyback;

    if (g->num > PAGE_INFO_MAX)
        return -XEN_E2BIG;
    for (uint64_t done = 0; done < g->num; done += PAGE_INFO_SOME) {
        uint64_t n = min(g->num - done, (uint64_t)PAGE_INFO_SOME);
        if (copy_from_guest(some, va + done * 8, n * 8))
            return -XEN_EFAULT;
        for (uint64_t i = 0; i < n; i++)
            some[i] = page_info(d, some[i]);
        if (copy_to_guest(va + done * 8, some, n * 8))
            return -XEN_EFAULT;
        env_preempt_point();
    }
    return 0;
}

/* Tables are always used directly: to turn shadow tables off is to leave things as they are. */
long domctl_shadow(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)d, (void)copyback;
    return op->u.shadow_op.op == XEN_DOMCTL_SHADOW_OP_OFF ? 0 : -XEN_EOPNOTSUPP;
}

/* ---- what other machines have ---- */

/* No domain but domain 0 ever has ports, device memory or interrupts: taking them away succeeds. */
long domctl_permission(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    bool allow = op->cmd == XEN_DOMCTL_iomem_permission    ? op->u.iomem_permission.allow_access
                 : op->cmd == XEN_DOMCTL_ioport_permission ? op->u.ioport_permission.allow_access
                                                           : op->u.irq_permission.allow_access;
    (void)d, (void)copyback;
    return allow ? -XEN_EPERM : 0;
}

long domctl_nodes_set(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    uint64_t nodes;
    (void)d, (void)copyback;
    if (control_read_bitmap(&nodes, 64, &op->u.nodeaffinity.nodemap))
        return -XEN_EFAULT;
    return nodes & 1 ? 0 : -XEN_EINVAL; /* there is one node */
}

long domctl_nodes_get(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    uint64_t nodes = 1;
    (void)d, (void)copyback;
    return control_write_bitmap(&op->u.nodeaffinity.nodemap, &nodes, 64);
}

long domctl_nothing(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    (void)d, (void)op, (void)copyback;
    return 0;
}

/* ---- its share of the processors ---- */

long domctl_scheduler(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct xen_domctl_scheduler_op *s = &op->u.scheduler_op;
    (void)copyback;

    if (s->sched_id != XEN_SCHEDULER_CREDIT2)
        return -XEN_EINVAL;
    if (s->cmd == XEN_DOMCTL_SCHEDOP_getinfo) {
        s->u.credit2.weight = d->weight;
        s->u.credit2.cap = d->cap;
        return 0;
    }
    if (s->cmd != XEN_DOMCTL_SCHEDOP_putinfo)
        return -XEN_EINVAL;
    return sched_set_share(d, s->u.credit2.weight, s->u.credit2.cap);
}
