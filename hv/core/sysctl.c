/* SPDX-License-Identifier: MIT */
/* HYPERVISOR_sysctl: questions about the whole machine, from domain 0's tools. */
#include "core/hypercall.h"
#include "dev/dev.h"
#include "mm/env.h"
#include <xen/sysctl.h>

#define CHUNK 256

/* Copy out what the console ring holds, from *index on if asked for increments. */
static long op_readconsole(struct xen_sysctl *op)
{
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

long do_sysctl(struct vcpu *v, uint64_t arg_va, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct xen_sysctl op;
    (void)a2, (void)a3, (void)a4, (void)a5;
    if (!v->domain->mm.privileged)
        return -XEN_EPERM;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION)
        return -XEN_EACCES;
    if (op.cmd != XEN_SYSCTL_readconsole)
        return -XEN_ENOSYS;
    long result = op_readconsole(&op);
    if (!result && copy_to_guest(arg_va, &op, sizeof(op)))
        result = -XEN_EFAULT;
    return result;
}
