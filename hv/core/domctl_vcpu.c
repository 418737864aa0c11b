/* SPDX-License-Identifier: MIT */
/* Control operations on one vCPU. Its state is read and written while it is held still. */
#include "base/string.h"
#include "control.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include "x86/insn.h"

static struct vcpu *vcpu_named(struct domain *d, uint32_t id)
{
    return id < d->max_vcpus ? d->vcpus[id] : NULL;
}

/* ---- the whole context ---- */

/* Held still and at the guest boundary: nothing of the hypervisor's is under way on its stack. */
static bool at_boundary(const struct vcpu *v)
{
    return v->state != VCPU_BLOCKED && !v->in_hypercall;
}

/* One that runs already gets another context; if that is not legal it has none any more and is
 * down. */
static long set_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
    if (!at_boundary(v))
        return -XEN_EBUSY;
    if (!v->initialised && exchange(&v->claimed, true))
        return -XEN_EBUSY;
    long error = vcpu_set_context(v, c);
    if (error) {
        sched_vcpu_stop(v, VCPU_DOWN);
        v->initialised = false;
        store_release(&v->claimed, false);
        return error;
    }
    if (v->mm.id == 0)
        v->domain->vm_assist = c->vm_assist & VM_ASSIST_KNOWN;
    if (c->flags & VGCF_online)
        sched_vcpu_up(v);
    else
        sched_vcpu_stop(v, VCPU_DOWN);
    return 0;
}

long domctl_context_set(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct vcpu *v = vcpu_named(d, op->u.vcpucontext.vcpu);
    (void)copyback;
    if (!v)
        return -XEN_ESRCH;
    struct vcpu_guest_context *c = heap_alloc(sizeof(*c));
    if (!c)
        return -XEN_ENOMEM;
    long result = -XEN_EFAULT;
    if (!copy_from_guest(c, (uint64_t)op->u.vcpucontext.ctxt.p, sizeof(*c))) {
        vcpu_pause(v);
        result = set_context(v, c);
        vcpu_unpause(v);
    }
    heap_free(c);
    return result;
}

long domctl_context_get(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct vcpu *v = vcpu_named(d, op->u.vcpucontext.vcpu);
    (void)copyback;
    if (!v)
        return -XEN_ESRCH;
    if (!load_acquire(&v->initialised))
        return -XEN_ENODATA;
    struct vcpu_guest_context *c = heap_alloc(sizeof(*c));
    if (!c)
        return -XEN_ENOMEM;
    vcpu_pause(v);
    vcpu_get_context(v, c);
    vcpu_unpause(v);
    long result =
        copy_to_guest((uint64_t)op->u.vcpucontext.ctxt.p, c, sizeof(*c)) ? -XEN_EFAULT : 0;
    heap_free(c);
    return result;
}

/* ---- the callbacks that the context has no room for ---- */

static bool callback_ok(const struct xen_domctl_ext_vcpucontext *e)
{
    return guest_range_ok(e->syscall32_callback_eip, 1) &&
           guest_range_ok(e->sysenter_callback_eip, 1);
}

long domctl_ext_context_set(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    const struct xen_domctl_ext_vcpucontext *e = &op->u.ext_vcpucontext;
    struct vcpu *v = vcpu_named(d, e->vcpu);
    (void)copyback;
    if (!v)
        return -XEN_ESRCH;
    if (e->size < offsetof(struct xen_domctl_ext_vcpucontext, mcg_cap) || e->size > 128 ||
        !callback_ok(e))
        return -XEN_EINVAL;
    if (e->size >= offsetof(struct xen_domctl_ext_vcpucontext, mcg_cap) + 8 && e->mcg_cap)
        return -XEN_EINVAL; /* no machine-check banks here */
    vcpu_pause(v);
    v->syscall32_cb =
        (struct guest_callback){e->syscall32_callback_eip, e->syscall32_disables_events};
    v->sysenter_cb = (struct guest_callback){e->sysenter_callback_eip, e->sysenter_disables_events};
    vcpu_unpause(v);
    return 0;
}

long domctl_ext_context_get(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct xen_domctl_ext_vcpucontext *e = &op->u.ext_vcpucontext;
    uint32_t id = e->vcpu;
    struct vcpu *v = vcpu_named(d, id);
    (void)copyback;
    if (!v)
        return -XEN_ESRCH;
    memset(e, 0, sizeof(*e));
    e->vcpu = id;
    e->size = sizeof(*e);
    vcpu_pause(v);
    e->syscall32_callback_eip = v->syscall32_cb.address;
    e->syscall32_disables_events = v->syscall32_cb.mask_events;
    e->sysenter_callback_eip = v->sysenter_cb.address;
    e->sysenter_disables_events = v->sysenter_cb.mask_events;
    vcpu_unpause(v);
    return 0;
}

/* ---- extended state: two words that say which, then the area in the standard form ---- */

struct xstate_head {
    uint64_t xcr0, xcr0_used;
};

static uint64_t xstate_size(void)
{
    return cpu_features.xsave ? sizeof(struct xstate_head) + cpu_features.xsave_size : 0;
}

static uint64_t xstate_mask(void)
{
    return cpu_features.xsave ? cpu_features.xcr0 : 0;
}

/* A size of 0 asks for it. */
long domctl_xstate_get(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct xen_domctl_vcpuextstate *x = &op->u.vcpuextstate;
    struct vcpu *v = vcpu_named(d, x->vcpu);
    uint64_t va = (uint64_t)x->buffer.p;
    struct xstate_head head = {xstate_mask(), xstate_mask()};
    (void)copyback;
    if (!v)
        return -XEN_ESRCH;
    if (!x->size && !x->xfeature_mask) {
        x->size = xstate_size();
        x->xfeature_mask = xstate_mask();
        return 0;
    }
    if (!x->size || x->size != xstate_size() || x->xfeature_mask != xstate_mask())
        return -XEN_EINVAL;
    vcpu_pause(v);
    long result = copy_to_guest(va, &head, sizeof(head)) ||
                          copy_to_guest(va + sizeof(head), v->xsave, cpu_features.xsave_size)
                      ? -XEN_EFAULT
                      : 0;
    vcpu_unpause(v);
    return result;
}

long domctl_xstate_set(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    const struct xen_domctl_vcpuextstate *x = &op->u.vcpuextstate;
    struct vcpu *v = vcpu_named(d, x->vcpu);
    uint64_t va = (uint64_t)x->buffer.p;
    struct xstate_head head;
    (void)copyback;
    if (!v)
        return -XEN_ESRCH;
    if (!x->size || x->size != xstate_size())
        return -XEN_EINVAL;
    if (copy_from_guest(&head, va, sizeof(head)))
        return -XEN_EFAULT;
    if (head.xcr0 & ~xstate_mask() || head.xcr0_used & ~xstate_mask())
        return -XEN_EINVAL;
    void *area = heap_alloc(cpu_features.xsave_size);
    if (!area)
        return -XEN_ENOMEM;
    long result = -XEN_EFAULT;
    if (!copy_from_guest(area, va + sizeof(head), cpu_features.xsave_size)) {
        vcpu_pause(v);
        result = fpu_load_xsave(v, area);
        vcpu_unpause(v);
    }
    heap_free(area);
    return result;
}

/* ---- model-specific registers of which each vCPU has its own ---- */

#define MSRS_MAX 1

long domctl_msrs_get(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct xen_domctl_vcpu_msrs *m = &op->u.vcpu_msrs;
    struct vcpu *v = vcpu_named(d, m->vcpu);
    if (!v)
        return -XEN_ESRCH;
    uint32_t room = m->msr_count, used = v->tsc_aux ? MSRS_MAX : 0;
    m->msr_count = m->msrs.p ? used : MSRS_MAX;
    *copyback = true;
    if (!m->msrs.p || !used)
        return 0;
    if (room < used)
        return -XEN_ENOBUFS;
    struct xen_domctl_vcpu_msr one = {.index = MSR_TSC_AUX, .value = v->tsc_aux};
    return copy_to_guest((uint64_t)m->msrs.p, &one, sizeof(one)) ? -XEN_EFAULT : 0;
}

long domctl_msrs_set(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct xen_domctl_vcpu_msrs *m = &op->u.vcpu_msrs;
    struct vcpu *v = vcpu_named(d, m->vcpu);
    struct xen_domctl_vcpu_msr one;
    if (!v)
        return -XEN_ESRCH;
    for (uint32_t i = 0; i < m->msr_count; i++) {
        if (copy_from_guest(&one, (uint64_t)m->msrs.p + i * sizeof(one), sizeof(one)))
            return -XEN_EFAULT;
        if (one.index != MSR_TSC_AUX || one.reserved || one.value >> 32) {
            m->msr_count = i; /* the one that is at fault */
            *copyback = true;
            return -XEN_EINVAL;
        }
        vcpu_pause(v);
        v->tsc_aux = (uint32_t)one.value;
        vcpu_unpause(v);
    }
    return 0;
}

/* ---- where it runs ---- */

long domctl_vcpu_info(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct xen_domctl_getvcpuinfo *i = &op->u.getvcpuinfo;
    struct vcpu *v = vcpu_named(d, i->vcpu);
    struct vcpu_runstate_info r;
    (void)copyback;
    if (!v)
        return -XEN_ESRCH;
    runstate_get(v, &r);
    enum vcpu_state state = load_relaxed(&v->state);
    i->online = state == VCPU_RUNNABLE || state == VCPU_BLOCKED;
    i->blocked = state == VCPU_BLOCKED;
    i->running = load_relaxed(&v->running);
    i->cpu_time = r.time[RUNSTATE_running];
    i->cpu = load_relaxed(&v->cpu);
    return 0;
}

#define AFFINITY_KINDS (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)

static int put_masks(struct xen_domctl_vcpuaffinity *a, const uint64_t *hard, const uint64_t *soft)
{
    int error = 0;
    if (a->flags & XEN_VCPUAFFINITY_HARD)
        error = control_write_bitmap(&a->cpumap_hard, hard, cpu_count);
    if (!error && (a->flags & XEN_VCPUAFFINITY_SOFT))
        error = control_write_bitmap(&a->cpumap_soft, soft, cpu_count);
    return error;
}

static bool intersect(uint64_t *to, const uint64_t *with)
{
    uint64_t any = 0;
    for (unsigned w = 0; w < MAX_CPUS / 64; w++)
        any |= to[w] &= with[w];
    return any;
}

static void online_mask(uint64_t *mask)
{
    memset(mask, 0, MAX_CPUS / 8);
    for (unsigned i = 0; i < cpu_count; i++)
        mask[i / 64] |= BIT(i % 64);
}

long domctl_affinity_set(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v = vcpu_named(d, a->vcpu);
    uint64_t hard[MAX_CPUS / 64], soft[MAX_CPUS / 64], online[MAX_CPUS / 64];
    (void)copyback;
    if (!v)
        return -XEN_ESRCH;
    if (!(a->flags & AFFINITY_KINDS) || (a->flags & ~AFFINITY_KINDS))
        return -XEN_EINVAL;
    memcpy(hard, v->affinity, sizeof(hard));
    memcpy(soft, v->soft_affinity, sizeof(soft));
    if ((a->flags & XEN_VCPUAFFINITY_HARD) && control_read_bitmap(hard, MAX_CPUS, &a->cpumap_hard))
        return -XEN_EFAULT;
    if ((a->flags & XEN_VCPUAFFINITY_SOFT) && control_read_bitmap(soft, MAX_CPUS, &a->cpumap_soft))
        return -XEN_EFAULT;
    online_mask(online);
    uint64_t usable[MAX_CPUS / 64];
    memcpy(usable, hard, sizeof(usable));
    if (!intersect(usable, online))
        return -XEN_EINVAL;
    sched_set_affinity(v, hard, soft);
    (void)intersect(soft, usable);
    return put_masks(a, usable, soft); /* what is in force */
}

long domctl_affinity_get(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v = vcpu_named(d, a->vcpu);
    (void)copyback;
    if (!v)
        return -XEN_ESRCH;
    if (!(a->flags & AFFINITY_KINDS))
        return -XEN_EINVAL;
    return put_masks(a, v->affinity, v->soft_affinity);
}

/* ---- triggers ---- */

long domctl_trigger(struct domain *d, struct xen_domctl *op, bool *copyback)
{
    struct vcpu *v = vcpu_named(d, op->u.sendtrigger.vcpu);
    (void)copyback;
    if (!v)
        return -XEN_ESRCH;
    if (op->u.sendtrigger.trigger != XEN_DOMCTL_SENDTRIGGER_NMI)
        return -XEN_ENOSYS;
    vcpu_send_nmi(v);
    return 0;
}
