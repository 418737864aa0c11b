/* SPDX-License-Identifier: MIT */
/* A domain and a vCPU as the memory core sees them; hv/core embeds both in its own structures. */
#ifndef MM_DOMAIN_H
#define MM_DOMAIN_H

#include "base/spinlock.h"
#include "mm/env.h"
#include "mm/frame.h"

#define MM_GDT_FRAMES  14 /* FIRST_RESERVED_GDT_PAGE: guest pages of the GDT */
#define MM_LDT_FRAMES  16 /* 8192 entries of 8 bytes */
#define FRAME_LIST_END 0xffffffffu

struct grant_table;

struct mm_domain {
    uint16_t id;
    bool privileged; /* domain 0: I/O memory, foreign mappings of domains it manages */
    bool dying;      /* no new reference to it or its frames may start */
    unsigned vcpus;  /* ids of its vCPUs are below this (64 unless the embedder says otherwise):
                      * how much of a guest's vCPU bitmap is read */

    spinlock_t lock;    /* the four below; innermost but for the allocator's */
    uint32_t frames;    /* one of the ring of frames it owns, or FRAME_LIST_END */
    uint64_t tot_pages; /* frames on the ring and those being allocated to it */
    uint64_t max_pages; /* never exceeded, not even in passing */
    uint64_t xen_pages; /* hypervisor pages shared with it */

    /* region.c, under its lock: regions that it made and that still are, and how many it may make */
    uint32_t regions, max_regions;
    uint64_t region_pages, max_region_pages;

    struct grant_table *grant; /* grant.c; NULL: grants and maps nothing */
    uint16_t cache;            /* its account with the buffer cache; 0: none */

    uint64_t max_gfn; /* highest gfn + 1 named by populate, for XENMEM_maximum_gpfn */
};

struct mm_vcpu {
    struct mm_domain *d;
    unsigned id;
    mfn_t kernel_root; /* a count of ROLE_L4 and a reference each, or MFN_NONE */
    mfn_t user_root;
    mfn_t gdt[MM_GDT_FRAMES]; /* ROLE_DESC each, or MFN_NONE */
    unsigned gdt_entries;
    uint64_t ldt_base; /* guest address */
    unsigned ldt_entries;
    mfn_t ldt[MM_LDT_FRAMES]; /* pages promoted so far while this vCPU runs, or MFN_NONE */
};

void mm_domain_init(struct mm_domain *d, unsigned id, uint64_t max_pages);
/* Release everything a dying domain's frames hold and the frames; resumable in place (preempts).
 * Its vCPUs must be off all CPUs, their roots dropped. Returns frames that others still reference:
 * until a call returns 0 the structure must stay and env_domain_get must find it. May be repeated. */
uint64_t mm_domain_teardown(struct mm_domain *d);

void mm_vcpu_init(struct mm_vcpu *v, struct mm_domain *d, unsigned id);
/* Drop roots, GDT and LDT frames. */
void mm_vcpu_teardown(struct mm_vcpu *v);

#endif
