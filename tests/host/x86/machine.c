/* SPDX-License-Identifier: MIT */
/* See machine.h. */
#include <string.h>
#include "machine.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "core/time.h"
#include "dev/console.h"
#include "dev/dev.h"
#include "x86/guest.h"
#include "x86/insn.h"

struct machine machine;

void machine_reset(void)
{
    memset(&machine, 0, sizeof(machine));
    machine.injected = machine.shutdown = -1;
    machine.memory_end = machine.read_only_from = UINTPTR_MAX;
    machine.domain.mm.privileged = true;
    machine.vcpu.domain = &machine.domain;
    machine.vcpu.mm.d = &machine.domain.mm;
    machine.vcpu.mm.kernel_root = mfn(0x1234);
    machine.vcpu.in_kernel = true;
    machine.vcpu.iopl = 1;
    machine.vcpu.info = &machine.info;
    machine.vcpu.stack = &machine.stack;
    machine.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_PGE | CR4_SMEP | CR4_OSXSAVE;
    acpi_mcfg_count = 0;
    cpu_features.xsave = true;
    cpu_features.nx = true;
    cpu_features.intel_sysenter = true;
    cpu_features.xcr0 = 7;
    cpu_features.phys_bits = 40;
}

struct cpu *this_cpu(void)
{
    return &machine.cpu;
}
struct vcpu *current_vcpu(void)
{
    return &machine.vcpu;
}

/* ---- guest memory ---- */

static bool exists(uint64_t va, size_t n)
{
    if (va < machine.kernel_only + machine.kernel_only_bytes && va + n > machine.kernel_only &&
        machine.cr3 != machine.vcpu.kernel_cr3)
        return false;
    return guest_range_ok(va, n) && va >= machine.memory_start && va + n <= machine.memory_end;
}

int copy_from_guest(void *dst, uint64_t va, size_t n)
{
    if (!exists(va, n))
        return -XEN_EFAULT;
    memcpy(dst, (void *)va, n);
    return 0;
}

int copy16_from_guest(void *dst, uint64_t va)
{
    return copy_from_guest(dst, va, 16);
}

int copy_to_guest(uint64_t va, const void *src, size_t n)
{
    if (!exists(va, n) || va + n > machine.read_only_from)
        return -XEN_EFAULT;
    memcpy((void *)va, src, n);
    return 0;
}

pte_t mm_walk(mfn_t root, uint64_t va, unsigned *level)
{
    (void)root;
    *level = 1;
    if (machine.walk_entry)
        return machine.walk_entry;
    if (!exists(va, 1))
        return 0;
    return PTE_P | PTE_US | (va < machine.read_only_from ? PTE_RW : 0);
}

/* Frame numbers of the fake machine are host page numbers; no entry of the table is ever looked
 * into. */
uintptr_t env_direct_base;
struct frame *frame_table = (struct frame *)64;

struct frame *mm_trapped_table(struct mm_vcpu *v, uint64_t va)
{
    (void)v;
    return exists(va, 1) && !machine.walk_entry ? frame_of(mfn(va >> PAGE_SHIFT)) : NULL;
}

int mm_trapped_write(struct mm_vcpu *v, struct frame *table, uint64_t va, uint64_t *expected,
                     uint64_t value, bool compare)
{
    uint64_t *entry = (uint64_t *)va;
    (void)v, (void)table;
    if (machine.refuse_writes)
        return -XEN_EINVAL;
    machine.trapped_writes++;
    if (machine.lost_races) {
        machine.lost_races--;
        *entry += 0x1000;
    }
    if (compare && *entry != *expected) {
        *expected = *entry;
        return 1;
    }
    *entry = value;
    return 0;
}

int mm_set_root(struct mm_vcpu *v, mfn_t m, bool user)
{
    (void)v, (void)user;
    machine.root = m.n;
    return machine.set_root;
}

void spin_wait(void)
{
}

struct frame *frame_table; /* no RAM */
uint64_t frame_count;
enum env_iomem env_iomem_access(const struct mm_domain *d, mfn_t m)
{
    (void)d, (void)m;
    return machine.iomem;
}
void env_flush_local(bool all, uint64_t va)
{
    (void)all, (void)va;
}
void env_flush_caches(bool all)
{
    (void)all;
}

/* ---- what the emulation asks of the rest ---- */

void guest_inject(struct vcpu *v, unsigned vector, uint32_t error_code)
{
    (void)v;
    machine.injected = (int)vector;
    machine.injected_error = error_code;
}
void guest_inject_page_fault(struct vcpu *v, uint64_t address, uint32_t error_code)
{
    machine.injected_address = address;
    guest_inject(v, EXC_PF, error_code);
}
void domain_shutdown(struct domain *d, unsigned reason)
{
    (void)d;
    machine.shutdown = (int)reason;
}
void vcpu_block(void)
{
    machine.blocked++;
}
long do_fpu_taskswitch(struct vcpu *v, uint64_t set, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5)
{
    (void)a2, (void)a3, (void)a4, (void)a5;
    v->ts = set;
    return 0;
}
long do_set_debugreg(struct vcpu *v, uint64_t reg, uint64_t value, uint64_t a3, uint64_t a4,
                     uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    if (reg > 7 || value >> 63)
        return -XEN_EINVAL;
    v->dr[reg] = value;
    return 0;
}
long do_get_debugreg(struct vcpu *v, uint64_t reg, uint64_t a2, uint64_t a3, uint64_t a4,
                     uint64_t a5)
{
    (void)a2, (void)a3, (void)a4, (void)a5;
    return (long)v->dr[reg & 7];
}

struct cpu_features cpu_features;
struct acpi_fadt_info acpi_fadt;
struct acpi_mcfg acpi_mcfg[4];
unsigned acpi_mcfg_count;
struct time_scale time_scale = {.tsc_base = 0x123456789a, .mul = 0x80000000, .shift = 1};
uint64_t tsc_hz = 2000000000;
bool time_tsc_stable = true;

bool console_owns_port(unsigned port)
{
    return port >= 0x3f8 && port <= 0x3ff;
}
uint32_t pci_read(uint32_t sbdf, unsigned reg, unsigned bytes)
{
    machine.pci_sbdf = sbdf;
    machine.pci_reg = reg;
    machine.pci_bytes = bytes;
    return 0x8086 >> (reg & 3) * 8;
}
void pci_write(uint32_t sbdf, unsigned reg, unsigned bytes, uint32_t value)
{
    machine.pci_writes++;
    machine.pci_sbdf = sbdf;
    machine.pci_reg = reg;
    machine.pci_bytes = bytes;
    machine.pci_value = value;
}
bool pci_guest_may_write(uint32_t sbdf, unsigned reg, unsigned bytes)
{
    (void)sbdf, (void)reg, (void)bytes;
    return !machine.pci_denied;
}

/* ---- instructions ---- */

static void record(bool write, uint16_t port, uint8_t size, uint32_t value)
{
    if (machine.access_count < MAX_ACCESSES)
        machine.accesses[machine.access_count] = (struct port_access){write, port, size, value};
    machine.access_count++;
}
uint8_t inb(uint16_t port)
{
    record(false, port, 1, 0);
    return (uint8_t)machine.next_in++;
}
uint16_t inw(uint16_t port)
{
    record(false, port, 2, 0);
    return (uint16_t)machine.next_in++;
}
uint32_t inl(uint16_t port)
{
    record(false, port, 4, 0);
    return machine.next_in++;
}
void outb(uint16_t port, uint8_t v)
{
    record(true, port, 1, v);
}
void outw(uint16_t port, uint16_t v)
{
    record(true, port, 2, v);
}
void outl(uint16_t port, uint32_t v)
{
    record(true, port, 4, v);
}
uint64_t rdmsr(uint32_t msr)
{
    return msr == MSR_EFER ? 0x1d01 : 0x1000000ull + msr;
}
int rdmsr_safe(uint32_t msr, uint64_t *v)
{
    *v = rdmsr(msr);
    return 0;
}
void wrmsr(uint32_t msr, uint64_t v)
{
    if (machine.msr_writes < ARRAY_SIZE(machine.msr_written))
        machine.msr_written[machine.msr_writes] = msr;
    machine.msr_writes++;
    machine.msr_value = v;
}
/* A processor that has everything. */
struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    if ((leaf & 0xffff) == 0)
        return (struct cpuid){(leaf & 0xffff0000) | 0x21, 0x68747541, 0x444d4163, 0x69746e65};
    if (leaf == 0xd && subleaf == 2)
        return (struct cpuid){256, 576, 0, 0};
    return (struct cpuid){~0u, ~0u, ~0u, ~0u};
}
uint64_t rdtsc(void)
{
    return 0x1122334455667788;
}
uint64_t read_cr0(void)
{
    return CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE;
}
uint64_t read_cr4(void)
{
    return machine.cr4;
}
void write_cr3(uint64_t v)
{
    machine.cr3 = v;
}
void write_cr4(uint64_t v)
{
    machine.cr4 = v;
}
