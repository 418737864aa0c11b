/* SPDX-License-Identifier: MIT */
/* HYPERVISOR_platform_op: domain 0's say in the machine: clock, firmware's tables, power,
 * processors. */
#include "base/string.h"
#include "core/domain.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "core/time.h"
#include "dev/dev.h"
#include "x86/insn.h"
#include <xen/platform.h>

#define ACPI_STATE_S5 5

typedef long platform_fn(struct xen_platform_op *op);

static long op_settime32(struct xen_platform_op *op)
{
    const struct xenpf_settime32 *t = &op->u.settime32;
    return time_set_wallclock(t->secs, t->nsecs, t->system_time);
}

static long op_settime64(struct xen_platform_op *op)
{
    const struct xenpf_settime64 *t = &op->u.settime64;
    if (t->mbz)
        return -XEN_EINVAL;
    return time_set_wallclock(t->secs, t->nsecs, t->system_time);
}

/* Nothing is known here of what a BIOS told before the boot loader, nor of EFI: callers take it as
 * absent. The address of the ACPI root pointer goes to domain 0 by its command line. */
static long op_firmware_info(struct xen_platform_op *op)
{
    struct xenpf_firmware_info *info = &op->u.firmware_info;
    switch (info->type) {
    case XEN_FW_DISK_INFO:
    case XEN_FW_DISK_MBR_SIGNATURE:
    case XEN_FW_VBEDDC_INFO:
        return -XEN_ESRCH;
    case XEN_FW_EFI_INFO:
        return -XEN_ENOSYS;
    case XEN_FW_KBD_SHIFT_FLAGS:
        if (info->index)
            return -XEN_ESRCH;
        info->u.kbd_shift_flags = 0;
        return 0;
    default:
        return -XEN_EINVAL;
    }
}

static long op_enter_acpi_sleep(struct xen_platform_op *op)
{
    const struct xenpf_enter_acpi_sleep *sleep = &op->u.enter_acpi_sleep;
    if (sleep->flags || sleep->sleep_state < 1 || sleep->sleep_state > ACPI_STATE_S5)
        return -XEN_EINVAL;
    if (sleep->sleep_state != ACPI_STATE_S5)
        return -XEN_EOPNOTSUPP;
    return machine_acpi_sleep(sleep->val_a, sleep->val_b);
}

/* Time that each CPU was idle, for those in the caller's bitmap that exist. */
static long op_getidletime(struct xen_platform_op *op)
{
    struct xenpf_getidletime *idle = &op->u.getidletime;
    unsigned count = min(idle->cpumap_nr_cpus, (uint32_t)cpu_count);
    uint8_t map[MAX_CPUS / 8] = {0};
    uint64_t map_va = (uint64_t)idle->cpumap_bitmap.p, times_va = (uint64_t)idle->idletime.p;
    unsigned bytes = DIV_ROUND_UP(min(idle->cpumap_nr_cpus, (uint32_t)MAX_CPUS), 8);

    if (copy_from_guest(map, map_va, bytes))
        return -XEN_EFAULT;
    for (unsigned i = 0; i < bytes * 8; i++) {
        if (i >= count)
            map[i / 8] &= (uint8_t) ~(1u << i % 8);
        if (!(map[i / 8] & 1u << i % 8))
            continue;
        struct vcpu_runstate_info r;
        runstate_get(cpus[i]->idle, &r);
        if (copy_to_guest(times_va + i * 8, &r.time[RUNSTATE_running], 8))
            return -XEN_EFAULT;
    }
    idle->now = time_now();
    return copy_to_guest(map_va, map, bytes) ? -XEN_EFAULT : 0;
}

static long op_get_cpuinfo(struct xen_platform_op *op)
{
    struct xenpf_pcpuinfo *info = &op->u.pcpu_info;
    info->max_present = cpu_count - 1;
    info->apic_id = info->acpi_id = 0;
    info->flags = XEN_PCPU_FLAGS_INVALID;
    if (info->xen_cpuid < cpu_count) {
        const struct cpu *c = cpus[info->xen_cpuid];
        info->apic_id = c->apic_id;
        info->acpi_id = c->acpi_id;
        info->flags = XEN_PCPU_FLAGS_ONLINE;
    }
    return 0;
}

/* All CPUs of a supported machine are alike: the calling one answers. */
static long op_get_cpu_version(struct xen_platform_op *op)
{
    struct xenpf_pcpu_version *info = &op->u.pcpu_version;
    info->max_present = cpu_count - 1;
    info->family = info->model = info->stepping = 0;
    memset(info->vendor_id, 0, sizeof(info->vendor_id));
    if (info->xen_cpuid >= cpu_count)
        return 0;
    struct cpuid vendor = cpuid(0, 0);
    uint32_t eax = cpuid(1, 0).eax;
    uint32_t words[3] = {vendor.ebx, vendor.edx, vendor.ecx};
    memcpy(info->vendor_id, words, sizeof(words));
    info->family = (eax >> 8) & 15;
    if (info->family == 15)
        info->family += (eax >> 20) & 0xff;
    info->model = (eax >> 4) & 15;
    if (info->family >= 6)
        info->model |= (eax >> 12) & 0xf0;
    info->stepping = eax & 15;
    return 0;
}

/*
 * Domain 0 tells what the firmware says of the processors' idle and performance states. Idle CPUs halt, and their
 * frequency is left to the hardware, so there is nothing to do with it; asked which of the states the firmware may
 * hand over (_PDC: a revision, a count of words, the words), none.
 */
static long op_set_processor_pminfo(struct xen_platform_op *op)
{
    const struct xenpf_set_processor_pminfo *info = &op->u.set_pminfo;
    uint64_t pdc = (uint64_t)info->u.pdc.p;
    uint32_t words[3];

    switch (info->type) {
    case XEN_PM_CX:
    case XEN_PM_PX:
    case XEN_PM_TX:
        return 0;
    case XEN_PM_PDC:
        if (copy_from_guest(words, pdc, sizeof(words)))
            return -XEN_EFAULT;
        words[2] = 0;
        return copy_to_guest(pdc, words, sizeof(words)) ? -XEN_EFAULT : 0;
    default:
        return -XEN_EINVAL;
    }
}

/* CPUs are online from boot to the end. */
static long op_cpu_online(struct xen_platform_op *op)
{
    return op->u.cpu_ol.cpuid < cpu_count ? 0 : -XEN_EINVAL;
}

static long op_cpu_offline(struct xen_platform_op *op)
{
    return op->u.cpu_ol.cpuid < cpu_count ? -XEN_EOPNOTSUPP : -XEN_EINVAL;
}

static const struct {
    platform_fn *fn;
    bool answers; /* the structure is written back */
} ops[] = {
    [XENPF_settime32] = {op_settime32, false},
    [XENPF_settime64] = {op_settime64, false},
    [XENPF_firmware_info] = {op_firmware_info, true},
    [XENPF_enter_acpi_sleep] = {op_enter_acpi_sleep, false},
    [XENPF_getidletime] = {op_getidletime, true},
    [XENPF_set_processor_pminfo] = {op_set_processor_pminfo, false},
    [XENPF_get_cpuinfo] = {op_get_cpuinfo, true},
    [XENPF_get_cpu_version] = {op_get_cpu_version, true},
    [XENPF_cpu_online] = {op_cpu_online, false},
    [XENPF_cpu_offline] = {op_cpu_offline, false},
};

long do_platform_op(struct vcpu *v, uint64_t arg_va, uint64_t a2, uint64_t a3, uint64_t a4,
                    uint64_t a5)
{
    struct xen_platform_op op;
    (void)a2, (void)a3, (void)a4, (void)a5;
    if (!v->domain->mm.privileged)
        return -XEN_EPERM;
    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.interface_version != XENPF_INTERFACE_VERSION)
        return -XEN_EACCES;
    if (op.cmd >= ARRAY_SIZE(ops) || !ops[op.cmd].fn)
        return -XEN_ENOSYS;
    long result = ops[op.cmd].fn(&op);
    if (!result && ops[op.cmd].answers && copy_to_guest(arg_va, &op, sizeof(op)))
        result = -XEN_EFAULT;
    return result;
}
