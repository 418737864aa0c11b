/* SPDX-License-Identifier: MIT */
/*
 * One CPU: what it can do, and the state it is brought into before any guest runs on it. Facts:
 * Intel SDM volume 3A chapters 2 to 6 and 13, AMD APM volume 2 chapters 3, 4 and 8.
 */
#include "x86/machine.h"
#include "x86/policy.h"
#include "base/check.h"
#include "base/log.h"
#include "base/string.h"
#include "mm/palloc.h"
#include "x86/insn.h"
#include "x86/paging.h"
#include "x86/segments.h"

struct cpu *cpus[MAX_CPUS];
unsigned cpu_count;
struct cpu boot_cpu;
struct cpu_features cpu_features;
unsigned env_phys_bits;
bool env_has_nx;
mfn_t zero_page_mfn = {~0ull};

/* What the interface promises guests in the PAT: WB WT UC- UC WC WP. */
#define PAT_VALUE 0x050100070406ull

#define XCR0_X87 0x1
#define XCR0_USABLE                                                                                \
    0xe7ull /* x87, SSE, AVX, the three AVX-512 parts; not MPX, not protection keys */
#define XCR0_AVX512 0xe0ull

struct gate {
    uint16_t offset0, selector;
    uint8_t ist, type;
    uint16_t offset1;
    uint32_t offset2, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "a gate has two words");

static struct gate idt[256] __aligned(4096);

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __packed;

void idt_set_gate(unsigned vector, void (*handler)(void), unsigned ist, unsigned dpl)
{
    uint64_t at = (uintptr_t)handler;
    idt[vector] = (struct gate){
        .offset0 = (uint16_t)at,
        .selector = HV_CS,
        .ist = (uint8_t)ist,
        .type = (uint8_t)(0x8e | dpl << 5), /* present interrupt gate */
        .offset1 = (uint16_t)(at >> 16),
        .offset2 = (uint32_t)(at >> 32),
    };
}

static void detect_xsave(struct cpu_features *f)
{
    f->xsave_size = 512;
    f->xcr0 = 0x3;
    if (!f->xsave)
        return;
    struct cpuid d = cpuid(0xd, 0);
    f->xcr0 = (((uint64_t)d.edx << 32) | d.eax) & XCR0_USABLE;
    if (!f->avx)
        f->xcr0 &= 0x3;
    if ((f->xcr0 & XCR0_AVX512) != XCR0_AVX512)
        f->xcr0 &= ~XCR0_AVX512;
}

void cpu_detect(void)
{
    struct cpu_features *f = &cpu_features;
    struct cpuid top = cpuid(0, 0), one = cpuid(1, 0), ext = cpuid(0x80000000, 0);
    f->intel_sysenter = top.ebx == 0x756e6547; /* "Genu": AMD has no SYSENTER in long mode */
    f->pge = one.edx & BIT(13);
    f->pcid = one.ecx & BIT(17);
    f->x2apic = one.ecx & BIT(21);
    f->tsc_deadline = one.ecx & BIT(24);
    f->xsave = one.ecx & BIT(26);
    f->avx = one.ecx & BIT(28);
    f->rdrand = one.ecx & BIT(30);
    if (top.eax >= 7) {
        struct cpuid seven = cpuid(7, 0);
        f->fsgsbase = seven.ebx & BIT(0);
        f->smep = seven.ebx & BIT(7);
        f->smap = seven.ebx & BIT(20);
        f->umip = seven.ecx & BIT(2);
    }
    f->phys_bits = 36;
    f->nx = cpuid(0x80000001, 0).edx & BIT(20);
    if (ext.eax >= 0x80000007)
        f->tsc_invariant = cpuid(0x80000007, 0).edx & BIT(8);
    if (ext.eax >= 0x80000008)
        f->phys_bits = cpuid(0x80000008, 0).eax & 0xff;
    detect_xsave(f);
    env_phys_bits = f->phys_bits;
    env_has_nx = f->nx;
}

/* The reserved page of the GDT. */
static void fill_gdt(uint64_t *page, const struct tss *tss)
{
#define SLOT(selector) page[((selector)&0xfff) / 8]
    SLOT(HV_CS) = DESC_CODE64_RING0;
    SLOT(HV_DS) = DESC_DATA_RING0;
    SLOT(GUEST_CS32) = DESC_CODE32_RING3;
    SLOT(GUEST_DS) = DESC_DATA_RING3;
    SLOT(GUEST_CS64) = DESC_CODE64_RING3;
    uint64_t base = (uintptr_t)tss, limit = sizeof(*tss) - 1;
    SLOT(HV_TSS) = limit | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    SLOT(HV_TSS + 8) = base >> 32;
#undef SLOT
}

/* One page for each CPU's GDT, one for its TSS and one for its entry data, all its own. */
static bool map_window(struct cpu *c)
{
    if (mfn_eq(zero_page_mfn, MFN_NONE) && mfn_eq(zero_page_mfn = palloc_hv(0, 0), MFN_NONE))
        return false;
    mfn_t gdt = palloc_hv(0, 0), tss = palloc_hv(0, 0);
    if (mfn_eq(gdt, MFN_NONE) || mfn_eq(tss, MFN_NONE))
        return false;
    c->tss = env_frame(tss);
    c->tss->iomap_base = sizeof(*c->tss); /* beyond the limit: no ports for ring 3 */
    fill_gdt(env_frame(gdt), c->tss);

    uint64_t window = WINDOWS_BASE + (uint64_t)c->id * WINDOW_SIZE;
    for (unsigned i = 0; i < GDT_RESERVED_PAGE; i++)
        if (paging_map_page(window + i * PAGE_SIZE, mfn_to_maddr(zero_page_mfn).a, MAP_RO & ~PTE_G))
            return false;
    if (paging_map_page(window + GDT_RESERVED_BASE, mfn_to_maddr(gdt).a, MAP_RW & ~PTE_G))
        return false;
    c->window_ptes = paging_entry(window);
    return true;
}

static bool map_entry_pages(struct cpu *c)
{
    mfn_t data = palloc_hv(0, 0);
    if (mfn_eq(data, MFN_NONE))
        return false;
    c->entry = env_frame(data);
    uint64_t va = ENTRY_BASE + (uint64_t)c->id * ENTRY_SIZE;
    return paging_map_page(va, image_maddr(entry_page), MAP_RX) == 0 &&
           paging_map_page(va + PAGE_SIZE, mfn_to_maddr(data).a, MAP_RW) == 0;
}

static bool make_exception_stacks(struct cpu *c)
{
    for (unsigned ist = IST_DF; ist <= IST_DB; ist++) {
        struct stack_top *top = stack_alloc();
        if (!top)
            return false;
        top->cpu = c;
        c->tss->ist[ist - 1] = (uintptr_t)&top->cpu;
    }
    return true;
}

struct cpu *cpu_create(unsigned id, uint32_t apic_id, uint32_t acpi_id)
{
    struct cpu *c = id == 0 ? &boot_cpu : heap_alloc(sizeof(*c));
    if (!c)
        return NULL;
    c->id = id;
    c->apic_id = apic_id;
    c->core_id = cpu_core_of(apic_id);
    c->acpi_id = acpi_id;
    if (!map_window(c) || !map_entry_pages(c) || !make_exception_stacks(c))
        return NULL;
    return c;
}

static void load_control_registers(void)
{
    const struct cpu_features *f = &cpu_features;
    write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG);
    uint64_t cr4 = CR4_DE | CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    cr4 |= f->pge ? CR4_PGE : 0;
    cr4 |= f->smep ? CR4_SMEP : 0;
    cr4 |= f->smap ? CR4_SMAP : 0;
    cr4 |= f->umip ? CR4_UMIP : 0;
    cr4 |= f->xsave ? CR4_OSXSAVE : 0;
    write_cr4(cr4);
    if (f->xsave)
        __asm__ volatile("xsetbv"
                         :
                         : "c"(0), "a"((uint32_t)f->xcr0), "d"((uint32_t)(f->xcr0 >> 32)));
    uint64_t efer = rdmsr(MSR_EFER) | EFER_SCE;
    wrmsr(MSR_EFER, f->nx ? efer | EFER_NXE : efer);
    wrmsr(MSR_PAT, PAT_VALUE);
}

static void load_tables(const struct cpu *c)
{
    struct table_pointer gdt = {GDT_LIMIT, WINDOWS_BASE + (uint64_t)c->id * WINDOW_SIZE};
    struct table_pointer interrupts = {sizeof(idt) - 1, (uintptr_t)idt};
    __asm__ volatile("lgdt %0" : : "m"(gdt));
    __asm__ volatile("pushq %0\n\t"
                     "lea 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:"
                     :
                     : "i"(HV_CS)
                     : "rax", "memory");
    __asm__ volatile("mov %0, %%ss\n\t"
                     "mov %1, %%ds\n\t"
                     "mov %1, %%es\n\t"
                     "mov %1, %%fs\n\t"
                     "mov %1, %%gs\n\t"
                     "lldt %w1"
                     :
                     : "r"(HV_DS), "r"(0));
    __asm__ volatile("ltr %w0" : : "r"(HV_TSS));
    __asm__ volatile("lidt %0" : : "m"(interrupts));
}

void cpu_load(struct cpu *c)
{
    load_control_registers();
    load_tables(c);
    if (cpu_features.xsave && c->id == 0)
        cpu_features.xsave_size = max(cpuid(0xd, 0).ebx, 576u);
    entry_init_cpu();
}
