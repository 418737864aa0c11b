/* SPDX-License-Identifier: MIT */
/*
 * Extended state (x87, SSE, AVX, ...): saved when a vCPU leaves a CPU and restored when it comes, always in full and
 * never lazily, so that nothing of another vCPU is ever in the registers while a guest runs.
 */
#include "base/string.h"
#include "core/hypercall.h"
#include "mm/mm.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include "x86/insn.h"

#define FXSAVE_SIZE 512
#define FCW_INIT    0x37f
#define MXCSR_INIT  0x1f80

static void reset_image(void *area)
{
    memset(area, 0, cpu_features.xsave ? cpu_features.xsave_size : FXSAVE_SIZE);
    *(uint16_t *)area = FCW_INIT;
    *(uint32_t *)((char *)area + 24) = MXCSR_INIT;
}

int fpu_init_vcpu(struct vcpu *v)
{
    v->xsave = heap_alloc(cpu_features.xsave ? cpu_features.xsave_size : FXSAVE_SIZE);
    if (!v->xsave)
        return -XEN_ENOMEM;
    reset_image(v->xsave);
    return 0;
}

#define MXCSR_RESERVED 0xffff0000u
#define XSTATE_LEGACY  3 /* x87 and SSE present in the image */

void fpu_load_image(struct vcpu *v, const void *fxsave)
{
    memcpy(v->xsave, fxsave, FXSAVE_SIZE);
    *(uint32_t *)((char *)v->xsave + 24) &= ~MXCSR_RESERVED;
    if (cpu_features.xsave)
        *(uint64_t *)((char *)v->xsave + FXSAVE_SIZE) |= XSTATE_LEGACY;
}

struct xsave_header {
    uint64_t present, compact, reserved[6];
};

int fpu_load_xsave(struct vcpu *v, const void *area)
{
    const struct xsave_header *h = (const void *)((const char *)area + FXSAVE_SIZE);

    if ((h->present & ~cpu_features.xcr0) || h->compact)
        return -XEN_EINVAL;
    for (unsigned i = 0; i < ARRAY_SIZE(h->reserved); i++)
        if (h->reserved[i])
            return -XEN_EINVAL;
    memcpy(v->xsave, area, cpu_features.xsave_size);
    *(uint32_t *)((char *)v->xsave + 24) &= ~MXCSR_RESERVED;
    return 0;
}

/* CR0.TS changes only through here, so that its present value is known without reading it. */
static void write_ts(bool set)
{
    if (set)
        write_cr0(read_cr0() | CR0_TS);
    else
        __asm__ volatile("clts");
}

void fpu_save(struct vcpu *v)
{
    if (v->ts)
        write_ts(false);
    if (cpu_features.xsave)
        __asm__ volatile("xsave64 (%0)" : : "r"(v->xsave), "a"(-1), "d"(-1) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" : : "r"(v->xsave) : "memory");
}

/*
 * Processors of AMD without this feature restore the addresses of the last x87 instruction and operand
 * only together with a pending exception (APM volume 2, "FXSAVE and FXRSTOR"), and so would show
 * those of the vCPU that ran before.
 */
static bool keeps_last_pointers(void)
{
    static enum { UNKNOWN, NO, YES } state;
    if (state == UNKNOWN) {
        uint32_t vendor = cpuid(0, 0).ecx;
        bool amd =
            vendor == 0x444d4163 /* AuthenticAMD */ || vendor == 0x656e6975 /* HygonGenuine */;
        bool fixed = cpuid(0x80000000, 0).eax >= 0x80000008 && (cpuid(0x80000008, 0).ebx & BIT(2));
        state = amd && !fixed ? YES : NO;
    }
    return state == YES;
}

/* Leave our own addresses in their place. The state is saved already, so it may be changed. */
static void overwrite_last_pointers(void)
{
    static const uint32_t zero;
    __asm__ volatile("fnclex\n\t"
                     "emms\n\t"
                     "fildl %0"
                     :
                     : "m"(zero));
}

void fpu_restore(struct vcpu *v)
{
    if (unlikely(keeps_last_pointers()))
        overwrite_last_pointers();
    /* The image may have come from a guest or from a file: if the CPU refuses it, that vCPU starts afresh. */
    int bad = cpu_features.xsave ? xrstor_safe(v->xsave, ~0ull) : fxrstor_safe(v->xsave);
    if (unlikely(bad)) {
        reset_image(v->xsave);
        bad = cpu_features.xsave ? xrstor_safe(v->xsave, ~0ull) : fxrstor_safe(v->xsave);
        CHECK(!bad);
    }
    if (v->ts)
        write_ts(true);
}

void fpu_clear_ts(struct vcpu *v)
{
    v->ts = false;
    write_ts(false);
}

void fpu_set_ts(struct vcpu *v)
{
    v->ts = true;
    write_ts(true);
}

long do_fpu_taskswitch(struct vcpu *v, uint64_t set, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5)
{
    (void)a2, (void)a3, (void)a4, (void)a5;
    if (set)
        fpu_set_ts(v);
    else
        fpu_clear_ts(v);
    return 0;
}
