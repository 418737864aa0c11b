/* SPDX-License-Identifier: MIT */
/*
 * CPUID as guests see it through the forced-emulation prefix: a whitelist over the hardware's own
 * answer.
 *
 * Shown is what a guest can really use. Hidden is what the hypervisor keeps (virtualization,
 * machine check, memory-type ranges, power, performance counters, x2APIC, TSC deadline), what this
 * interface does not have (large and global pages, process contexts, supervisor access prevention),
 * what it does not switch or isolate (protection keys, transactional memory, processor trace,
 * speculation controls, FS/GS base instructions) and the machine's topology: every vCPU looks like
 * a package of one core, its APIC number the vCPU's.
 *
 * A plain CPUID instruction, in user mode in particular, is not intercepted by this interface and
 * shows the machine; what it shows beyond this table either works all the same or faults.
 */
#include "base/string.h"
#include "core/domain.h"
#include "core/time.h"
#include "emulate.h"
#include "x86/insn.h"
#include "x86/policy.h"
#include <xen/arch-x86/cpuid.h>

enum { EAX, EBX, ECX, EDX };

#define B(n) (1u << (n))

#define MAX_BASIC    0xd
#define MAX_EXTENDED 0x80000008
#define MAX_XEN      XEN_CPUID_LEAF(5)
#define XEN_VERSION  0x00040011 /* 4.17 */

#define XCR0_AVX    0x4
#define XCR0_AVX512 0xe0

/* Leaf 1. */
#define F1C_BASE       (B(0) | B(1) | B(9) | B(13) | B(19) | B(20) | B(22) | B(23) | B(25) | B(30))
#define F1C_AVX        (B(12) | B(28) | B(29)) /* FMA, AVX, F16C */
#define F1C_XSAVE      B(26)
#define F1C_OSXSAVE    B(27)
#define F1C_HYPERVISOR B(31)
/* FPU DE TSC MSR PAE MCE CX8 APIC MCA CMOV PAT CLFSH MMX FXSR SSE SSE2; SYSENTER not where long mode
 * lacks it. Machine checks are the hypervisor's: the architecture is there, with no banks (msr.c). */
#define F1D                                                                                        \
    (B(0) | B(2) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(14) | B(15) | B(16) | B(19) |       \
     B(23) | B(24) | B(25) | B(26))
#define F1D_SEP B(11)

/* Leaf 7: BMI1, FDP, BMI2, ERMS, no FPU CS/DS, RDSEED, ADX, CLFLUSHOPT, CLWB, SHA; with AVX: AVX2.
 */
#define F7B        (B(3) | B(6) | B(8) | B(9) | B(13) | B(18) | B(19) | B(23) | B(24) | B(29))
#define F7B_AVX    B(5)
#define F7B_AVX512 (B(16) | B(17) | B(21) | B(28) | B(30) | B(31))
/* PREFETCHWT1, GFNI, RDPID, CLDEMOTE, MOVDIRI, MOVDIR64B; with AVX: VAES, VPCLMULQDQ. */
#define F7C        (B(0) | B(8) | B(22) | B(25) | B(27) | B(28))
#define F7C_AVX    (B(9) | B(10))
#define F7C_AVX512 (B(1) | B(6) | B(11) | B(12) | B(14))
/* FSRM, MD_CLEAR (VERW works in ring 3), SERIALIZE. */
#define F7D        (B(4) | B(10) | B(14))
#define F7D_AVX512 (B(2) | B(3) | B(8))

/* Leaf 0xd, subleaf 1: XSAVEOPT, XSAVEC, XGETBV(1). */
#define FDA (B(0) | B(1) | B(2))

/* Leaf 0x80000001: LAHF, ABM, SSE4A, misaligned SSE, PREFETCHW, TBM; with AVX: XOP, FMA4. */
#define FE1C     (B(0) | B(5) | B(6) | B(7) | B(8) | B(21))
#define FE1C_AVX (B(11) | B(16))
/* SYSCALL, MMXEXT, FXSR_OPT, RDTSCP, LM, 3DNOW; NX if used. AMD repeats part of leaf 1 in the low
 * bits. */
#define FE1D        (B(11) | B(22) | B(25) | B(27) | B(29) | B(30) | B(31))
#define FE1D_NX     B(20)
#define FE1D_COMMON 0x0183f3ff

/* Leaf 0x80000008: CLZERO, XSAVEERPTR. */
#define FE8B (B(0) | B(2))

static uint32_t if_xcr0(uint64_t needed, uint32_t bits)
{
    return cpu_features.xsave && (cpu_features.xcr0 & needed) == needed ? bits : 0;
}

static bool is_amd(void)
{
    uint32_t c = cpuid(0, 0).ecx;
    return c == 0x444d4163 /* AuthenticAMD */ || c == 0x656e6975 /* HygonGenuine */;
}

static void leaf_1(struct vcpu *v, uint32_t out[4])
{
    out[EBX] = (out[EBX] & 0xff00) | B(16) | (uint32_t)v->mm.id << 24;
    out[ECX] &= F1C_BASE | if_xcr0(XCR0_AVX, F1C_AVX) | (cpu_features.xsave ? F1C_XSAVE : 0);
    out[ECX] |= F1C_HYPERVISOR;
    if (msr_guest_cr4(v) & CR4_OSXSAVE)
        out[ECX] |= F1C_OSXSAVE;
    out[EDX] &= F1D | (cpu_features.intel_sysenter ? F1D_SEP : 0);
}

/* Deterministic cache parameters, each cache private to the vCPU. */
static void leaf_4(uint32_t out[4])
{
    out[EAX] &= 0x3fff;
}

static void leaf_7(uint32_t subleaf, uint32_t out[4])
{
    out[EAX] = 0; /* no further subleaf */
    if (subleaf) {
        memset(out, 0, 16);
        return;
    }
    out[EBX] &= F7B | if_xcr0(XCR0_AVX, F7B_AVX) | if_xcr0(XCR0_AVX512, F7B_AVX512);
    out[ECX] &= F7C | if_xcr0(XCR0_AVX, F7C_AVX) | if_xcr0(XCR0_AVX512, F7C_AVX512);
    out[EDX] &= F7D | if_xcr0(XCR0_AVX512, F7D_AVX512);
}

/* Bytes of an XSAVE area in the standard form for all that guests may use. */
static uint32_t xsave_area_size(void)
{
    uint32_t size = 576; /* legacy part and header */

    for (unsigned i = 2; i < 63; i++) {
        if (!(cpu_features.xcr0 >> i & 1))
            continue;
        struct cpuid c = cpuid(0xd, i);
        size = max(size, c.eax + c.ebx);
    }
    return size;
}

static void leaf_d(uint32_t subleaf, uint32_t out[4])
{
    if (!cpu_features.xsave) {
        memset(out, 0, 16);
    } else if (subleaf == 0) {
        out[EAX] = (uint32_t)cpu_features.xcr0;
        out[EBX] = out[ECX] = xsave_area_size();
        out[EDX] = (uint32_t)(cpu_features.xcr0 >> 32);
    } else if (subleaf == 1) {
        out[EAX] &= FDA;
        out[EBX] = out[EAX] & B(1) ? out[EBX] : 0;
        out[ECX] = out[EDX] = 0;
    } else if (subleaf > 62 || !(cpu_features.xcr0 >> subleaf & 1)) {
        memset(out, 0, 16);
    } else {
        out[ECX] &= B(1); /* aligned in the compact form */
        out[EDX] = 0;
    }
}

static void leaf_extended_1(uint32_t out[4])
{
    uint32_t edx = FE1D | (cpu_features.nx ? FE1D_NX : 0);

    if (is_amd())
        edx |= FE1D_COMMON & F1D;
    else
        out[EBX] = 0;
    out[ECX] &= FE1C | if_xcr0(XCR0_AVX, FE1C_AVX);
    out[EDX] &= edx;
}

static void leaf_extended_8(uint32_t out[4])
{
    out[EAX] = (out[EAX] & 0xff) | 48 << 8; /* four levels of tables */
    out[EBX] &= is_amd() ? FE8B : 0;
    out[ECX] = out[EDX] = 0;
}

/* The interface's own leaves (xen/arch-x86/cpuid.h). The hypercall page comes with the kernel's
 * image, not by MSR. */
static void leaf_xen(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 16);
    switch (leaf) {
    case XEN_CPUID_LEAF(0):
        out[EAX] = MAX_XEN;
        out[EBX] = XEN_CPUID_SIGNATURE_EBX;
        out[ECX] = XEN_CPUID_SIGNATURE_ECX;
        out[EDX] = XEN_CPUID_SIGNATURE_EDX;
        break;
    case XEN_CPUID_LEAF(1):
        out[EAX] = XEN_VERSION;
        break;
    case XEN_CPUID_LEAF(2):
        out[ECX] = XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD;
        break;
    case XEN_CPUID_LEAF(3): /* time: the TSC is never emulated */
        if (subleaf == 0) {
            out[EAX] = time_tsc_stable ? B(1) : 0;
            out[EBX] = 2;
            out[ECX] = (uint32_t)(tsc_hz / 1000);
        } else if (subleaf == 1) {
            out[EAX] = (uint32_t)time_scale.tsc_base;
            out[EBX] = (uint32_t)(time_scale.tsc_base >> 32);
            out[ECX] = time_scale.mul;
            out[EDX] = (uint32_t)time_scale.shift;
        } else if (subleaf == 2) {
            out[EAX] = (uint32_t)(tsc_hz / 1000);
        }
        break;
    case XEN_CPUID_LEAF(5):
        out[EBX] = cpu_features.phys_bits;
        break;
    default:
        break;
    }
}

static void leaf_basic(struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    switch (leaf) {
    case 0:
        out[EAX] = min(out[EAX], (uint32_t)MAX_BASIC);
        break;
    case 1:
        leaf_1(v, out);
        break;
    case 2:
        break;
    case 4:
        leaf_4(out);
        break;
    case 7:
        leaf_7(subleaf, out);
        break;
    case 0xd:
        leaf_d(subleaf, out);
        break;
    default: /* serial number, MWAIT, power, direct cache access, counters, topology */
        memset(out, 0, 16);
        break;
    }
}

static void leaf_extended(uint32_t leaf, uint32_t out[4])
{
    switch (leaf) {
    case 0x80000000:
        out[EAX] = min(out[EAX], (uint32_t)MAX_EXTENDED);
        break;
    case 0x80000001:
        leaf_extended_1(out);
        break;
    case 0x80000007:
        out[EAX] = out[EBX] = out[ECX] = 0;
        out[EDX] = time_tsc_stable ? B(8) : 0; /* TSC invariant */
        break;
    case 0x80000008:
        leaf_extended_8(out);
        break;
    default: /* name, caches */
        break;
    }
}

void guest_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    uint32_t range = leaf & 0xffff0000;

    if (range == XEN_CPUID_FIRST_LEAF) {
        leaf_xen(leaf, subleaf, out);
        return;
    }
    if ((range != 0 && range != 0x80000000) ||
        leaf > min(cpuid(range, 0).eax, range ? MAX_EXTENDED : (uint32_t)MAX_BASIC)) {
        memset(out, 0, 16);
        return;
    }
    struct cpuid c = cpuid(leaf, subleaf);
    out[EAX] = c.eax;
    out[EBX] = c.ebx;
    out[ECX] = c.ecx;
    out[EDX] = c.edx;
    if (range)
        leaf_extended(leaf, out);
    else
        leaf_basic(v, leaf, subleaf, out);
    if (!v->mm.d->privileged)
        policy_hide(v->domain, leaf, leaf == 7 || leaf == 0xd ? subleaf : 0, out);
}
