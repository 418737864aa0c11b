/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor as the tools see it: Xen's public control operations, through Debian's
 * libxencall, libxenforeignmemory and the interface versions of the installed headers. Every
 * function returns 0 (or what it says) or -1 with the error filled in.
 */
#ifndef LIBPAL_HV_H
#define LIBPAL_HV_H

#include "libpal/error.h"

#include <stddef.h>
#include <stdint.h>

#include <xencall.h>
#include <xenforeignmemory.h>
#include <xentoollog.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/memory.h>
#include <xen/version.h>

#define PAL_PAGE_SHIFT 12
#define PAL_PAGE_SIZE  4096ul

struct pal_hv {
    xentoollog_logger *log; /* silent: what goes wrong is told by us */
    xencall_handle *call;
    xenforeignmemory_handle *memory;
};

struct pal_hv_version {
    unsigned major, minor;
    char extra[sizeof(xen_extraversion_t)];
    char capabilities[sizeof(xen_capabilities_info_t)];
};

int pal_hv_open(struct pal_hv *hv, struct pal_error *e);
void pal_hv_close(struct pal_hv *hv);

/* One control operation; the interface version is filled in here. `what` names it in messages. */
int pal_domctl(struct pal_hv *hv, struct xen_domctl *op, const char *what, struct pal_error *e);
int pal_sysctl(struct pal_hv *hv, struct xen_sysctl *op, const char *what, struct pal_error *e);

/* ---- domains ---- */

struct pal_new_domain {
    uint8_t uuid[16];
    unsigned vcpus;
    uint64_t max_kib; /* the most memory that it may ever have */
};
/* Returns the new domain's number. */
int pal_domain_create(struct pal_hv *hv, const struct pal_new_domain *n, struct pal_error *e);
/* Takes as long as the teardown of its memory does. */
int pal_domain_destroy(struct pal_hv *hv, uint32_t domain, struct pal_error *e);
int pal_domain_pause(struct pal_hv *hv, uint32_t domain, struct pal_error *e);
int pal_domain_unpause(struct pal_hv *hv, uint32_t domain, struct pal_error *e);
int pal_domain_max_memory(struct pal_hv *hv, uint32_t domain, uint64_t kib, struct pal_error *e);
int pal_domain_set_context(struct pal_hv *hv, uint32_t domain, unsigned vcpu,
                           const vcpu_guest_context_t *context, struct pal_error *e);
/* PAL_DOM_UNKNOWN when there is no domain of exactly that number. */
int pal_domain_info(struct pal_hv *hv, uint32_t domain, struct xen_domctl_getdomaininfo *info,
                    struct pal_error *e);
/* All domains, by number. *list is to be freed; returns how many. */
int pal_domain_list(struct pal_hv *hv, struct xen_domctl_getdomaininfo **list, struct pal_error *e);
int pal_vcpu_info(struct pal_hv *hv, uint32_t domain, unsigned vcpu,
                  struct xen_domctl_getvcpuinfo *info, struct pal_error *e);
/* Weight (1..65535) and cap (percent of one CPU, 0: none). */
int pal_domain_get_schedule(struct pal_hv *hv, uint32_t domain, unsigned *weight, unsigned *cap,
                            struct pal_error *e);
int pal_domain_set_schedule(struct pal_hv *hv, uint32_t domain, unsigned weight, unsigned cap,
                            struct pal_error *e);

/* ---- the machine ---- */

int pal_hv_physinfo(struct pal_hv *hv, struct xen_sysctl_physinfo *info, struct pal_error *e);
int pal_hv_version(struct pal_hv *hv, struct pal_hv_version *version, struct pal_error *e);
/* The hypervisor's log: *text is to be freed, not terminated; returns its length. Cleared after
 * reading when told. */
long pal_hv_log(struct pal_hv *hv, bool clear, char **text, struct pal_error *e);

/* ---- memory and events of a domain being built ---- */

/* Give it count extents of 2^order pages from pseudo-physical frame `first` on; mfns gets each
 * extent's first machine frame. Returns how many it got: fewer means that memory ran out. */
long pal_populate(struct pal_hv *hv, uint32_t domain, uint64_t first, unsigned long count,
                  unsigned order, xen_pfn_t *mfns, struct pal_error *e);
/* What it finds as its memory map: RAM from 0 on, so much as it may ever have. Without one (an older
 * hypervisor has none to give) its kernel goes by what it starts with: no error. */
void pal_set_memory_map(struct pal_hv *hv, uint32_t domain, uint64_t bytes);
/* Fill that frame of the domain with the stubs of hypercalls. */
int pal_hypercall_page(struct pal_hv *hv, uint32_t domain, uint64_t mfn, struct pal_error *e);
int pal_pin_top_table(struct pal_hv *hv, uint32_t domain, uint64_t mfn, struct pal_error *e);
/* A port of the domain's own that domain 0 may connect to. */
int pal_event_unbound(struct pal_hv *hv, uint32_t domain, uint32_t *port, struct pal_error *e);
/* Enter into the domain's grant table, before it runs, that domain 0 may use the frame. */
struct pal_grant {
    unsigned ref;
    uint64_t mfn;
};
int pal_grants_seed(struct pal_hv *hv, uint32_t domain, const struct pal_grant *grants,
                    unsigned count, struct pal_error *e);

#endif
