/* SPDX-License-Identifier: MIT */
/* memory_op: memory maps here; everything about amounts of memory is the memory core's. */
#include "base/boot_info.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "mm/mm.h"
#include <xen/memory.h>

static long put_map(uint64_t arg, const struct memory_map_entry *map, unsigned n)
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
    struct memory_map_entry *map = heap_alloc(n * sizeof(*map));
    if (!map)
        return -XEN_ENOMEM;
    for (unsigned i = 0; i < n; i++)
        map[i] = (struct memory_map_entry){boot_info.regions[i].start, boot_info.regions[i].size,
                                           boot_info.regions[i].type};
    long result = put_map(arg, map, n);
    heap_free(map);
    return result;
}

/* A guest that was told nothing gets -ENOSYS and takes one region from 0 to its maximum
 * reservation. */
static long guest_memory_map(struct vcpu *v, uint64_t arg)
{
    const struct domain *d = v->domain;
    return d->map ? put_map(arg, d->map, d->map_entries) : -XEN_ENOSYS;
}

/* With d's control lock. */
static long replace_map(struct domain *d, const struct xen_foreign_memory_map *f)
{
    size_t bytes = f->map.nr_entries * sizeof(struct memory_map_entry);
    struct memory_map_entry *map = heap_alloc(bytes);

    if (!map)
        return -XEN_ENOMEM;
    if (copy_from_guest(map, (uint64_t)f->map.buffer.p, bytes)) {
        heap_free(map);
        return -XEN_EFAULT;
    }
    domain_pause(d); /* it does not look at the old one now */
    heap_free(d->map);
    d->map = map;
    d->map_entries = f->map.nr_entries;
    domain_unpause(d);
    return 0;
}

static long set_memory_map(struct vcpu *v, uint64_t arg)
{
    struct xen_foreign_memory_map f;

    if (!v->mm.d->privileged)
        return -XEN_EPERM;
    if (copy_from_guest(&f, arg, sizeof(f)))
        return -XEN_EFAULT;
    if (!f.map.nr_entries || f.map.nr_entries > DOMAIN_MAP_MAX)
        return -XEN_EINVAL;
    struct domain *d = domain_get(f.domid);
    if (!d)
        return -XEN_ESRCH;
    long result = -XEN_EINVAL;
    if (d != v->domain) {
        control_lock(d);
        result = d->mm.dying ? -XEN_ESRCH : replace_map(d, &f);
        control_unlock(d);
    }
    domain_put(d);
    return result;
}

long do_memory_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    switch (cmd) {
    case XENMEM_machine_memory_map:
        return machine_memory_map(v, arg);
    case XENMEM_memory_map:
        return guest_memory_map(v, arg);
    case XENMEM_set_memory_map:
        return set_memory_map(v, arg);
    case XENMEM_get_sharing_freed_pages:
    case XENMEM_get_sharing_shared_pages:
        return v->mm.d->privileged ? 0 : -XEN_EPERM; /* pages are never merged */
    case XENMEM_get_vnumainfo:    /* tools take any other error for "it has one" */
    case XENMEM_acquire_resource: /* and fall back to mapping frames */
        return -XEN_EOPNOTSUPP;
    default:
        return mm_memory_op(&v->mm, (unsigned)cmd, arg);
    }
}
