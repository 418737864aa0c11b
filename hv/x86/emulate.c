/* SPDX-License-Identifier: MIT */
/*
 * Privileged instructions of guest kernels.
 *
 * A guest kernel runs in ring 3 with I/O privilege level 0, so these fault. Stock kernels use
 * hypercalls for most of them; what is left (port I/O, MSRs, CR4, cpuid with the forced-emulation
 * prefix, a few of early boot) is carried out here. The instruction is read once into a private
 * copy; if the guest rewrites it meanwhile, at most another legal operation happens. Code in
 * compatibility mode is never emulated: its fault stays its own.
 *
 * Instructions that read descriptor-table registers (sgdt, sidt, sldt, str, smsw) fault where the
 * hardware prevents them in ring 3. Guests are not told of that feature, so these work for kernel
 * and user alike, and show constants that say nothing about the hypervisor.
 */
#include "base/string.h"
#include "core/domain.h"
#include "core/event.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "core/uaccess.h"
#include "emulate.h"
#include "operand.h"
#include "x86/insn.h"
#include "x86/segments.h"

#define DR6_BS        0x4000
#define LAR_CODE64    (BIT(12) | BIT(11) | BIT(21)) /* code segment, long */
#define SELECTOR_LDT  4
#define FORCED_PREFIX 5
#define FETCH_BYTES   16 /* two words; an instruction has at most 15 */

/* ---- what every emulation needs ---- */

/* Is cs a 64-bit code segment? The processor reads the descriptor that the guest runs on. */
static bool is_code64(const struct vcpu *v, unsigned cs)
{
    uint32_t rights = 0;

    cs &= 0xffff;
    if (likely(cs == GUEST_CS64))
        return true;
    /* LAR touches the descriptor's memory: only what is certainly mapped. */
    if ((cs & SELECTOR_LDT) || (cs >> 3) >= v->mm.gdt_entries)
        return false;
    __asm__("lar %1, %0" : "+r"(rights) : "r"(cs) : "cc");
    return (rights & LAR_CODE64) == LAR_CODE64;
}

/* The bytes at rip, as far as they can be read, at least a longest instruction if possible; their
 * number. */
static inline unsigned fetch_bytes(uint64_t rip, uint8_t bytes[FETCH_BYTES])
{
    unsigned in_page = (unsigned)(PAGE_SIZE - (rip & ~PAGE_MASK));

    if (likely(in_page >= FETCH_BYTES))
        return copy16_from_guest(bytes, rip) ? 0 : FETCH_BYTES;
    if (copy_from_guest(bytes, rip, in_page))
        return 0;
    if (in_page < INSN_MAX_BYTES &&
        !copy_from_guest(bytes + in_page, rip + in_page, INSN_MAX_BYTES - in_page))
        return INSN_MAX_BYTES;
    return in_page;
}

/*
 * Decoded instructions of late, by their bytes: a kernel changes page tables at a handful of
 * places, and decoding is half the work of a trapped store. A description follows from the bytes
 * alone, so an entry is never stale, whoever's code it came from.
 */
#define CACHE_ENTRIES 8
static struct cached {
    uint64_t bytes[2];
    struct insn insn;
} cache[MAX_CPUS][CACHE_ENTRIES];

/* A whole fetch (16 bytes, though no instruction has more than 15). */
static bool decode_cached(uint64_t rip, const uint64_t bytes[2], struct insn *insn)
{
    struct cached *c = &cache[this_cpu()->id][(rip ^ rip >> 4) % CACHE_ENTRIES];

    if (unlikely(c->bytes[0] != bytes[0] || c->bytes[1] != bytes[1] || c->insn.op == INSN_NONE)) {
        if (insn_decode((const uint8_t *)bytes, INSN_MAX_BYTES, insn) != INSN_OK)
            return false;
        c->bytes[0] = bytes[0];
        c->bytes[1] = bytes[1];
        c->insn = *insn;
    }
    *insn = c->insn;
    return true;
}

bool emulate_fetch(struct vcpu *v, const struct regs *regs, struct insn *insn)
{
    uint64_t bytes[2];

    if (!is_code64(v, (unsigned)regs->cs))
        return false;
    unsigned n = fetch_bytes(regs->rip, (uint8_t *)bytes);
    if (likely(n == FETCH_BYTES))
        return decode_cached(regs->rip, bytes, insn);
    return n && insn_decode((const uint8_t *)bytes, n, insn) == INSN_OK;
}

/* Debug trap after a completed instruction, if the guest single-steps. */
static void single_step(struct vcpu *v, const struct regs *regs)
{
    if (unlikely(regs->rflags & RFLAGS_TF)) {
        v->dr[6] |= DR6_BS;
        guest_inject(v, EXC_DB, 0);
    }
}

void emulate_done(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    regs->rip += insn->length;
    regs->rflags &= ~(uint64_t)RFLAGS_RF;
    single_step(v, regs);
}

static mfn_t current_root(const struct vcpu *v)
{
    return v->in_kernel ? v->mm.kernel_root : v->mm.user_root;
}

static bool page_lets(struct vcpu *v, uint64_t va, bool write, bool *present)
{
    unsigned level;
    pte_t e = mm_walk(current_root(v), va, &level);

    *present = level == 1 && (e & PTE_P);
    return *present && (!write || (e & PTE_RW));
}

void emulate_access_fault(struct vcpu *v, uint64_t va, unsigned n, bool write)
{
    bool present = false;

    if (!is_canonical(va)) {
        guest_inject(v, EXC_GP, 0);
        return;
    }
    uint64_t last = va + n - 1;
    if ((last & PAGE_MASK) != (va & PAGE_MASK) && guest_range_ok(va, 1) &&
        page_lets(v, va, write, &present))
        va = last & PAGE_MASK;
    if (guest_range_ok(va, 1))
        page_lets(v, va, write, &present);
    guest_inject_page_fault(v, va, PF_USER | (write ? PF_WRITE : 0) | (present ? PF_PRESENT : 0));
}

bool emulate_writable(struct vcpu *v, uint64_t va, unsigned n)
{
    bool present;
    return guest_range_ok(va, n) && page_lets(v, va, true, &present) &&
           page_lets(v, va + n - 1, true, &present);
}

uint64_t guest_segment_base(struct vcpu *v, const struct regs *regs, unsigned segment)
{
    (void)v, (void)regs; /* 64-bit code only: the others start at 0 */
    return segment == SEG_FS ? rdmsr(MSR_FS_BASE) : segment == SEG_GS ? rdmsr(MSR_GS_BASE) : 0;
}

/* ---- handlers ---- */

enum outcome {
    REFUSED, /* nothing changed: the fault is the guest's */
    DONE,    /* go on behind the instruction */
    FAULTED, /* another fault was delivered instead */
};
typedef enum outcome handler(struct vcpu *v, struct regs *regs, const struct insn *insn);

static enum outcome ignore(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    (void)v, (void)regs, (void)insn;
    return DONE;
}

/* As the hardware: waits for an event and takes it behind the instruction. Does not unmask events.
 */
static enum outcome halt(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    (void)regs, (void)insn;
    if (!v->info->evtchn_upcall_pending)
        vcpu_block();
    return DONE;
}

static enum outcome clear_ts(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    (void)regs, (void)insn;
    return do_fpu_taskswitch(v, 0, 0, 0, 0, 0) ? REFUSED : DONE;
}

/* INVD would lose other people's data: both write back. Without devices, caches are no guest's
 * business. */
static enum outcome flush_caches(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    (void)regs, (void)insn;
    if (v->mm.d->privileged)
        env_flush_caches(false);
    return DONE;
}

static enum outcome flush_page(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    uint64_t va = operand_address(insn, regs, guest_segment_base(v, regs, insn->segment));
    env_flush_local(false, va);
    return DONE;
}

static enum outcome read_cr(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    uint64_t value;

    switch (insn->reg) {
    case 0:
        value = (read_cr0() & ~(uint64_t)CR0_TS) | (v->ts ? CR0_TS : 0);
        break;
    case 2:
        value = v->info->arch.cr2;
        break;
    case 3:
        value = v->mm.kernel_root.n << PAGE_SHIFT;
        break;
    case 4:
        value = msr_guest_cr4(v);
        break;
    default:
        return REFUSED;
    }
    operand_write(regs, insn->rm, 8, value);
    return DONE;
}

static enum outcome write_cr(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    uint64_t value = operand_read(regs, insn->rm, 8);

    switch (insn->reg) {
    case 0: /* only TS is the guest's */
        if ((value ^ read_cr0()) & ~(uint64_t)CR0_TS)
            return REFUSED;
        return do_fpu_taskswitch(v, !!(value & CR0_TS), 0, 0, 0, 0) ? REFUSED : DONE;
    case 2:
        v->info->arch.cr2 = value;
        return DONE;
    case 3:
        return mm_set_root(&v->mm, mfn(value >> PAGE_SHIFT), false) ? REFUSED : DONE;
    case 4:
        msr_guest_set_cr4(v, value);
        return DONE;
    default:
        return REFUSED;
    }
}

static enum outcome read_dr(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    if (insn->reg > 7)
        return REFUSED;
    operand_write(regs, insn->rm, 8, (uint64_t)do_get_debugreg(v, insn->reg, 0, 0, 0, 0));
    return DONE;
}

static enum outcome write_dr(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    return do_set_debugreg(v, insn->reg, operand_read(regs, insn->rm, 8), 0, 0, 0) ? REFUSED : DONE;
}

static enum outcome read_msr(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    uint64_t value;

    (void)insn;
    if (!msr_guest_read(v, (uint32_t)regs->rcx, &value))
        return REFUSED;
    regs->rax = (uint32_t)value;
    regs->rdx = value >> 32;
    return DONE;
}

static enum outcome write_msr(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    (void)insn;
    bool ok = msr_guest_write(v, (uint32_t)regs->rcx, (regs->rdx << 32) | (uint32_t)regs->rax);
    return ok ? DONE : REFUSED;
}

/* Faults in ring 3 only while the guest set CR4.TSD, which does not bind its kernel. */
static enum outcome read_tsc(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    if (!v->in_kernel)
        return REFUSED;
    uint64_t t = rdtsc();
    regs->rax = (uint32_t)t;
    regs->rdx = t >> 32;
    if (insn->op == INSN_RDTSCP) {
        uint64_t aux = 0;
        if (!msr_guest_read(v, MSR_TSC_AUX, &aux))
            return REFUSED;
        regs->rcx = aux;
    }
    return DONE;
}

/* The hypervisor keeps XCR0 at all that it saves and offers; a guest may confirm that, not change
 * it. */
static enum outcome write_xcr(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    (void)insn;
    uint64_t value = (regs->rdx << 32) | (uint32_t)regs->rax;
    bool ok =
        (msr_guest_cr4(v) & CR4_OSXSAVE) && (uint32_t)regs->rcx == 0 && value == cpu_features.xcr0;
    return ok ? DONE : REFUSED;
}

/* SGDT and friends: what an operating system without secrets would show. */
static enum outcome read_table_register(struct vcpu *v, struct regs *regs, const struct insn *insn)
{
    bool table = insn->op == INSN_SGDT || insn->op == INSN_SIDT;
    uint64_t value =
        insn->op == INSN_SMSW ? CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE : 0;
    unsigned n = table ? 10 : 2;
    uint8_t image[10] = {(uint8_t)value, (uint8_t)(value >> 8)};

    if (!insn->mem) {
        operand_write(regs, insn->rm, insn->size, value);
        return DONE;
    }
    uint64_t va = operand_address(insn, regs, guest_segment_base(v, regs, insn->segment));
    if (!copy_to_guest(va, image, n))
        return DONE;
    emulate_access_fault(v, va, n, true);
    return FAULTED;
}

static const struct {
    handler *fn;
    bool user; /* also for user mode */
} handlers[] = {
    [INSN_SGDT] = {read_table_register, true},
    [INSN_SIDT] = {read_table_register, true},
    [INSN_SLDT] = {read_table_register, true},
    [INSN_STR] = {read_table_register, true},
    [INSN_SMSW] = {read_table_register, true},
    [INSN_HLT] = {halt, false},
    [INSN_CLI] = {ignore, false}, /* the guest's interrupt flag is the event mask, not this one */
    [INSN_STI] = {ignore, false},
    [INSN_CLTS] = {clear_ts, false},
    [INSN_INVD] = {flush_caches, false},
    [INSN_WBINVD] = {flush_caches, false},
    [INSN_INVLPG] = {flush_page, false},
    [INSN_FROM_CR] = {read_cr, false},
    [INSN_TO_CR] = {write_cr, false},
    [INSN_FROM_DR] = {read_dr, false},
    [INSN_TO_DR] = {write_dr, false},
    [INSN_RDMSR] = {read_msr, false},
    [INSN_WRMSR] = {write_msr, false},
    [INSN_RDTSC] = {read_tsc, false},
    [INSN_RDTSCP] = {read_tsc, false},
    [INSN_XSETBV] = {write_xcr, false},
};

bool emulate_privileged(struct vcpu *v, struct regs *regs)
{
    struct insn insn;

    if (!emulate_fetch(v, regs, &insn))
        return false;
    if (insn.op >= INSN_IN && insn.op <= INSN_OUTS)
        return ioport_emulate(v, regs, &insn);
    if (insn.op >= ARRAY_SIZE(handlers) || !handlers[insn.op].fn ||
        !(v->in_kernel || handlers[insn.op].user))
        return false;
    enum outcome o = handlers[insn.op].fn(v, regs, &insn);
    if (o == DONE)
        emulate_done(v, regs, &insn);
    return o != REFUSED;
}

bool emulate_invalid_opcode(struct vcpu *v, struct regs *regs)
{
    static const uint8_t prefix[FORCED_PREFIX] = {0x0f, 0x0b, 'x', 'e', 'n'};
    uint8_t bytes[FETCH_BYTES];
    uint32_t out[4];
    struct insn insn;

    if (!is_code64(v, (unsigned)regs->cs))
        return false;
    unsigned n = fetch_bytes(regs->rip, bytes);
    if (n <= FORCED_PREFIX || memcmp(bytes, prefix, FORCED_PREFIX) ||
        insn_decode(bytes + FORCED_PREFIX, n - FORCED_PREFIX, &insn) != INSN_OK ||
        insn.op != INSN_CPUID)
        return false;
    guest_cpuid(v, (uint32_t)regs->rax, (uint32_t)regs->rcx, out);
    regs->rax = out[0];
    regs->rbx = out[1];
    regs->rcx = out[2];
    regs->rdx = out[3];
    insn.length += FORCED_PREFIX;
    emulate_done(v, regs, &insn);
    return true;
}
