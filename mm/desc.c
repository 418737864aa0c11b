/* SPDX-License-Identifier: MIT */
/* Descriptor tables: a guest's GDT and LDT pages are used by the processor as they are. */
#include "internal.h"

#define DESC_A    BIT(40) /* accessed */
#define DESC_CODE BIT(43)
#define DESC_S    BIT(44) /* code or data, not a system descriptor */
#define DESC_DPL  (3ull << 45)
#define DESC_P    BIT(47)
#define DESC_L    BIT(53)
#define DESC_D    BIT(54)

#define DESC_PER_PAGE (PAGE_SIZE / sizeof(uint64_t))

/*
 * What is not present only faults. Present ones: code and data at the guest's level; no gates, task
 * states or local tables (nothing that a stock 64-bit guest needs). Accessed is set, so that the
 * processor has nothing to write into a page that is mapped read-only.
 */
bool mm_descriptor_check(uint64_t *desc)
{
    uint64_t v = *desc;

    if (!(v & DESC_P))
        return true;
    if (!(v & DESC_S))
        return false;
    if ((v & DESC_CODE) && (v & DESC_L) && (v & DESC_D))
        return false;
    *desc = v | DESC_DPL | DESC_A;
    return true;
}

int desc_validate(struct frame *f)
{
    uint64_t *t = env_frame(frame_mfn(f));

    for (unsigned i = 0; i < DESC_PER_PAGE; i++) {
        uint64_t v = t[i];

        if (v && !mm_descriptor_check(&v))
            return -XEN_EINVAL;
    }
    for (unsigned i = 0; i < DESC_PER_PAGE; i++) {
        if (t[i])
            (void)mm_descriptor_check(&t[i]);
    }
    return 0;
}

static void drop_pages(mfn_t *pages, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        mfn_t m = pages[i];

        pages[i] = MFN_NONE;
        if (!mfn_eq(m, MFN_NONE))
            frame_put_role(frame_of(m));
    }
}

int mm_set_gdt(struct mm_vcpu *v, const uint64_t *mfns, unsigned entries)
{
    unsigned pages = (unsigned)DIV_ROUND_UP((uint64_t)entries, DESC_PER_PAGE);
    mfn_t old[MM_GDT_FRAMES];

    if (entries > MM_GDT_FRAMES * DESC_PER_PAGE)
        return -XEN_EINVAL;
    memcpy(old, v->gdt, sizeof(old));
    for (unsigned i = 0; i < MM_GDT_FRAMES; i++)
        v->gdt[i] = MFN_NONE;
    for (unsigned i = 0; i < pages; i++) {
        if (frame_get_role(v->d, mfn(mfns[i]), ROLE_DESC, NULL)) {
            drop_pages(v->gdt, i);
            memcpy(v->gdt, old, sizeof(old));
            return -XEN_EINVAL;
        }
        v->gdt[i] = mfn(mfns[i]);
    }
    v->gdt_entries = entries;
    drop_pages(old, MM_GDT_FRAMES);
    return 0;
}

int mm_set_ldt(struct mm_vcpu *v, uint64_t base, unsigned entries)
{
    mfn_t old[MM_LDT_FRAMES];

    if (entries > MM_LDT_FRAMES * DESC_PER_PAGE)
        return -XEN_EINVAL;
    if (entries && ((base & (PAGE_SIZE - 1)) || !guest_address(base) ||
                    !guest_address(base + entries * sizeof(uint64_t) - 1)))
        return -XEN_EINVAL;
    memcpy(old, v->ldt, sizeof(old));
    for (unsigned i = 0; i < MM_LDT_FRAMES; i++)
        v->ldt[i] = MFN_NONE;
    v->ldt_base = base;
    v->ldt_entries = entries;
    env_ldt_changed(v);
    drop_pages(old, MM_LDT_FRAMES); /* only now: no processor looks at them any more */
    return 0;
}

/*
 * ROLE_DESC for a page of the LDT, never waiting for another vCPU: the processor may look at a
 * descriptor in the middle of a switch of vCPUs, or on the last instruction before the guest. A frame
 * whose role is being changed is refused; no guest has a reason to do that with its LDT.
 */
static bool get_desc_at_once(struct frame *f)
{
    uint64_t old = load_relaxed(&f->role);
    enum frame_role was;
    struct role_step s;
    bool legal;

    do {
        s = role_next_get(old, ROLE_DESC);
        if (s.action == ROLE_REFUSE || s.action == ROLE_WAIT)
            return false;
    } while (!compare_exchange(&f->role, &old, s.next));
    if (s.action == ROLE_DONE)
        return true;
    was = role_of(old);
    if (was != ROLE_DESC && was != ROLE_NONE)
        env_flush_since(frame_stamp(f));
    f->cursor = 0;
    legal = desc_validate(f) == 0;
    store_release(&f->role, legal ? role_word(ROLE_DESC, 1) | ROLE_VALIDATED
                                  : role_word(was == ROLE_DESC ? was : ROLE_NONE, 0));
    return legal;
}

mfn_t mm_ldt_page(struct mm_vcpu *v, unsigned index)
{
    struct frame *f;
    unsigned level;
    pte_t e;

    if (index >= MM_LDT_FRAMES || index * DESC_PER_PAGE >= v->ldt_entries)
        return MFN_NONE;
    if (!mfn_eq(v->ldt[index], MFN_NONE))
        return v->ldt[index];
    e = mm_walk(v->kernel_root, v->ldt_base + index * PAGE_SIZE, &level);
    f = level == 1 && (e & PTE_P) ? frame_get(v->d, pte_mfn(e)) : NULL;
    if (!f)
        return MFN_NONE;
    if (f->owner != v->d->id || !get_desc_at_once(f)) {
        frame_put(f);
        return MFN_NONE;
    }
    v->ldt[index] = pte_mfn(e);
    return v->ldt[index];
}

void mm_ldt_drop(struct mm_vcpu *v)
{
    drop_pages(v->ldt, MM_LDT_FRAMES);
}

int mm_update_descriptor(struct mm_domain *d, uint64_t maddr, uint64_t desc)
{
    mfn_t m = mfn(maddr >> PAGE_SHIFT);
    struct frame *f;
    int rc;

    if (maddr % sizeof(desc) || !mm_descriptor_check(&desc))
        return -XEN_EINVAL;
    /* In use as a descriptor page, or plain data (a table that is being prepared). */
    rc = frame_get_role(d, m, ROLE_WRITABLE, &f);
    if (rc == -XEN_EBUSY && role_of(load_relaxed(&frame_of(m)->role)) == ROLE_DESC)
        rc = frame_get_role(d, m, ROLE_DESC, &f);
    if (rc)
        return -XEN_EINVAL;
    WRITE_ONCE(((uint64_t *)env_frame(m))[(maddr & (PAGE_SIZE - 1)) / sizeof(desc)], desc);
    frame_put_role(f);
    return 0;
}

/* ---- pages that the hypervisor writes on a guest's behalf ---- */

int mm_hold_writable(struct mm_domain *d, mfn_t m)
{
    struct frame *f;
    int rc = frame_get_role(d, m, ROLE_WRITABLE, &f);

    if (rc || f->owner == d->id)
        return rc;
    frame_put_role(f);
    return -XEN_EINVAL;
}

void mm_release_writable(struct mm_domain *d, mfn_t m)
{
    (void)d;
    frame_put_role(frame_of(m));
}
