/* SPDX-License-Identifier: MIT */
/* CPUID and MSRs in the control interface's form, and taking features away from one domain. */
#include "x86/policy.h"
#include "base/string.h"
#include "x86/guest.h"
#include "x86/insn.h"

enum { EAX, EBX, ECX, EDX };

#define BASIC_LAST    0xd
#define EXTENDED      0x80000000u
#define EXTENDED_LAST 0x80000008u
#define CACHES        4 /* subleaves of leaf 4 that are listed */
#define XSTATE_LAST   62

/* Where each feature word comes from: the order of <xen/arch-x86/cpufeatureset.h>. */
static const struct {
    uint32_t leaf, subleaf;
    unsigned reg;
} feature_words[POLICY_FEATURE_WORDS] = {
    {1, 0, EDX},          {1, 0, ECX}, {0x80000001, 0, EDX}, {0x80000001, 0, ECX},
    {0xd, 1, EAX},        {7, 0, EBX}, {7, 0, ECX},          {0x80000007, 0, EDX},
    {0x80000008, 0, EBX}, {7, 0, EDX}, {7, 1, EAX},          {0x80000021, 0, EAX},
    {7, 1, EBX},          {7, 2, EDX}, {7, 1, ECX},          {7, 1, EDX},
};

/* Bits that depend on the vCPU's own state, and the one that says that this is a guest: no
 * policy's. */
#define F1C_OSXSAVE    (1u << 27)
#define F1C_HYPERVISOR (1u << 31)

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    struct cpuid c = {0, 0, 0, 0};

    if (leaf <= cpuid(leaf & EXTENDED, 0).eax)
        c = cpuid(leaf, subleaf);
    out[EAX] = c.eax;
    out[EBX] = c.ebx;
    out[ECX] = c.ecx;
    out[EDX] = c.edx;
}

static void get_leaf(const struct domain *d, bool host, uint32_t leaf, uint32_t subleaf,
                     uint32_t out[4])
{
    if (host) {
        host_cpuid(leaf, subleaf, out);
        return;
    }
    guest_cpuid(d ? d->vcpus[0] : current_vcpu(), leaf, subleaf, out);
    if (leaf == 1) {
        out[EBX] &= 0x00ffffff; /* the vCPU's number */
        out[ECX] &= ~(F1C_OSXSAVE | F1C_HYPERVISOR);
    }
}

static void feature_list(bool host, uint32_t *words, unsigned n)
{
    uint32_t out[4];

    for (unsigned i = 0; i < n; i++) {
        words[i] = 0;
        if (i >= POLICY_FEATURE_WORDS)
            continue;
        get_leaf(NULL, host, feature_words[i].leaf, feature_words[i].subleaf, out);
        words[i] = out[feature_words[i].reg];
    }
}

void policy_host_features(uint32_t *words, unsigned n)
{
    feature_list(true, words, n);
}

void policy_guest_features(uint32_t *words, unsigned n)
{
    feature_list(false, words, n);
}

struct list_of_leaves {
    const struct domain *d;
    bool host;
    struct xen_cpuid_leaf *out;
    unsigned n, max;
};

static void add(struct list_of_leaves *l, uint32_t leaf, uint32_t subleaf)
{
    uint32_t out[4];

    if (l->n == l->max)
        return;
    get_leaf(l->d, l->host, leaf, subleaf == XEN_CPUID_NO_SUBLEAF ? 0 : subleaf, out);
    l->out[l->n++] = (struct xen_cpuid_leaf){leaf, subleaf, out[EAX], out[EBX], out[ECX], out[EDX]};
}

static void add_basic(struct list_of_leaves *l, uint32_t leaf)
{
    switch (leaf) {
    case 4:
        for (uint32_t i = 0; i < CACHES; i++)
            add(l, leaf, i);
        break;
    case 7:
        add(l, leaf, 0);
        break;
    case 0xb: /* topology */
        add(l, leaf, 0);
        add(l, leaf, 1);
        break;
    case 0xd:
        add(l, leaf, 0);
        add(l, leaf, 1);
        for (uint32_t i = 2; i <= XSTATE_LAST; i++)
            if (cpu_features.xsave && (cpu_features.xcr0 >> i & 1))
                add(l, leaf, i);
        break;
    default:
        add(l, leaf, XEN_CPUID_NO_SUBLEAF);
    }
}

unsigned policy_leaves(const struct domain *d, bool host, struct xen_cpuid_leaf *out, unsigned max)
{
    struct list_of_leaves l = {d, host, out, 0, max};
    uint32_t top[4];

    get_leaf(d, host, 0, 0, top);
    for (uint32_t leaf = 0; leaf <= min(top[EAX], (uint32_t)BASIC_LAST); leaf++)
        add_basic(&l, leaf);
    get_leaf(d, host, EXTENDED, 0, top);
    for (uint32_t leaf = EXTENDED; leaf <= min(top[EAX], EXTENDED_LAST); leaf++)
        add(&l, leaf, XEN_CPUID_NO_SUBLEAF);
    return l.n;
}

#define MSR_PLATFORM_INFO     0xce
#define MSR_ARCH_CAPABILITIES 0x10a

/* Both say: nothing. */
struct xen_msr_entry policy_msr(unsigned i)
{
    static const uint32_t index[POLICY_MSRS] = {MSR_PLATFORM_INFO, MSR_ARCH_CAPABILITIES};
    return (struct xen_msr_entry){.idx = index[i]};
}

void policy_reset(struct domain *d)
{
    memset(d->hidden_features, 0, sizeof(d->hidden_features));
}

void policy_restrict(struct domain *d, const struct xen_cpuid_leaf *leaf)
{
    uint32_t subleaf = leaf->subleaf == XEN_CPUID_NO_SUBLEAF ? 0 : leaf->subleaf;
    const uint32_t given[4] = {leaf->a, leaf->b, leaf->c, leaf->d};
    uint32_t ours[4];

    for (unsigned i = 0; i < POLICY_FEATURE_WORDS; i++) {
        if (feature_words[i].leaf != leaf->leaf || feature_words[i].subleaf != subleaf)
            continue;
        get_leaf(d, false, leaf->leaf, subleaf, ours);
        d->hidden_features[i] |= ours[feature_words[i].reg] & ~given[feature_words[i].reg];
    }
}

void policy_hide(const struct domain *d, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    for (unsigned i = 0; i < POLICY_FEATURE_WORDS; i++)
        if (feature_words[i].leaf == leaf && feature_words[i].subleaf == subleaf)
            out[feature_words[i].reg] &= ~d->hidden_features[i];
}
