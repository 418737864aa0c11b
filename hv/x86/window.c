/* SPDX-License-Identifier: MIT */
/*
 * The window: 32 page-table entries of each CPU through which it sees the GDT (14 guest pages) and the LDT (up
 * to 16 pages) of the vCPU it runs. GDTR and the LDT's base never change; what lies behind does.
 */
#include "base/check.h"
#include "mm/mm.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include "x86/insn.h"
#include "x86/paging.h"
#include "x86/segments.h"

#define LDT_SLOT        16 /* first LDT entry among the window's */
#define DESC_PAGE_FLAGS (PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX)
#define ZERO_PAGE_FLAGS (PTE_P | PTE_A | PTE_NX)

static uint64_t window_base(const struct cpu *c)
{
    return WINDOWS_BASE + (uint64_t)c->id * WINDOW_SIZE;
}

static pte_t no_execute(pte_t e)
{
    return cpu_features.nx ? e : e & ~PTE_NX;
}

static void load_ldt(struct cpu *c, const struct vcpu *v)
{
    unsigned selector = 0;

    if (v->mm.ldt_entries) {
        uint64_t base = window_base(c) + WINDOW_LDT;
        uint64_t limit = v->mm.ldt_entries * 8ull - 1;
        uint64_t *d = (uint64_t *)(window_base(c) + HV_LDT);
        /* A system descriptor of type 2 (LDT), present. */
        d[0] = (limit & 0xffff) | ((base & 0xffffff) << 16) | (0x82ull << 40) |
               ((base >> 24 & 0xff) << 56);
        d[1] = base >> 32;
        selector = HV_LDT;
    }
    __asm__ volatile("lldt %w0" : : "r"(selector) : "memory");
}

/* The caller loads CR3 or flushes afterwards: the entries are not global. */
void window_load(struct vcpu *v)
{
    struct cpu *c = this_cpu();

    for (unsigned i = 0; i < MM_GDT_FRAMES; i++) {
        mfn_t m = v->mm.gdt[i];
        c->window_ptes[i] =
            no_execute(mfn_eq(m, MFN_NONE) ? pte_make(zero_page_mfn, ZERO_PAGE_FLAGS)
                                           : pte_make(m, DESC_PAGE_FLAGS));
    }
    for (unsigned i = 0; i < MM_LDT_FRAMES; i++) {
        mfn_t m = v->mm.ldt[i];
        c->window_ptes[LDT_SLOT + i] =
            mfn_eq(m, MFN_NONE) ? 0 : no_execute(pte_make(m, DESC_PAGE_FLAGS));
    }
    load_ldt(c, v);
}

void env_ldt_changed(struct mm_vcpu *m)
{
    struct vcpu *v = vcpu_of(m);
    struct cpu *c = this_cpu();
    bool shown = false;

    if (v != current_vcpu())
        return;
    for (unsigned i = 0; i < MM_LDT_FRAMES; i++) {
        shown |= c->window_ptes[LDT_SLOT + i] != 0;
        c->window_ptes[LDT_SLOT + i] = 0;
    }
    if (shown)
        tlb_flush_local();
    load_ldt(c, v);
}

/* Is the address in this CPU's window, and at which offset from its start? */
static bool in_window(uint64_t address, uint64_t *offset)
{
    uint64_t base = window_base(this_cpu());
    if (address < base || address >= base + WINDOW_SIZE)
        return false;
    *offset = address - base;
    return true;
}

bool ldt_window_fault(struct vcpu *v, uint64_t address)
{
    uint64_t offset;
    if (!in_window(address, &offset) || offset < WINDOW_LDT ||
        offset >= WINDOW_LDT + MM_LDT_FRAMES * PAGE_SIZE)
        return false;
    unsigned index = (unsigned)((offset - WINDOW_LDT) >> PAGE_SHIFT);
    mfn_t m = mm_ldt_page(&v->mm, index);
    if (mfn_eq(m, MFN_NONE))
        return false;
    this_cpu()->window_ptes[LDT_SLOT + index] = no_execute(pte_make(m, DESC_PAGE_FLAGS));
    return true;
}

bool window_guest_fault(struct vcpu *v, struct regs *regs, uint64_t address)
{
    uint64_t offset;
    /* The guest's own access by that address is none of a descriptor: an ordinary fault. */
    if ((regs->error_code & PF_USER) || !in_window(address, &offset))
        return false;
    if (ldt_window_fault(v, address))
        return true;
    if (offset >= WINDOW_LDT && v->mm.ldt_entries)
        guest_inject_page_fault(v, v->mm.ldt_base + offset - WINDOW_LDT,
                                regs->error_code | PF_USER);
    else
        guest_inject(v, EXC_GP, (uint32_t)(offset & 0xfff8));
    return true;
}
