/* SPDX-License-Identifier: MIT */
/*
 * HYPERVISOR_domctl: operations on domains by the domain that manages them. Who may call is decided
 * by the table of hypercalls before anything is looked at; this table says what each command needs.
 * A command that is not there is -ENOSYS.
 */
#include "base/string.h"
#include "control.h"
#include "core/hypercall.h"
#include "mm/env.h"

enum needs {
    NONE,  /* no domain: it is looked for, or made, by the handler */
    READ,  /* any domain, the caller's own and dying ones too; nothing changes */
    OTHER, /* a domain that lives and is not the caller's, which stands still for other control
              operations */
    OWN,   /* the same, and the caller's own too */
    END,   /* not the caller's; alive or not */
};

struct domctl {
    domctl_fn *fn;
    enum needs needs;
};

static const struct domctl domctls[] = {
    [XEN_DOMCTL_createdomain] = {domctl_create, NONE},
    [XEN_DOMCTL_destroydomain] = {domctl_destroy, END},
    [XEN_DOMCTL_pausedomain] = {domctl_pause, OTHER},
    [XEN_DOMCTL_unpausedomain] = {domctl_unpause, OTHER},
    [XEN_DOMCTL_resumedomain] = {domctl_resume, OTHER},
    [XEN_DOMCTL_getdomaininfo] = {domctl_info, NONE},
    [XEN_DOMCTL_max_vcpus] = {domctl_max_vcpus, OTHER},
    [XEN_DOMCTL_max_mem] = {domctl_max_mem, OWN},
    [XEN_DOMCTL_scheduler_op] = {domctl_scheduler, OWN},
    [XEN_DOMCTL_setdomainhandle] = {domctl_set_handle, OWN},
    [XEN_DOMCTL_settimeoffset] = {domctl_settimeoffset, OTHER},
    [XEN_DOMCTL_set_address_size] = {domctl_address_size_set, OTHER},
    [XEN_DOMCTL_get_address_size] = {domctl_address_size_get, READ},
    [XEN_DOMCTL_settscinfo] = {domctl_tsc_set, OTHER},
    [XEN_DOMCTL_gettscinfo] = {domctl_tsc_get, READ},
    [XEN_DOMCTL_hypercall_init] = {domctl_hypercall_init, OTHER},
    [XEN_DOMCTL_getpageframeinfo3] = {domctl_page_info, READ},
    [XEN_DOMCTL_shadow_op] = {domctl_shadow, OTHER},
    [XEN_DOMCTL_iomem_permission] = {domctl_permission, OTHER},
    [XEN_DOMCTL_ioport_permission] = {domctl_permission, OTHER},
    [XEN_DOMCTL_irq_permission] = {domctl_permission, OTHER},
    [XEN_DOMCTL_setnodeaffinity] = {domctl_nodes_set, OWN},
    [XEN_DOMCTL_getnodeaffinity] = {domctl_nodes_get, READ},
    [XEN_DOMCTL_cacheflush] = {domctl_nothing, READ}, /* caches are coherent */
    [XEN_DOMCTL_setvcpucontext] = {domctl_context_set, OTHER},
    [XEN_DOMCTL_getvcpucontext] = {domctl_context_get, OTHER},
    [XEN_DOMCTL_getvcpuinfo] = {domctl_vcpu_info, READ},
    [XEN_DOMCTL_setvcpuaffinity] = {domctl_affinity_set, OWN},
    [XEN_DOMCTL_getvcpuaffinity] = {domctl_affinity_get, READ},
    [XEN_DOMCTL_set_ext_vcpucontext] = {domctl_ext_context_set, OTHER},
    [XEN_DOMCTL_get_ext_vcpucontext] = {domctl_ext_context_get, OTHER},
    [XEN_DOMCTL_setvcpuextstate] = {domctl_xstate_set, OTHER},
    [XEN_DOMCTL_getvcpuextstate] = {domctl_xstate_get, OTHER},
    [XEN_DOMCTL_set_vcpu_msrs] = {domctl_msrs_set, OTHER},
    [XEN_DOMCTL_get_vcpu_msrs] = {domctl_msrs_get, OTHER},
    [XEN_DOMCTL_sendtrigger] = {domctl_trigger, OTHER},
    [XEN_DOMCTL_get_cpu_policy] = {domctl_policy_get, READ},
    [XEN_DOMCTL_set_cpu_policy] = {domctl_policy_set, OTHER},
};

static long locked(const struct domctl *c, struct domain *d, struct xen_domctl *op, bool *copyback)
{
    long result = -XEN_ESRCH;

    control_lock(d);
    if (c->needs == END || !d->mm.dying)
        result = c->fn(d, op, copyback);
    control_unlock(d);
    return result;
}

static long carry_out(struct vcpu *v, const struct domctl *c, struct xen_domctl *op, bool *copyback)
{
    if (c->needs == NONE)
        return c->fn(NULL, op, copyback);
    struct domain *d = domain_get(op->domain);
    if (!d)
        return -XEN_ESRCH;
    long result = -XEN_EINVAL;
    if (c->needs == READ)
        result = c->fn(d, op, copyback);
    else if (d != v->domain || c->needs == OWN)
        result = locked(c, d, op, copyback);
    domain_put(d);
    domain_reap();
    return result;
}

long do_domctl(struct vcpu *v, uint64_t arg_va, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct xen_domctl op;
    bool copyback = false;
    (void)a2, (void)a3, (void)a4, (void)a5;

    if (copy_from_guest(&op, arg_va, sizeof(op)))
        return -XEN_EFAULT;
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION)
        return -XEN_EACCES;
    if (op.cmd >= ARRAY_SIZE(domctls) || !domctls[op.cmd].fn)
        return -XEN_ENOSYS;
    long result = carry_out(v, &domctls[op.cmd], &op, &copyback);
    if ((!result || copyback) && copy_to_guest(arg_va, &op, sizeof(op)))
        result = -XEN_EFAULT;
    return result;
}

/* ---- bitmaps ---- */

int control_read_bitmap(uint64_t *to, unsigned bits, const struct xenctl_bitmap *from)
{
    unsigned given = min(from->nr_bits, bits);

    memset(to, 0, (bits + 63) / 64 * 8);
    if (copy_from_guest(to, (uint64_t)from->bitmap.p, (given + 7) / 8))
        return -XEN_EFAULT;
    if (given % 64)
        to[given / 64] &= BIT(given % 64) - 1;
    return 0;
}

int control_write_bitmap(const struct xenctl_bitmap *to, const uint64_t *from, unsigned bits)
{
    static const uint8_t zeros[64];
    uint64_t va = (uint64_t)to->bitmap.p, bytes = (to->nr_bits + 7ull) / 8;
    uint64_t ours = min(bytes, (bits + 7ull) / 8);

    if (copy_to_guest(va, from, ours))
        return -XEN_EFAULT;
    for (uint64_t at = ours; at < bytes; at += sizeof(zeros)) {
        if (copy_to_guest(va + at, zeros, min(bytes - at, (uint64_t)sizeof(zeros))))
            return -XEN_EFAULT;
        env_preempt_point();
    }
    return 0;
}
