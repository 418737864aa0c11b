/* SPDX-License-Identifier: MIT */
/* The machine's half of the memory core's seam (mm/env.h); flushing is in tlb.c, copies in uaccess.S. */
#include "base/log.h"
#include "core/domain.h"
#include "core/sched.h"
#include "dev/dev.h"
#include "dev/irq.h"
#include "mm/env.h"
#include "mm/mm.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include "x86/insn.h"
#include "x86/paging.h"

void env_preempt_point(void)
{
    irq_window();
    tlb_serve_requests();
    struct vcpu *v = current_vcpu();
    if (!v || !this_cpu()->need_resched || v->is_idle)
        return;
    schedule();
}

bool env_rest_point(void)
{
    irq_window();
    tlb_serve_requests();
    struct vcpu *v = current_vcpu();
    if (this_cpu()->need_resched)
        sched_rest();
    return !load_relaxed(&v->domain->mm.dying);
}

void env_wait_turn(void)
{
    struct vcpu *v = current_vcpu();
    if (!v || v->is_idle) {
        spin_wait();
        return;
    }
    irq_window();
    tlb_serve_requests();
    vcpu_yield();
}

/* Without the instruction the clock's low bits have to do: of each of a few cache misses' length. */
uint64_t env_random(void)
{
    uint64_t x = rdtsc(), drawn = 0;
    bool good = false;

    for (unsigned i = 0; cpu_features.rdrand && !good && i < 16; i++)
        good = rdrand(&drawn);
    for (unsigned i = 0; !good && i < 256; i++) {
        clflush(&drawn);
        drawn = (drawn ^ rdtsc()) * 0x9e3779b97f4a7c15ull;
        drawn ^= drawn >> 29;
    }
    return x ^ drawn;
}

struct mm_domain *env_domain_get(unsigned domid)
{
    struct domain *d = domain_get(domid);
    return d ? &d->mm : NULL;
}

void env_domain_put(struct mm_domain *m)
{
    domain_put(container_of(m, struct domain, mm));
}

bool env_may_manage(const struct mm_domain *who, const struct mm_domain *target)
{
    return who->privileged && who != target;
}

/* Ours alone, or ours to write: interrupt controllers; PCI configuration space, whose writes are filtered (mmio.c). */
static bool in_frame(uint64_t address, mfn_t m)
{
    return address && address >> PAGE_SHIFT == m.n;
}

enum env_iomem env_iomem_access(const struct mm_domain *d, mfn_t m)
{
    if (!d->privileged || m.n >> (env_phys_bits - PAGE_SHIFT))
        return ENV_IOMEM_DENIED;
    if (in_frame(acpi_lapic_address, m))
        return ENV_IOMEM_DENIED;
    if (ioapic_owns_frame(m.n) || in_frame(acpi_hpet_address, m) || msi_owns_frame(m.n))
        return ENV_IOMEM_READ_ONLY;
    for (unsigned i = 0; i < acpi_mcfg_count; i++) {
        const struct acpi_mcfg *c = &acpi_mcfg[i];
        uint64_t first = (c->address + ((uint64_t)c->bus_first << 20)) >> PAGE_SHIFT;
        uint64_t last = (c->address + ((uint64_t)c->bus_last << 20) + MiB(1) - 1) >> PAGE_SHIFT;
        if (m.n >= first && m.n <= last)
            return ENV_IOMEM_READ_ONLY;
    }
    return ENV_IOMEM_FULL;
}

void env_fill_root(const struct mm_domain *d, uint64_t *l4)
{
    (void)d;
    for (unsigned i = HV_SLOT_FIRST; i <= HV_SLOT_LAST; i++)
        l4[i] = hv_root[i];
}

void env_root_changed(struct mm_vcpu *m)
{
    struct vcpu *v = vcpu_of(m);
    v->kernel_cr3 = mfn_eq(m->kernel_root, MFN_NONE) ? 0 : m->kernel_root.n << PAGE_SHIFT;
    v->user_cr3 = mfn_eq(m->user_root, MFN_NONE) ? 0 : m->user_root.n << PAGE_SHIFT;
    if (v == current_vcpu())
        vcpu_load_root(v);
}

void env_crash_domain(struct mm_domain *m, const char *why)
{
    domain_crash(container_of(m, struct domain, mm), "%s", why);
}
