/* SPDX-License-Identifier: MIT */
/* HYPERVISOR_mmuext_op: pins, roots, flushes, the LDT, whole pages. */
#include "internal.h"

#define BATCH_OPS 8 /* operations between preemption points */

/* Zero a page of pg, or copy one to another (`from` not MFN_NONE). */
static int write_page(struct mm_domain *pg, mfn_t to, mfn_t from)
{
    struct frame *source = NULL, *f;
    int rc;

    if (!mfn_eq(from, MFN_NONE)) {
        source = frame_get(pg, from);
        if (!source)
            return -XEN_EINVAL;
    }
    rc = frame_get_role(pg, to, ROLE_WRITABLE, &f);
    if (!rc) {
        if (source)
            memmove(env_frame(to), env_frame(from), PAGE_SIZE);
        else
            memset(env_frame(to), 0, PAGE_SIZE);
        frame_put_role(f);
    }
    if (source)
        frame_put(source);
    return rc;
}

static int flush_some(struct mm_vcpu *v, const struct mmuext_op *op, bool all)
{
    struct vcpu_set set;
    int rc = read_vcpu_set(v, (uint64_t)op->arg2.vcpumask.p, &set);

    if (!rc)
        env_flush_vcpus(v->d, &set, all, op->arg1.linear_addr);
    return rc;
}

static void flush_everywhere(struct mm_vcpu *v, const struct mmuext_op *op, bool all)
{
    struct vcpu_set set;

    memset(&set, 0xff, sizeof(set));
    env_flush_vcpus(v->d, &set, all, op->arg1.linear_addr);
}

static int flush_caches(struct mm_vcpu *v, bool all)
{
    if (!v->d->privileged)
        return -XEN_EACCES;
    env_flush_caches(all);
    return 0;
}

/* Operations on the calling vCPU; those on another domain's frames are done already. */
static int one_vcpu_op(struct mm_vcpu *v, const struct mmuext_op *op)
{
    mfn_t m = mfn(op->arg1.mfn);

    switch (op->cmd) {
    case MMUEXT_NEW_BASEPTR:
        return mm_set_root(v, m, false);
    case MMUEXT_NEW_USER_BASEPTR:
        return mm_set_root(v, m, true);
    case MMUEXT_TLB_FLUSH_LOCAL:
        env_flush_local(true, 0);
        return 0;
    case MMUEXT_INVLPG_LOCAL:
        if (guest_address(op->arg1.linear_addr))
            env_flush_local(false, op->arg1.linear_addr);
        return 0;
    case MMUEXT_TLB_FLUSH_MULTI:
        return flush_some(v, op, true);
    case MMUEXT_INVLPG_MULTI:
        return guest_address(op->arg1.linear_addr) ? flush_some(v, op, false) : 0;
    case MMUEXT_TLB_FLUSH_ALL:
        flush_everywhere(v, op, true);
        return 0;
    case MMUEXT_INVLPG_ALL:
        if (guest_address(op->arg1.linear_addr))
            flush_everywhere(v, op, false);
        return 0;
    case MMUEXT_FLUSH_CACHE:
        return flush_caches(v, false);
    case MMUEXT_FLUSH_CACHE_GLOBAL:
        return flush_caches(v, true);
    case MMUEXT_SET_LDT:
        return mm_set_ldt(v, op->arg1.linear_addr, op->arg2.nr_ents);
    case MMUEXT_MARK_SUPER:
    case MMUEXT_UNMARK_SUPER:
        return -XEN_EOPNOTSUPP;
    default:
        return -XEN_ENOSYS;
    }
}

static int one_op(struct mm_vcpu *v, struct mm_domain *pg, const struct mmuext_op *op)
{
    mfn_t m = mfn(op->arg1.mfn);

    switch (op->cmd) {
    case MMUEXT_PIN_L1_TABLE:
    case MMUEXT_PIN_L2_TABLE:
    case MMUEXT_PIN_L3_TABLE:
    case MMUEXT_PIN_L4_TABLE:
        return mm_pin(pg, m, (enum frame_role)(ROLE_L1 + (op->cmd - MMUEXT_PIN_L1_TABLE)));
    case MMUEXT_UNPIN_TABLE:
        return mm_unpin(pg, m);
    case MMUEXT_CLEAR_PAGE:
        return write_page(pg, m, MFN_NONE);
    case MMUEXT_COPY_PAGE:
        return write_page(pg, m, mfn(op->arg2.src_mfn));
    default:
        return unlikely(pg != v->d) ? -XEN_EPERM : one_vcpu_op(v, op);
    }
}

/* foreign: the owner of the frames named. The number of operations carried out goes to done_va if
 * not 0. */
long mm_mmuext_op(struct mm_vcpu *v, uint64_t ops_va, unsigned count, uint64_t done_va,
                  unsigned foreign)
{
    struct mm_domain *pg = v->d;
    unsigned done = 0;
    int error = 0;
    long rc = 0;

    if (unlikely(count >> 31))
        return -XEN_EINVAL;
    if (unlikely(foreign != DOMID_SELF)) {
        pg = domain_resolve(v->d, foreign, &error);
        if (!pg)
            return error;
    }
    while (done < count) {
        struct mmuext_op op;

        if (env_copy_from_guest(&op, ops_va + (uint64_t)done * sizeof(op), sizeof(op))) {
            rc = -XEN_EFAULT;
            break;
        }
        rc = one_op(v, pg, &op);
        if (unlikely(rc))
            break;
        if (++done < count && done % BATCH_OPS == 0 && unlikely(!env_rest_point())) {
            rc = -XEN_EINVAL;
            break;
        }
    }
    if (unlikely(foreign != DOMID_SELF))
        domain_release(v->d, pg);
    if (done_va && env_copy_to_guest(done_va, &done, sizeof(done)) && rc == 0)
        rc = -XEN_EFAULT;
    return rc;
}
