/* SPDX-License-Identifier: MIT */
/* HYPERVISOR_sysctl: questions about the whole machine. Who may call is decided by the table of
 * hypercalls; a command that this table does not have is -ENOSYS. */
#include "control.h"
#include "core/hypercall.h"
#include "dev/dev.h"
#include "mm/env.h"

#define CHUNK 256

/* Copy out what the console ring holds, from *index on if asked for increments. */
static long op_readconsole(struct xen_sysctl *op, bool *copyback)
{
    (void)copyback;
    struct xen_sysctl_readconsole *rc = &op->u.readconsole;
    uint64_t va = (uint64_t)rc->buffer.p;
    uint32_t index = rc->incremental ? rc->index : 0, done = 0;
    char buf[CHUNK];
    while (done < rc->count) {
        size_t n = console_ring_read(buf, min(rc->count - done, (uint32_t)CHUNK), &index, false);
        if (!n)
            break;
        if (copy_to_guest(va + done, buf, n))
            return -XEN_EFAULT;
        done += (uint32_t)n;
        env_preempt_point();
    }
    if (rc->clear)
        (void)console_ring_read(buf, 0, &index, true);
    rc->count = done;
    rc->index = index;
    return 0;
}

/* Keys of a human at the console: what they ask for goes to the log. */
static long op_debug_keys(struct xen_sysctl *op, bool *copyback)
{
    const struct xen_sysctl_debug_keys *k = &op->u.debug_keys;
    char keys[16];
    uint32_t n = min(k->nr_keys, (uint32_t)sizeof(keys));
    (void)copyback;
    if (copy_from_guest(keys, (uint64_t)k->keys.p, n))
        return -XEN_EFAULT;
    for (uint32_t i = 0; i < n; i++)
        if (keys[i] == 'q')
            domain_log_all();
    return 0;
}

static sysctl_fn *const sysctls[] = {
    [XEN_SYSCTL_readconsole] = op_readconsole,
    [XEN_SYSCTL_debug_keys] = op_debug_keys,
    [XEN_SYSCTL_physinfo] = sysctl_physinfo,
    [XEN_SYSCTL_sched_id] = sysctl_sched_id,
    [XEN_SYSCTL_getdomaininfolist] = sysctl_domains,
    [XEN_SYSCTL_getcpuinfo] = sysctl_cpuinfo,
    [XEN_SYSCTL_availheap] = sysctl_heap,
    [XEN_SYSCTL_cputopoinfo] = sysctl_topology,
    [XEN_SYSCTL_numainfo] = sysctl_numa,
    [XEN_SYSCTL_cpupool_op] = sysctl_pool,
    [XEN_SYSCTL_scheduler_op] = sysctl_scheduler,
    [XEN_SYSCTL_get_cpu_policy] = sysctl_policy,
    [XEN_SYSCTL_get_cpu_featureset] = sysctl_featureset,
};

long do_sysctl(struct vcpu *v, uint64_t arg_va, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct xen_sysctl op;
    bool copyback = false;
    (void)v, (void)a2, (void)a3, (void)a4, (void)a5;

    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION)
        return -XEN_EACCES;
    if (op.cmd >= ARRAY_SIZE(sysctls) || !sysctls[op.cmd])
        return -XEN_ENOSYS;
    long result = sysctls[op.cmd](&op, &copyback);
    if ((!result || copyback) && copy_to_guest(arg_va, &op, sizeof(op)))
        result = -XEN_EFAULT;
    return result;
}
