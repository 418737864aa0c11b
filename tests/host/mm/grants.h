/* SPDX-License-Identifier: MIT */
/* What the tests of grants build of: a granter (domain 1), a mapper with a table tree (domain 2), commands. */
#ifndef TESTS_HOST_MM_GRANTS_H
#define TESTS_HOST_MM_GRANTS_H

#include "../../../mm/grant_internal.h"
#include "world.h"

#define GRANTER 1u
#define MAPPER  2u

/* How a test starts: grant tables of max_frames at most, and a tree of the mapper's that all its vCPUs run on. */
static inline struct tree mapper_start(unsigned max_frames)
{
    struct tree t;

    fake_reset(60);
    fake_grants(max_frames, 1);
    t = new_tree(fake_d(MAPPER), 4);
    for (unsigned i = 0; i < FAKE_VCPUS; i++)
        assert_int_equal(mm_set_root(fake_v(MAPPER, i), t.l[4], false), 0);
    return t;
}

/* Entry `ref` of a domain's table, as its kernel sees it. */
static inline struct grant_entry_v1 *grant_entry(unsigned domain, uint32_t ref)
{
    mfn_t m = mm_grant_frame(fake_d(domain), ref / MM_GRANT_FRAME_ENTRIES);

    return (struct grant_entry_v1 *)env_frame(m) + ref % MM_GRANT_FRAME_ENTRIES;
}

static inline void grant_access(unsigned domain, uint32_t ref, unsigned to, mfn_t m, unsigned flags)
{
    *grant_entry(domain, ref) =
        (struct grant_entry_v1){(uint16_t)(GTF_permit_access | flags), (domid_t)to, (uint32_t)m.n};
}

static inline unsigned in_use_bits(unsigned domain, uint32_t ref)
{
    return grant_entry(domain, ref)->flags & (GTF_reading | GTF_writing);
}

/* A page of the buffer for each vCPU's arguments. */
static inline void *args_of(const struct mm_vcpu *v)
{
    return fake_buffer + 4096 * (1 + v->d->id * FAKE_VCPUS + v->id);
}

static inline struct gnttab_map_grant_ref map_grant(struct mm_vcpu *v, unsigned flags, uint64_t at,
                                                    unsigned dom, uint32_t ref)
{
    struct gnttab_map_grant_ref *op = args_of(v);

    *op = (struct gnttab_map_grant_ref){
        .host_addr = at, .flags = flags, .ref = ref, .dom = (domid_t)dom, .status = 99};
    assert_int_equal(mm_grant_op(v, GNTTABOP_map_grant_ref, fake_va(op), 1), 0);
    return *op;
}

static inline int unmap_grant(struct mm_vcpu *v, uint32_t handle, uint64_t host_addr,
                              uint64_t dev_bus_addr)
{
    struct gnttab_unmap_grant_ref *op = args_of(v);

    *op = (struct gnttab_unmap_grant_ref){
        .host_addr = host_addr, .dev_bus_addr = dev_bus_addr, .handle = handle, .status = 99};
    assert_int_equal(mm_grant_op(v, GNTTABOP_unmap_grant_ref, fake_va(op), 1), 0);
    return op->status;
}

static inline int replace_grant(struct mm_vcpu *v, uint32_t handle, uint64_t host_addr,
                                uint64_t new_addr)
{
    struct gnttab_unmap_and_replace *op = args_of(v);

    *op = (struct gnttab_unmap_and_replace){
        .host_addr = host_addr, .new_addr = new_addr, .handle = handle, .status = 99};
    assert_int_equal(mm_grant_op(v, GNTTABOP_unmap_and_replace, fake_va(op), 1), 0);
    return op->status;
}

static inline int copy_grant(struct mm_vcpu *v, struct gnttab_copy c)
{
    struct gnttab_copy *op = args_of(v);

    *op = c;
    op->status = 99;
    assert_int_equal(mm_grant_op(v, GNTTABOP_copy, fake_va(op), 1), 0);
    return op->status;
}

#endif
