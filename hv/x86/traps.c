/* SPDX-License-Identifier: MIT */
/*
 * Exceptions: what the hypervisor does with each, by who was interrupted.
 *
 * From a guest: a few are ours to resolve (privileged instructions, writes to page tables, LDT
 * pages seen for the first time); the rest bounce to the guest kernel. From the hypervisor: only
 * the instructions listed in .fixups may fault; anything else is our own bug and ends the machine
 * with a report.
 */
#include "base/check.h"
#include "base/log.h"
#include "core/domain.h"
#include "core/irq.h"
#include "core/sched.h"
#include "core/uaccess.h"
#include "x86/crash.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include "x86/insn.h"
#include "x86/machine.h"
#include "x86/segments.h"

struct fixup {
    uint64_t at, to;
};
extern const struct fixup fixups_start[], fixups_end[];

/* ---- faults of the hypervisor itself ---- */

static uint64_t find_fixup(uint64_t rip)
{
    for (const struct fixup *f = fixups_start; f < fixups_end; f++)
        if (f->at == rip)
            return f->to;
    return 0;
}

/* Do the guest's tables allow this access after all? Then the fault came from a stale translation,
 * which the fault itself removed: just try again. Asked of the tables that are loaded, whatever the
 * vCPU's mode, and of every level: a wrong yes would repeat the fault for ever. */
static bool fault_is_spurious(uint64_t address, uint32_t error)
{
    mfn_t table = pte_mfn(read_cr3());
    pte_t needed = PTE_P | PTE_US | (error & PF_WRITE ? PTE_RW : 0);

    if ((error & (PF_RSVD | PF_FETCH)) || !guest_range_ok(address, 1))
        return false;
    for (unsigned level = 4; level > 0; level--) {
        if (!frame_is_ram(table))
            return false;
        pte_t e = ((volatile pte_t *)env_frame(table))[pt_index(address, level)];
        if ((e & needed) != needed || (level > 1 && (e & PTE_PSE)))
            return false;
        table = pte_mfn(e);
    }
    return true;
}

void trap_from_hypervisor(struct regs *regs)
{
    uint64_t address = regs->vector == EXC_PF ? read_cr2() : 0;
    uint64_t to = find_fixup(regs->rip);
    if (!to)
        crash_exception(regs, address);
    /* Whose descriptor tables are in the window: in the middle of a switch not the one on whose stack we are. */
    struct vcpu *v = this_cpu()->current;
    if (regs->vector == EXC_PF && !v->is_idle) {
        if (ldt_window_fault(v, address) || fault_is_spurious(address, regs->error_code))
            return;
    }
    regs->rip = to;
}

void interrupt_from_hypervisor(struct regs *regs)
{
    irq_dispatch(regs);
}

/* ---- exceptions on stacks of their own ---- */

static struct regs *copy_to_vcpu_stack(struct vcpu *v, const struct regs *regs)
{
    v->stack->regs = *regs;
    return &v->stack->regs;
}

/* A debug exception in the hypervisor: a breakpoint or single step of the guest that was delayed
 * past SYSCALL or left on by SYSENTER. It is dropped; the entry path clears the flag. */
static void debug_in_hypervisor(struct regs *regs)
{
    regs->rflags &= ~(uint64_t)RFLAGS_TF;
    debug_clear_status();
}

struct regs *trap_on_own_stack(struct regs *regs)
{
    struct cpu *c = this_cpu();
    bool guest = regs->cs & 3;

    switch (regs->vector) {
    case EXC_DB:
        if (!guest)
            debug_in_hypervisor(regs);
        break;
    case EXC_NMI:
        crash_nmi(regs);
        break;
    default:
        crash_exception(regs, regs->vector == EXC_DF ? read_cr2() : 0);
    }
    /* Back to a guest only by the way out that expects it to fail: its segments may have gone meanwhile. */
    return guest ? copy_to_vcpu_stack(c->current, regs) : regs;
}

/* ---- exceptions of a guest ---- */

/* INT n: the gate of n is closed to ring 3, so it arrives as a general-protection fault that names
 * n. The guest's own table says whether its current mode may call it. */
static bool software_interrupt(struct vcpu *v, struct regs *regs)
{
    unsigned vector = (regs->error_code >> 3) & 0xff;
    const struct guest_trap *t = &v->traps[vector];
    unsigned needed = t->flags & 3, privilege = v->in_kernel ? 1 : 3;

    if (!(regs->error_code & 2) || !t->address || needed < privilege)
        return false;
    regs->rip += 2;
    guest_inject(v, vector, 0);
    return true;
}

/* INT3, INTO and INT 0x80: their gates are open in the hardware, so the guest's own table is asked here. */
static void open_interrupt(struct vcpu *v, struct regs *regs)
{
    const struct guest_trap *t = &v->traps[regs->vector];
    uint8_t last = 0;

    if (t->address && (v->in_kernel || (t->flags & 3) == 3)) {
        guest_inject(v, regs->vector, 0);
        return;
    }
    /* Back to the instruction: one byte, or INT n. */
    bool short_form = regs->vector != VECTOR_INT80 && !copy_from_guest(&last, regs->rip - 1, 1) &&
                      last != regs->vector;
    regs->rip -= short_form ? 1 : 2;
    guest_inject(v, EXC_GP, regs->vector << 3 | 2);
}

static void guest_general_protection(struct vcpu *v, struct regs *regs)
{
    if (regs->error_code & 2) {
        if (software_interrupt(v, regs))
            return;
    } else if (emulate_privileged(v, regs)) {
        return;
    }
    guest_inject(v, EXC_GP, regs->error_code);
}

/*
 * What is neither a guest's own affair nor a store to its page tables: a bad entry, an address of ours, or an
 * access that the processor made with its own rights (to a descriptor table; or see far_return.c). True: resolved.
 */
static bool unusual_page_fault(struct vcpu *v, struct regs *regs, uint64_t address)
{
    uint32_t error = regs->error_code;

    if (error & PF_RSVD) {
        domain_crash(v->domain, "a page-table entry has a reserved bit (address %lx)",
                     (unsigned long)address);
        return true;
    }
    if (!guest_range_ok(address, 1))
        return window_guest_fault(v, regs, address);
    return (error & (PF_PRESENT | PF_USER | PF_WRITE | PF_FETCH)) == PF_PRESENT &&
           far_return_emulate(regs);
}

void page_fault_from_guest(struct regs *regs)
{
    struct vcpu *v = current_vcpu();
    uint64_t address = read_cr2();
    uint32_t error = regs->error_code;

    if (v->in_kernel && (error & (PF_PRESENT | PF_WRITE | PF_RSVD)) == (PF_PRESENT | PF_WRITE) &&
        emulate_write_fault(v, regs, address)) {
        guest_exit(v, regs);
        return;
    }
    bool ordinary =
        (error & (PF_RSVD | PF_USER)) == PF_USER && (address < HV_START || address >= HV_END);
    if (likely(ordinary))
        guest_inject_page_fault(v, address, error);
    else if (!unusual_page_fault(v, regs, address)) /* the guest's own, whatever rights were used */
        guest_inject_page_fault(v, address, error | PF_USER);
    guest_exit(v, regs);
}

static void guest_debug(struct vcpu *v, struct regs *regs)
{
    debug_note_status(v);
    guest_inject(v, EXC_DB, 0);
    (void)regs;
}

static void guest_no_fpu(struct vcpu *v)
{
    /* The interface says that the flag is cleared on the way to the handler. */
    bool was_set = v->ts;
    fpu_clear_ts(v);
    if (was_set)
        guest_inject(v, EXC_NM, 0);
}

void trap_from_guest(struct regs *regs)
{
    struct vcpu *v = current_vcpu();

    switch (regs->vector) {
    case EXC_GP:
        guest_general_protection(v, regs);
        break;
    case EXC_UD:
        if (!emulate_invalid_opcode(v, regs))
            guest_inject(v, EXC_UD, 0);
        break;
    case EXC_DB:
        guest_debug(v, regs);
        break;
    case EXC_NMI: /* done with */
        break;
    case EXC_NM:
        guest_no_fpu(v);
        break;
    case EXC_BP:
    case EXC_OF:
    case VECTOR_INT80:
        open_interrupt(v, regs);
        break;
    default:
        guest_inject(v, regs->vector, regs->error_code);
        break;
    }
    guest_exit(v, regs);
}

void interrupt_from_guest(struct regs *regs)
{
    irq_dispatch(regs);
    guest_exit(current_vcpu(), regs);
}

/* ---- set up ---- */

extern void exception_de(void), exception_db(void), exception_nmi(void), exception_bp(void),
    exception_of(void), exception_br(void), exception_ud(void), exception_nm(void),
    exception_df(void), exception_ts(void), exception_np(void), exception_ss(void),
    exception_gp(void), exception_pf(void), exception_mf(void), exception_ac(void),
    exception_mc(void), exception_xm(void), exception_cp(void), exception_hv(void),
    exception_vc(void), exception_sx(void), exception_int80(void), exception_reserved(void);
extern char interrupt_stubs[];

static void (*const exception_entry[32])(void) = {
    [EXC_DE] = exception_de, [EXC_DB] = exception_db, [EXC_NMI] = exception_nmi,
    [EXC_BP] = exception_bp, [EXC_OF] = exception_of, [EXC_BR] = exception_br,
    [EXC_UD] = exception_ud, [EXC_NM] = exception_nm, [EXC_DF] = exception_df,
    [EXC_TS] = exception_ts, [EXC_NP] = exception_np, [EXC_SS] = exception_ss,
    [EXC_GP] = exception_gp, [EXC_PF] = exception_pf, [EXC_MF] = exception_mf,
    [EXC_AC] = exception_ac, [EXC_MC] = exception_mc, [EXC_XM] = exception_xm,
    [21] = exception_cp,     [28] = exception_hv,     [29] = exception_vc,
    [30] = exception_sx,
};

/* Only breakpoint, overflow and INT 0x80 may be called from ring 3; INT n of all others arrives as
 * a general-protection fault (software_interrupt). */
void traps_init(void)
{
    for (unsigned i = 0; i < 32; i++) {
        enum ist ist = i == EXC_DF    ? IST_DF
                       : i == EXC_NMI ? IST_NMI
                       : i == EXC_MC  ? IST_MC
                       : i == EXC_DB  ? IST_DB
                                      : IST_NONE;
        unsigned dpl = i == EXC_BP || i == EXC_OF ? 3 : 0;
        idt_set_gate(i, exception_entry[i] ? exception_entry[i] : exception_reserved, ist, dpl);
    }
    for (unsigned i = 0x20; i < 256; i++)
        idt_set_gate(i, (void (*)(void))(interrupt_stubs + 16 * (i - 0x20)), IST_NONE, 0);
    idt_set_gate(VECTOR_INT80, exception_int80, IST_NONE, 3);
}

extern char entry_syscall[], entry_syscall32[], entry_sysenter[];
extern char handler_syscall[], handler_syscall32[], handler_sysenter[];

void entry_init_cpu(void)
{
    struct cpu *c = this_cpu();
    uint64_t base = ENTRY_BASE + c->id * ENTRY_SIZE;

    c->entry->handler_syscall = (uint64_t)handler_syscall;
    c->entry->handler_syscall32 = (uint64_t)handler_syscall32;
    c->entry->handler_sysenter = (uint64_t)handler_sysenter;
    wrmsr(MSR_STAR, ((uint64_t)GUEST_CS32 << 48) | ((uint64_t)HV_CS << 32));
    wrmsr(MSR_LSTAR, base + (uint64_t)(entry_syscall - entry_page));
    wrmsr(MSR_CSTAR, base + (uint64_t)(entry_syscall32 - entry_page));
    wrmsr(MSR_SYSCALL_MASK, RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC |
                                RFLAGS_IOPL | RFLAGS_RF | RFLAGS_VM);
    if (cpu_features.intel_sysenter) {
        wrmsr(MSR_SYSENTER_CS, HV_CS);
        wrmsr(MSR_SYSENTER_ESP, base + ENTRY_SIZE);
        wrmsr(MSR_SYSENTER_EIP, base + (uint64_t)(entry_sysenter - entry_page));
    }
}

struct smap_site {
    uint64_t at, insn; /* three bytes */
};
extern const struct smap_site smap_sites_start[], smap_sites_end[];

void smap_patch(void)
{
    if (!cpu_features.smap)
        return;
    for (const struct smap_site *s = smap_sites_start; s < smap_sites_end; s++)
        for (unsigned i = 0; i < 3; i++)
            ((volatile uint8_t *)s->at)[i] = (uint8_t)(s->insn >> (8 * i));
}
