/* SPDX-License-Identifier: MIT */
/* HYPERVISOR_grant_table_op: all of it is the memory core's. */
#include "core/hypercall.h"
#include "mm/grant.h"

long do_grant_table_op(struct vcpu *v, uint64_t cmd, uint64_t args, uint64_t count, uint64_t a4,
                       uint64_t a5)
{
    (void)a4, (void)a5;
    /* Both are 32 bits wide in the interface. */
    if (cmd > UINT32_MAX)
        return -XEN_ENOSYS;
    if (count > UINT32_MAX)
        return -XEN_EINVAL;
    return mm_grant_op(&v->mm, (unsigned)cmd, args, (unsigned)count);
}
