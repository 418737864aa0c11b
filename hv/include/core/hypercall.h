/* SPDX-License-Identifier: MIT */
/*
 * The one table of hypercalls. A handler takes the calling vCPU and up to five words and returns the
 * value for rax. It may be preempted in place; it is never restarted.
 */
#ifndef CORE_HYPERCALL_H
#define CORE_HYPERCALL_H

#include "core/domain.h"
#include "core/uaccess.h"
#include <xen/errno.h>

typedef long hypercall_fn(struct vcpu *v, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                          uint64_t a5);

#define HYPERCALL_COUNT 64

enum hypercall_who {
    HC_ANYONE,
    HC_CONTROL
}; /* HC_CONTROL: -EPERM before anything else is looked at */

struct hypercall {
    hypercall_fn *fn;
    enum hypercall_who who;
    const char *name;
};
extern const struct hypercall hypercall_table[HYPERCALL_COUNT];

long hypercall_dispatch(struct vcpu *v, uint64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                        uint64_t a4, uint64_t a5);

/* One handler a file; listed here, found in hypercall.c's table. */
hypercall_fn do_set_trap_table, do_mmu_update, do_set_gdt, do_stack_switch, do_set_callbacks,
    do_fpu_taskswitch, do_platform_op, do_set_debugreg, do_get_debugreg, do_update_descriptor,
    do_memory_op, do_multicall, do_update_va_mapping, do_set_timer_op, do_event_channel_op,
    do_xen_version, do_console_io, do_physdev_op, do_grant_table_op, do_vm_assist,
    do_update_va_mapping_otherdomain, do_iret, do_vcpu_op, do_set_segment_base, do_mmuext_op,
    do_sched_op, do_callback_op, do_sysctl, do_domctl, do_mca, do_pal_op;

#endif
