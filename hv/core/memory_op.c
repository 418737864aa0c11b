/* SPDX-License-Identifier: MIT */
/* memory_op: memory maps here; everything about amounts of memory is the memory core's. */
#include "base/boot_info.h"
#include "core/hypercall.h"
#include "mm/mm.h"
#include <xen/memory.h>

/* As the BIOS call E820 would give it: 20 bytes an entry. */
struct map_entry {
    uint64_t start, size;
    uint32_t type;
} __packed;

static long put_map(uint64_t arg, const struct map_entry *map, unsigned n)
{
    struct xen_memory_map m;
    if (copy_from_guest(&m, arg, sizeof(m)))
        return -XEN_EFAULT;
    if (m.nr_entries < n)
        return -XEN_EINVAL;
    m.nr_entries = n;
    if (copy_to_guest((uint64_t)m.buffer.p, map, n * sizeof(*map)) ||
        copy_to_guest(arg, &m, sizeof(m)))
        return -XEN_EFAULT;
    return 0;
}

/* The machine's own map, for domain 0 to find what is not RAM. */
static long machine_memory_map(struct vcpu *v, uint64_t arg)
{
    if (!v->mm.d->privileged)
        return -XEN_EPERM;
    unsigned n = boot_info.region_count;
    struct map_entry *map = heap_alloc(n * sizeof(*map));
    if (!map)
        return -XEN_ENOMEM;
    for (unsigned i = 0; i < n; i++)
        map[i] = (struct map_entry){boot_info.regions[i].start, boot_info.regions[i].size,
                                    boot_info.regions[i].type};
    long result = put_map(arg, map, n);
    heap_free(map);
    return result;
}

long do_memory_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    switch (cmd) {
    case XENMEM_machine_memory_map:
        return machine_memory_map(v, arg);
    case XENMEM_memory_map:
        return -XEN_ENOSYS; /* the guest then takes one region from 0 to its maximum reservation */
    default:
        return mm_memory_op(&v->mm, (unsigned)cmd, arg);
    }
}
