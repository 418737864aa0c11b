/* SPDX-License-Identifier: MIT */
/*
 * HYPERVISOR_mca: what domain 0 may know of machine checks.
 *
 * A machine check ends the machine with a report (crash.c), and no bank is polled, so there is never telemetry to
 * fetch, and VIRQ_MCA is never sent. Answered are the question which processors there are, with which a kernel's
 * log driver starts, and "nothing" to its look for records.
 */
#include "base/string.h"
#include "core/domain.h"
#include "core/hypercall.h"
#include "x86/insn.h"
#include <xen/arch-x86/xen-mca.h>

static void describe(unsigned id, struct mcinfo_logical_cpu *out)
{
    struct cpuid vendor = cpuid(0, 0), one = cpuid(1, 0);
    const uint32_t words[3] = {vendor.ebx, vendor.edx, vendor.ecx};

    memset(out, 0, sizeof(*out));
    out->mc_cpunr = id;
    out->mc_chipid = id; /* topology is not looked at: each counts as a package */
    out->mc_apicid = cpus[id]->apic_id;
    out->mc_ncores = out->mc_ncores_active = out->mc_nthreads = 1;
    out->mc_cpuid_level = (int32_t)vendor.eax;
    out->mc_family = one.eax >> 8 & 15;
    if (out->mc_family == 15)
        out->mc_family += one.eax >> 20 & 0xff;
    out->mc_model = (one.eax >> 4 & 15) | (one.eax >> 12 & 0xf0);
    out->mc_step = one.eax & 15;
    memcpy(out->mc_vendorid, words, sizeof(words));
}

static long op_physcpuinfo(struct xen_mc_physcpuinfo *p)
{
    uint64_t to = (uint64_t)p->info.p;
    unsigned count = to ? min(p->ncpus, (uint32_t)cpu_count) : 0;

    for (unsigned i = 0; i < count; i++) {
        struct mcinfo_logical_cpu info;
        describe(i, &info);
        if (copy_to_guest(to + i * sizeof(info), &info, sizeof(info)))
            return -XEN_EFAULT;
    }
    p->ncpus = to ? count : cpu_count;
    return 0;
}

static long op_fetch(struct xen_mc_fetch *f)
{
    unsigned urgency = f->flags & ~XEN_MC_ACK;

    if (urgency != XEN_MC_URGENT && urgency != XEN_MC_NONURGENT)
        return -XEN_EINVAL;
    f->flags = f->flags & XEN_MC_ACK ? XEN_MC_OK : XEN_MC_NODATA;
    f->fetch_id = 0;
    return 0;
}

long do_mca(struct vcpu *v, uint64_t arg, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct xen_mc op;
    long result;

    (void)v, (void)a2, (void)a3, (void)a4, (void)a5;
    if (copy_from_guest(&op, arg, sizeof(op)))
        return -XEN_EFAULT;
    if (op.interface_version != XEN_MCA_INTERFACE_VERSION)
        return -XEN_EACCES;
    switch (op.cmd) {
    case XEN_MC_fetch:
        result = op_fetch(&op.u.mc_fetch);
        break;
    case XEN_MC_physcpuinfo:
        result = op_physcpuinfo(&op.u.mc_physcpuinfo);
        break;
    default: /* notices to guests, and injection for tests of the former */
        return -XEN_EOPNOTSUPP;
    }
    if (!result && copy_to_guest(arg, &op, sizeof(op)))
        result = -XEN_EFAULT;
    return result;
}
