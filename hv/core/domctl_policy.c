/* SPDX-License-Identifier: MIT */
/* CPUID and MSR policies: reading the machine's and a domain's; taking features away from a domain.
 */
#include "control.h"
#include "mm/mm.h"
#include "x86/policy.h"

struct lists {
    uint64_t leaves_va, msrs_va; /* 0: only the numbers are asked for */
    uint32_t *nr_leaves, *nr_msrs;
};

static long put_leaves(const struct lists *l, const struct domain *d, bool host)
{
    struct xen_cpuid_leaf *leaves = heap_alloc(POLICY_LEAVES * sizeof(*leaves));
    long result = 0;

    if (!leaves)
        return -XEN_ENOMEM;
    uint32_t n = policy_leaves(d, host, leaves, POLICY_LEAVES);
    if (n > *l->nr_leaves)
        result = -XEN_ENOBUFS;
    else if (copy_to_guest(l->leaves_va, leaves, n * sizeof(*leaves)))
        result = -XEN_EFAULT;
    *l->nr_leaves = n;
    heap_free(leaves);
    return result;
}

static long put_msrs(const struct lists *l)
{
    uint32_t room = *l->nr_msrs;

    *l->nr_msrs = POLICY_MSRS;
    if (room < POLICY_MSRS)
        return -XEN_ENOBUFS;
    for (unsigned i = 0; i < POLICY_MSRS; i++) {
        struct xen_msr_entry e = policy_msr(i);

        if (copy_to_guest(l->msrs_va + i * sizeof(e), &e, sizeof(e)))
            return -XEN_EFAULT;
    }
    return 0;
}

static long put_policy(const struct lists *l, const struct domain *d, bool host)
{
    long result = 0;

    if (l->leaves_va)
        result = put_leaves(l, d, host);
    else
        *l->nr_leaves = POLICY_LEAVES;
    if (result)
        return result;
    if (l->msrs_va)
        return put_msrs(l);
    *l->nr_msrs = POLICY_MSRS;
    return 0;
}

long sysctl_policy(struct xen_sysctl *op, bool *copyback)
{
    struct xen_sysctl_cpu_policy *p = &op->u.cpu_policy;
    struct lists l = {(uint64_t)p->leaves.p, (uint64_t)p->msrs.p, &p->nr_leaves, &p->nr_msrs};

    *copyback = true;
    switch (p->index) {
    case XEN_SYSCTL_cpu_policy_raw:
    case XEN_SYSCTL_cpu_policy_host:
        return put_policy(&l, NULL, true);
    case XEN_SYSCTL_cpu_policy_pv_max:
    case XEN_SYSCTL_cpu_policy_pv_default:
        return put_policy(&l, NULL, false);
    case XEN_SYSCTL_cpu_policy_hvm_max:
    case XEN_SYSCTL_cpu_policy_hvm_default:
        return -XEN_EOPNOTSUPP;
    default:
        return -XEN_EINVAL;
    }
}

long sysctl_featureset(struct xen_sysctl *op, bool *copyback)
{
    struct xen_sysctl_cpu_featureset *f = &op->u.cpu_featureset;
    uint32_t words[POLICY_FEATURE_WORDS], room = f->nr_features;

    switch (f->index) {
    case XEN_SYSCTL_cpu_featureset_raw:
    case XEN_SYSCTL_cpu_featureset_host:
        policy_host_features(words, POLICY_FEATURE_WORDS);
        break;
    case XEN_SYSCTL_cpu_featureset_pv:
    case XEN_SYSCTL_cpu_featureset_pv_max:
        policy_guest_features(words, POLICY_FEATURE_WORDS);
        break;
    case XEN_SYSCTL_cpu_featureset_hvm:
    case XEN_SYSCTL_cpu_featureset_hvm_max:
        return -XEN_EOPNOTSUPP;
    default:
        return -XEN_EINVAL;
    }
    *copyback = true;
    f->nr_features = POLICY_FEATURE_WORDS;
    if (!f->features.p)
        return 0;
    f->nr_features = min(room, (uint32_t)POLICY_FEATURE_WORDS);
    if (copy_to_guest((uint64_t)f->features.p, words, f->nr_features * sizeof(words[0])))
        return -XEN_EFAULT;
    return room < POLICY_FEATURE_WORDS ? -XEN_ENOBUFS : 0;
}

long domctl_policy_get(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;
    struct lists l = {(uint64_t)p->leaves.p, (uint64_t)p->msrs.p, &p->nr_leaves, &p->nr_msrs};

    *copyback = true;
    return put_policy(&l, d, false);
}

#define NO_CULPRIT  0xffffffffu
#define MOST_LEAVES 1024
#define MOST_MSRS   64

/* There is nothing to choose about MSRs: ours are 0. */
static long check_msrs(struct xen_domctl_cpu_policy *p)
{
    struct xen_msr_entry e;

    for (uint32_t i = 0; i < p->nr_msrs; i++) {
        if (copy_from_guest(&e, (uint64_t)p->msrs.p + i * sizeof(e), sizeof(e)))
            return -XEN_EFAULT;
        bool known = e.idx == policy_msr(0).idx || e.idx == policy_msr(1).idx;
        if (!known || e.flags || e.val) {
            p->err_msr = e.idx;
            return -XEN_EINVAL;
        }
    }
    return 0;
}

/* A policy may show less than there is; what it shows beyond that is not shown. */
long domctl_policy_set(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;
    struct xen_cpuid_leaf leaf;

    *copyback = true;
    p->err_leaf = p->err_subleaf = p->err_msr = NO_CULPRIT;
    if (p->nr_leaves > MOST_LEAVES || p->nr_msrs > MOST_MSRS)
        return -XEN_E2BIG;
    long result = check_msrs(p);
    if (result)
        return result;
    policy_reset(d);
    for (uint32_t i = 0; i < p->nr_leaves; i++) {
        if (copy_from_guest(&leaf, (uint64_t)p->leaves.p + i * sizeof(leaf), sizeof(leaf)))
            return -XEN_EFAULT;
        policy_restrict(d, &leaf);
        if (i % 16 == 15)
            env_preempt_point();
    }
    return 0;
}
