/* SPDX-License-Identifier: MIT */
/* What a domain is made of, as it is put away and brought back: frames, states of virtual CPUs. */
#ifndef LIBPAL_HV_STATE_H
#define LIBPAL_HV_STATE_H

#include "libpal/hv.h"

/* All frames of a domain that stands still, by machine frame number: each is shown to the visitor,
 * which returns 0, or -1 with the error set to end the walk. */
struct pal_own_frame {
    uint64_t mfn;
    uint64_t gfn;   /* as its kernel says */
    unsigned level; /* of a page table, 1 to 4; otherwise 0 */
    bool pinned;
};
typedef int (*pal_frame_visit)(void *data, const struct pal_own_frame *frame, struct pal_error *e);
int pal_domain_frames(struct pal_hv *hv, uint32_t domain, pal_frame_visit visit, void *data,
                      struct pal_error *e);

/* Copy pages of a domain, by machine frame numbers: cheaper than to map and unmap what is looked at once. `list` and `to` are the
 * caller's in memory for hypercalls (hv_buffer.h), and so is `call`, room for the request. */
struct pal_read_call {
    uint64_t words[3];
};
int pal_domain_read(struct pal_hv *hv, uint32_t domain, struct pal_read_call *call,
                    const uint64_t *list, unsigned count, void *to, struct pal_error *e);

/* ---- virtual CPUs ---- */

#define PAL_MSRS_MOST 16

struct pal_vcpu_state {
    bool initialised; /* otherwise nothing else counts: it was never brought up */
    vcpu_guest_context_t context;
    struct xen_domctl_ext_vcpucontext callbacks;
    uint64_t features;      /* of the extended state; 0: there is none */
    uint64_t extended_size; /* bytes at extended */
    uint8_t *extended;      /* as the interface has it: two words, then the area; to be freed */
    uint32_t msrs;
    struct xen_domctl_vcpu_msr msr[PAL_MSRS_MOST];
};

/* Of a domain that stands still. To be freed by pal_vcpu_state_free, also after a failure. */
int pal_vcpu_state_get(struct pal_hv *hv, uint32_t domain, unsigned vcpu, struct pal_vcpu_state *s,
                       struct pal_error *e);
/* The hypervisor checks all of it as if the guest had asked. */
int pal_vcpu_state_set(struct pal_hv *hv, uint32_t domain, unsigned vcpu,
                       const struct pal_vcpu_state *s, struct pal_error *e);
void pal_vcpu_state_free(struct pal_vcpu_state *s);

/* Let a domain go on that suspended itself: its kernel finds that the suspension was cancelled. */
int pal_domain_resume_cancelled(struct pal_hv *hv, uint32_t domain, struct pal_error *e);

/* ---- making one ---- */

/* Memory for these pseudo-physical frames, each the first of 2^order; the machine's numbers come back in
 * their place. Returns how many there were: fewer when memory ran out. */
long pal_populate_list(struct pal_hv *hv, uint32_t domain, unsigned order, xen_pfn_t *frames,
                       unsigned count, struct pal_error *e);
/* What the domain is known by. */
int pal_domain_set_handle(struct pal_hv *hv, uint32_t domain, const uint8_t uuid[16],
                          struct pal_error *e);

struct pal_pin {
    uint64_t mfn;
    unsigned level;
};
/* Have them validated and pinned, in this order. The error names the first that is refused. */
int pal_pin_tables(struct pal_hv *hv, uint32_t domain, const struct pal_pin *pins, unsigned count,
                   struct pal_error *e);

#endif
