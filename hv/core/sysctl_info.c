/* SPDX-License-Identifier: MIT */
/* What the machine is, and which domains are on it. */
#include "base/log.h"
#include "base/string.h"
#include "control.h"
#include "core/sched.h"
#include "core/time.h"
#include "mm/mm.h"
#include "x86/policy.h"

long sysctl_physinfo(struct xen_sysctl *op, bool *copyback)
{
    struct xen_sysctl_physinfo *p = &op->u.physinfo;
    struct cpu_place last = cpu_place(cpu_count - 1);
    (void)copyback;

    memset(p, 0, sizeof(*p));
    p->threads_per_core = last.threads_per_core;
    p->cores_per_socket = last.cores_per_socket;
    p->nr_cpus = cpu_count;
    p->max_cpu_id = cpu_count - 1;
    p->nr_nodes = 1;
    p->cpu_khz = (uint32_t)(tsc_hz / 1000);
    p->capabilities = XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1;
    p->total_pages = palloc_total_frames();
    p->free_pages = palloc_free_frames();
    p->max_mfn = frame_count - 1;
    policy_host_features(p->hw_cap, ARRAY_SIZE(p->hw_cap));
    return 0;
}

long sysctl_cpuinfo(struct xen_sysctl *op, bool *copyback)
{
    struct xen_sysctl_getcpuinfo *g = &op->u.getcpuinfo;
    uint32_t n = min(g->max_cpus, (uint32_t)cpu_count);
    (void)copyback;

    for (uint32_t i = 0; i < n; i++) {
        struct xen_sysctl_cpuinfo info;
        struct vcpu_runstate_info r;

        runstate_get(cpus[i]->idle, &r);
        info.idletime = r.time[RUNSTATE_running];
        if (copy_to_guest((uint64_t)g->info.p + i * sizeof(info), &info, sizeof(info)))
            return -XEN_EFAULT;
    }
    g->nr_cpus = n;
    return 0;
}

long sysctl_topology(struct xen_sysctl *op, bool *copyback)
{
    struct xen_sysctl_cputopoinfo *t = &op->u.cputopoinfo;
    uint32_t n = t->cputopo.p ? min(t->num_cpus, (uint32_t)cpu_count) : 0;
    (void)copyback;

    for (uint32_t i = 0; i < n; i++) {
        struct cpu_place place = cpu_place(i);
        struct xen_sysctl_cputopo one = {.core = place.core, .socket = place.socket, .node = 0};

        if (copy_to_guest((uint64_t)t->cputopo.p + i * sizeof(one), &one, sizeof(one)))
            return -XEN_EFAULT;
    }
    t->num_cpus = cpu_count;
    return 0;
}

#define DISTANCE_TO_ITSELF 10

/* One node. */
long sysctl_numa(struct xen_sysctl *op, bool *copyback)
{
    struct xen_sysctl_numainfo *n = &op->u.numainfo;
    struct xen_sysctl_meminfo memory = {palloc_total_frames() << PAGE_SHIFT, palloc_free_frames()
                                                                                 << PAGE_SHIFT};
    uint32_t distance = DISTANCE_TO_ITSELF;
    (void)copyback;

    if (n->num_nodes && n->meminfo.p &&
        copy_to_guest((uint64_t)n->meminfo.p, &memory, sizeof(memory)))
        return -XEN_EFAULT;
    if (n->num_nodes && n->distance.p &&
        copy_to_guest((uint64_t)n->distance.p, &distance, sizeof(distance)))
        return -XEN_EFAULT;
    n->num_nodes = 1;
    return 0;
}

long sysctl_heap(struct xen_sysctl *op, bool *copyback)
{
    struct xen_sysctl_availheap *h = &op->u.availheap;
    (void)copyback;

    if (h->node > 0)
        h->avail_bytes = 0;
    else
        h->avail_bytes = palloc_free_frames() << PAGE_SHIFT;
    return 0;
}

long sysctl_domains(struct xen_sysctl *op, bool *copyback)
{
    struct xen_sysctl_getdomaininfolist *l = &op->u.getdomaininfolist;
    struct xen_domctl_getdomaininfo info;
    struct domain *d;
    uint32_t n = 0;
    (void)copyback;

    domain_reap();
    for (unsigned id = l->first_domain; n < l->max_domains && (d = domain_get_from(id)); id++) {
        id = d->mm.id;
        domain_describe(d, &info);
        domain_put(d);
        if (copy_to_guest((uint64_t)l->buffer.p + n * sizeof(info), &info, sizeof(info)))
            return -XEN_EFAULT;
        n++;
        env_preempt_point();
    }
    l->num_domains = n;
    return 0;
}

void domain_log_all(void)
{
    struct xen_domctl_getdomaininfo i;
    struct domain *d;

    for (unsigned id = 0; (d = domain_get_from(id)); id++) {
        id = d->mm.id;
        domain_describe(d, &i);
        domain_put(d);
        log_info("domain %u: flags %x, %u vCPUs, %lu of %lu pages, %lu ms", id, i.flags,
                 i.nr_online_vcpus, (unsigned long)i.tot_pages, (unsigned long)i.max_pages,
                 (unsigned long)(i.cpu_time / 1000000));
    }
}

/* ---- scheduling: one pool, one scheduler ---- */

static uint32_t count_domains(void)
{
    struct domain *d;
    uint32_t n = 0;

    for (unsigned id = 0; (d = domain_get_from(id)); id++) {
        id = d->mm.id;
        domain_put(d);
        n++;
    }
    return n;
}

long sysctl_pool(struct xen_sysctl *op, bool *copyback)
{
    struct xen_sysctl_cpupool_op *p = &op->u.cpupool_op;
    uint64_t map[MAX_CPUS / 64] = {0};
    (void)copyback;

    switch (p->op) {
    case XEN_SYSCTL_CPUPOOL_OP_INFO: /* of the first pool whose number is not below this */
        if (p->cpupool_id)
            return -XEN_ENOENT;
        p->sched_id = XEN_SCHEDULER_CREDIT2;
        p->n_dom = count_domains();
        for (unsigned i = 0; i < cpu_count; i++)
            map[i / 64] |= BIT(i % 64);
        return control_write_bitmap(&p->cpumap, map, MAX_CPUS);
    case XEN_SYSCTL_CPUPOOL_OP_FREEINFO: /* no CPU is outside of it */
        return control_write_bitmap(&p->cpumap, map, MAX_CPUS);
    default:
        return -XEN_EOPNOTSUPP;
    }
}

/* The interface knows the schedulers of one implementation; ours takes weight and cap like this
 * one. */
long sysctl_sched_id(struct xen_sysctl *op, bool *copyback)
{
    (void)copyback;
    op->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2;
    return 0;
}

long sysctl_scheduler(struct xen_sysctl *op, bool *copyback)
{
    struct xen_sysctl_scheduler_op *s = &op->u.scheduler_op;
    (void)copyback;

    if (s->cpupool_id || s->sched_id != XEN_SCHEDULER_CREDIT2)
        return -XEN_EINVAL;
    if (s->cmd != XEN_SYSCTL_SCHEDOP_getinfo)
        return -XEN_EOPNOTSUPP;
    s->u.sched_credit2.ratelimit_us = SCHED_RATELIMIT_NS / 1000;
    return 0;
}
