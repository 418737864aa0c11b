/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers and CR4 as guest kernels see them: a whitelist. What is not named here
 * faults, for reading and writing; stock kernels expect that (they were built with safe accesses
 * for this interface) and go without. A guest sees in a register what is in force: bits it cannot
 * change do not change when written, or the write faults.
 *
 * The constants are those a stock kernel reads at boot without asking CPUID first; they say
 * "feature absent" or "firmware did it".
 */
#include "core/domain.h"
#include "core/uaccess.h"
#include "emulate.h"
#include "x86/insn.h"

#define MSR_TSC             0x10
#define MSR_PLATFORM_ID     0x17
#define MSR_UCODE_REV       0x8b
#define MSR_PLATFORM_INFO   0xce
#define MSR_MCG_CAP         0x179
#define MSR_MCG_STATUS      0x17a
#define MSR_MISC_ENABLE     0x1a0
#define MSR_DEBUGCTL        0x1d9
#define MSR_AMD_SYSCFG      0xc0010010
#define MSR_AMD_HWCR        0xc0010015
#define MSR_AMD_INT_PENDING 0xc0010055
#define MSR_AMD_DE_CFG      0xc0011029

#define APIC_BASE_BSP     BIT(8)
#define APIC_BASE_ENABLE  BIT(11)
#define APIC_BASE_ADDRESS 0xfee00000ull
#define MISC_ENABLE_GUEST (BIT(0) | BIT(11) | BIT(12)) /* fast strings; no BTS, no PEBS */
#define HWCR_TSC_FREQ_SEL BIT(24)                      /* the TSC counts at its nominal rate */
#define DE_CFG_LFENCE     BIT(1)                       /* LFENCE serialises */
#define EFER_GUEST        (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

#define CR4_GUEST_SEES (CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT)
#define CR4_GUEST_OWNS (CR4_TSD | CR4_DE)

/* ---- what differs between vCPUs, in the hardware ---- */

static struct {
    uint32_t tsc_aux;
    bool tsc_aux_known;
    bool tsd;
} loaded[MAX_CPUS];

static bool has_tsc_aux(void)
{
    static enum { UNKNOWN, NO, YES } state;
    if (state == UNKNOWN) {
        bool rdtscp = cpuid(0x80000001, 0).edx & BIT(27);
        bool rdpid = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ecx & BIT(22));
        state = rdtscp || rdpid ? YES : NO;
    }
    return state == YES;
}

void msr_load(struct vcpu *v)
{
    unsigned cpu = this_cpu()->id;
    bool tsd = v->cr4 & CR4_TSD;

    if (loaded[cpu].tsd != tsd) {
        loaded[cpu].tsd = tsd;
        write_cr4((read_cr4() & ~(uint64_t)CR4_TSD) | (tsd ? CR4_TSD : 0));
    }
    if (has_tsc_aux() && !(loaded[cpu].tsc_aux_known && loaded[cpu].tsc_aux == v->tsc_aux)) {
        loaded[cpu].tsc_aux_known = true;
        loaded[cpu].tsc_aux = v->tsc_aux;
        wrmsr(MSR_TSC_AUX, v->tsc_aux);
    }
}

/* ---- CR4 ---- */

static uint64_t cr4_owned(void)
{
    return CR4_GUEST_OWNS | (cpu_features.xsave ? CR4_OSXSAVE : 0);
}

uint64_t msr_guest_cr4(const struct vcpu *v)
{
    return (read_cr4() & CR4_GUEST_SEES) | (v->cr4 & cr4_owned());
}

void msr_init_cr4(struct vcpu *v, uint64_t value)
{
    v->cr4 = value & cr4_owned();
}

void msr_guest_set_cr4(struct vcpu *v, uint64_t value)
{
    msr_init_cr4(v, value);
    msr_load(v);
}

/* ---- MSRs ---- */

static const struct {
    uint32_t msr;
    bool writable; /* of this same value */
    uint64_t value;
} constants[] = {
    {MSR_PLATFORM_ID, false, 0},
    {MSR_PLATFORM_INFO, false, 0}, /* no CPUID faulting */
    {MSR_MCG_CAP, false, 0},       /* no banks */
    {MSR_MCG_STATUS, true, 0},
    {MSR_MISC_ENABLE, true, MISC_ENABLE_GUEST},
    {MSR_DEBUGCTL, true, 0},
    {MSR_AMD_SYSCFG, false, 0}, /* no memory encryption */
    {MSR_AMD_HWCR, true, HWCR_TSC_FREQ_SEL},
    {MSR_AMD_INT_PENDING, false, 0}, /* C1E is not the guest's */
};

static bool find_constant(uint32_t msr, unsigned *at)
{
    for (unsigned i = 0; i < ARRAY_SIZE(constants); i++) {
        if (constants[i].msr == msr) {
            *at = i;
            return true;
        }
    }
    return false;
}

/* Bits of a register that not every machine has. */
static bool read_hardware(uint32_t msr, uint64_t mask, uint64_t *value)
{
    if (rdmsr_safe(msr, value))
        return false;
    *value &= mask;
    return true;
}

bool msr_guest_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    unsigned at;

    switch (msr) {
    case MSR_FS_BASE:
    case MSR_GS_BASE:
    case MSR_KERNEL_GS_BASE: /* in guest kernel mode this is the user's, as the guest expects */
    case MSR_PAT:
        *value = rdmsr(msr);
        return true;
    case MSR_EFER:
        *value = rdmsr(MSR_EFER) & EFER_GUEST;
        return true;
    case MSR_TSC:
        *value = rdtsc();
        return true;
    case MSR_TSC_AUX:
        *value = v->tsc_aux;
        return has_tsc_aux();
    case MSR_APIC_BASE:
        *value = APIC_BASE_ADDRESS | APIC_BASE_ENABLE | (v->mm.id == 0 ? APIC_BASE_BSP : 0);
        return true;
    case MSR_UCODE_REV:
        return read_hardware(msr, ~0ull, value);
    case MSR_AMD_DE_CFG:
        return read_hardware(msr, DE_CFG_LFENCE, value);
    default:
        if (!find_constant(msr, &at))
            return false;
        *value = constants[at].value;
        return true;
    }
}

bool msr_guest_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    unsigned at;
    uint64_t now;

    switch (msr) {
    case MSR_FS_BASE:
    case MSR_GS_BASE:
    case MSR_KERNEL_GS_BASE:
        if (!is_canonical(value))
            return false;
        wrmsr(msr, value);
        return true;
    case MSR_TSC_AUX:
        if (!has_tsc_aux() || value >> 32)
            return false;
        v->tsc_aux = (uint32_t)value;
        msr_load(v);
        return true;
    case MSR_UCODE_REV: /* Intel's way to ask for the revision begins with this */
        return value == 0;
    case MSR_PAT:
    case MSR_EFER:
    case MSR_APIC_BASE:
        return msr_guest_read(v, msr, &now) && now == value;
    default:
        return find_constant(msr, &at) && constants[at].writable && constants[at].value == value;
    }
}
