/* SPDX-License-Identifier: MIT */
#include <bare/console.h>
#include <bare/grant.h>
#include <bare/mm.h>

volatile struct grant_entry_v1 *grant_table;

long grant_call(unsigned int cmd, void *ops, unsigned int count)
{
    return hypercall(__HYPERVISOR_grant_table_op, cmd, HC_ADDR(ops), count, 0, 0);
}

void grant_init(void)
{
    xen_pfn_t frame = 0;
    struct gnttab_setup_table s = {.dom = DOMID_SELF, .nr_frames = 1};

    set_xen_guest_handle(s.frame_list, &frame);
    if (grant_table)
        return;
    if (grant_call(GNTTABOP_setup_table, &s, 1) || s.status || mm_map(mm_root(), GRANT_WINDOW, 0) ||
        mm_set(grant_slot(GRANT_SLOTS), frame << 12 | PTE_RW))
        console_panic("grant table: status %d", s.status);
    grant_table = (struct grant_entry_v1 *)grant_va(GRANT_SLOTS);
}

void grant_offer(uint32_t ref, unsigned int to, uint64_t mfn, unsigned int flags)
{
    grant_table[ref].flags = 0;
    grant_table[ref].domid = (domid_t)to;
    grant_table[ref].frame = (uint32_t)mfn;
    __atomic_store_n(&grant_table[ref].flags, (uint16_t)(GTF_permit_access | flags),
                     __ATOMIC_RELEASE);
}

bool grant_revoke(uint32_t ref)
{
    uint16_t flags = grant_table[ref].flags;

    return !(flags & (GTF_reading | GTF_writing)) &&
           __atomic_compare_exchange_n(&grant_table[ref].flags, &flags, 0, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

unsigned int grant_used(uint32_t ref)
{
    return grant_table[ref].flags & (GTF_reading | GTF_writing);
}

int grant_map(struct gnttab_map_grant_ref *op)
{
    long ret = grant_call(GNTTABOP_map_grant_ref, op, 1);

    return ret ? (int)ret - 1000 : op->status;
}

int grant_unmap(uint32_t handle, uint64_t host, uint64_t device)
{
    struct gnttab_unmap_grant_ref op = {
        .host_addr = host, .dev_bus_addr = device, .handle = handle, .status = 99};
    long ret = grant_call(GNTTABOP_unmap_grant_ref, &op, 1);

    return ret ? (int)ret - 1000 : op.status;
}

int grant_copy(const struct gnttab_copy *op)
{
    struct gnttab_copy c = *op;
    long ret = grant_call(GNTTABOP_copy, &c, 1);

    return ret ? (int)ret - 1000 : c.status;
}

uint64_t grant_slot(unsigned int slot)
{
    return mm_walk(mm_root(), grant_va(slot), 1, NULL);
}

uint64_t grant_entry(unsigned int slot)
{
    uint64_t value = 0;

    mm_walk(mm_root(), grant_va(slot), 1, &value);
    return value;
}

int grant_map_at(unsigned int slot, unsigned int dom, uint32_t ref, unsigned int flags,
                 uint32_t *handle)
{
    struct gnttab_map_grant_ref op = {.host_addr = grant_va(slot),
                                      .flags = GNTMAP_host_map | flags,
                                      .ref = ref,
                                      .dom = (domid_t)dom,
                                      .status = 99};
    int status = grant_map(&op);

    if (handle)
        *handle = op.handle;
    return status;
}
