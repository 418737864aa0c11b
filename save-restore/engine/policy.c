/* SPDX-License-Identifier: MIT */
#include "engine/policy.h"

#include <string.h>

#include "libpal/hv_buffer.h"

#define LEAVES_MOST 1024u
#define MSRS_MOST   64u

/* Registers of CPUID whose bits are features. */
static const struct {
    uint32_t leaf, subleaf;
    unsigned reg; /* a, b, c, d */
} features[] = {
    {1, 0, 2}, {1, 0, 3},          {7, 0, 1},          {7, 0, 2},
    {7, 0, 3}, {0x80000001, 0, 2}, {0x80000001, 0, 3}, {0xd, 1, 0},
};

struct leaves {
    xen_cpuid_leaf_t *leaf;
    uint32_t count;
};

/* To be given back with pal_hv_buffer_free. */
static int get(struct leaves *l, struct pal_hv *hv, uint32_t domain, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_get_cpu_policy, .domain = (domid_t)domain};
    struct xen_domctl_cpu_policy *p = &op.u.cpu_policy;
    xen_msr_entry_t *msrs = pal_hv_buffer(hv, MSRS_MOST * sizeof(*msrs), e);
    int rc = -1;

    l->leaf = pal_hv_buffer(hv, LEAVES_MOST * sizeof(*l->leaf), e);
    if (l->leaf && msrs) {
        p->nr_leaves = LEAVES_MOST;
        p->nr_msrs = MSRS_MOST;
        set_xen_guest_handle(p->leaves, l->leaf);
        set_xen_guest_handle(p->msrs, msrs);
        rc = pal_domctl(hv, &op, "to describe the domain's processor", e);
        l->count = p->nr_leaves < LEAVES_MOST ? p->nr_leaves : LEAVES_MOST;
    }
    pal_hv_buffer_free(hv, msrs);
    if (rc < 0)
        pal_hv_buffer_free(hv, l->leaf);
    return rc < 0 ? -1 : 0;
}

int policy_save(struct image_writer *w, struct pal_hv *hv, uint32_t domain, struct pal_error *e)
{
    struct leaves l;
    int rc = get(&l, hv, domain, e);

    if (rc)
        return -1;
    rc = image_writer_state(w, IMAGE_STATE_CPUID, IMAGE_NO_VCPU, l.leaf, l.count * sizeof(*l.leaf),
                            e);
    pal_hv_buffer_free(hv, l.leaf);
    return rc;
}

static uint32_t find(const xen_cpuid_leaf_t *list, uint32_t count, uint32_t leaf, uint32_t subleaf,
                     unsigned reg)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t regs[] = {list[i].a, list[i].b, list[i].c, list[i].d};

        if (list[i].leaf == leaf &&
            (list[i].subleaf == subleaf || (!subleaf && list[i].subleaf == XEN_CPUID_NO_SUBLEAF)))
            return regs[reg];
    }
    return 0;
}

static int check(const xen_cpuid_leaf_t *image, uint32_t count, const struct leaves *here,
                 struct pal_error *e)
{
    uint32_t wanted = find(image, count, 0xd, 0, 0), has = find(here->leaf, here->count, 0xd, 0, 0);

    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        uint32_t leaf = features[i].leaf, subleaf = features[i].subleaf;
        uint32_t missing = find(image, count, leaf, subleaf, features[i].reg) &
                           ~find(here->leaf, here->count, leaf, subleaf, features[i].reg);

        if (missing) {
            pal_fail(e, PAL_SAVE_MACHINE,
                     "the guest uses features that this processor has not (CPUID %#x.%u, "
                     "register %c, bits %#x)",
                     leaf, subleaf, "abcd"[features[i].reg], missing);
            return -1;
        }
    }
    /* A guest's programs go by what the register says now, its kernel by what it was. */
    if (wanted != has)
        return pal_fail(e, PAL_SAVE_MACHINE,
                        "the processor's extended state here is %#x; the guest's is %#x", has,
                        wanted);
    return 0;
}

int policy_restore(const struct image_reader *r, struct pal_hv *hv, uint32_t domain,
                   struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_set_cpu_policy, .domain = (domid_t)domain};
    size_t length;
    const xen_cpuid_leaf_t *image =
        image_reader_state(r, IMAGE_STATE_CPUID, IMAGE_NO_VCPU, &length);
    uint32_t count = image ? (uint32_t)(length / sizeof(*image)) : 0;
    struct leaves here;
    int rc;

    if (!image)
        return 0;
    if (count > LEAVES_MOST)
        return pal_fail(e, PAL_SAVE_DAMAGED, "the image lists too many features");
    if (get(&here, hv, domain, e))
        return -1;
    rc = check(image, count, &here, e);
    if (!rc) {
        memcpy(here.leaf, image, count * sizeof(*image));
        op.u.cpu_policy.nr_leaves = count;
        set_xen_guest_handle(op.u.cpu_policy.leaves, here.leaf);
        rc = pal_domctl(hv, &op, "the guest's view of its processor", e) < 0 ? -1 : 0;
    }
    pal_hv_buffer_free(hv, here.leaf);
    return rc;
}
