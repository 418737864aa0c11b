/* SPDX-License-Identifier: MIT */
/*
 * The audit: recompute from first principles who holds what, and compare. It needs no memory: every
 * holder found is subtracted from the stored counts, then all of them must be zero, then every
 * holder is added again. Nothing else runs meanwhile.
 */
#include "internal.h"
#include "mm/bufcache.h"

#define ROLE_BAD   BIT(63) /* reported already: a bit of the role word that nobody uses */
#define MOST_LINES 16

void (*mm_audit_extra)(void);

static struct mm_audit_result *result;
static bool restoring; /* the second walk: add again, report nothing */

static void report(struct frame *f, const char *what)
{
    if (restoring || (f->role & ROLE_BAD))
        return;
    if (result->disagreements++ == 0)
        result->first_bad_mfn = frame_mfn(f).n;
    if (result->disagreements <= MOST_LINES)
        log_error("audit: frame %lx: %s (owner %x, refs %x, role %lx)",
                  (unsigned long)frame_mfn(f).n, what, f->owner, f->refs, (unsigned long)f->role);
    f->role |= ROLE_BAD;
}

static void count_ref(struct frame *f)
{
    uint32_t owned = f->refs & (uint32_t)REF_OWNED;
    uint32_t count = f->refs + (restoring ? 1u : -1u);

    f->refs = owned | (count & ~(uint32_t)REF_OWNED);
}

static void count_role(struct frame *f, enum frame_role role)
{
    uint32_t count = (uint32_t)f->role + (restoring ? 1u : -1u);

    f->role = (f->role & ~ROLE_COUNT_MASK) | count;
    if (role_of(f->role) != role)
        report(f, "held in a role that it has not");
}

static void count_both(mfn_t m, enum frame_role role)
{
    count_ref(frame_of(m));
    count_role(frame_of(m), role);
}

void mm_audit_count(mfn_t m, bool writable_role)
{
    count_ref(frame_of(m));
    if (writable_role)
        count_role(frame_of(m), ROLE_WRITABLE);
}

/* ---- holders ---- */

static void walk_entries(struct frame *f, unsigned level, unsigned entries)
{
    const pte_t *t = env_frame(frame_mfn(f));

    for (unsigned i = 0; i < entries; i++) {
        if (!(t[i] & PTE_P) || (level == 4 && i >= HV_SLOT_FIRST && i <= HV_SLOT_LAST))
            continue;
        if (!(t[i] & PTE_US) || (t[i] & PTE_ADDR) >> env_phys_bits ||
            (level > 1 && (t[i] & (PTE_PSE | PTE_G))))
            report(f, "illegal entry");
        if (!frame_is_ram(pte_mfn(t[i]))) {
            if (level > 1)
                report(f, "table entry names no frame");
        } else if (level > 1) {
            count_both(pte_mfn(t[i]), (enum frame_role)(ROLE_L1 + level - 2));
        } else if (t[i] & PTE_RW) {
            count_both(pte_mfn(t[i]), ROLE_WRITABLE);
        } else {
            count_ref(frame_of(pte_mfn(t[i])));
        }
    }
}

static void walk_frame(struct mm_domain *d, struct frame *f)
{
    if (f->owner != d->id)
        report(f, "on the list of another than its owner");
    if (!restoring && (f->flags & FRAME_SEEN))
        report(f, "listed twice");
    f->flags |= FRAME_SEEN;
    if (f->refs & REF_OWNED)
        count_ref(f);
    if (f->role & ROLE_PINNED) {
        count_ref(f);
        count_role(f, role_of(f->role));
    }
    if (role_is_table(role_of(f->role)) && (f->role & (ROLE_VALIDATED | ROLE_BUSY)))
        walk_entries(f, (unsigned)role_of(f->role) - ROLE_L1 + 1,
                     f->role & ROLE_BUSY ? f->cursor : PTE_ENTRIES);
}

static void walk_list(struct mm_domain *d)
{
    uint32_t n = d->frames;
    uint64_t seen = 0;

    if (n != FRAME_LIST_END) {
        do {
            walk_frame(d, &frame_table[n]);
            n = frame_table[n].next;
            seen++;
        } while (n != d->frames && n < frame_count && seen <= d->tot_pages);
    }
    if (!restoring && seen != d->tot_pages) {
        log_error("audit: domain %u has %lu frames, not %lu", d->id, (unsigned long)seen,
                  (unsigned long)d->tot_pages);
        result->disagreements++;
    }
}

static void report_grants(const struct mm_domain *d, uint64_t wrong, const char *what)
{
    if (wrong)
        log_error("audit: domain %u: %lu %s do not add up", d->id, (unsigned long)wrong, what);
    result->disagreements += wrong;
}

static void report_cache(uint64_t wrong)
{
    if (wrong)
        log_error("audit: %lu of the buffer cache do not add up", (unsigned long)wrong);
    result->disagreements += wrong;
}

static void walk_vcpu(const struct mm_vcpu *v)
{
    if (!mfn_eq(v->kernel_root, MFN_NONE))
        count_both(v->kernel_root, ROLE_L4);
    if (!mfn_eq(v->user_root, MFN_NONE))
        count_both(v->user_root, ROLE_L4);
    for (unsigned i = 0; i < MM_GDT_FRAMES; i++) {
        if (!mfn_eq(v->gdt[i], MFN_NONE))
            count_both(v->gdt[i], ROLE_DESC);
    }
    for (unsigned i = 0; i < MM_LDT_FRAMES; i++) {
        if (!mfn_eq(v->ldt[i], MFN_NONE))
            count_both(v->ldt[i], ROLE_DESC);
    }
}

static void walk_all(struct mm_domain *(*next_domain)(struct mm_domain *),
                     struct mm_vcpu *(*next_vcpu)(struct mm_domain *, struct mm_vcpu *))
{
    for (struct mm_domain *d = next_domain(NULL); d; d = next_domain(d)) {
        walk_list(d);
        report_grants(d, grant_audit_walk(d, restoring), "grant mappings");
        for (struct mm_vcpu *v = next_vcpu(d, NULL); v; v = next_vcpu(d, v))
            walk_vcpu(v);
    }
    walk_list(&mm_domain_region);
    for (uint64_t i = 0; i < frame_count; i++) {
        if (frame_table[i].owner == OWNER_XEN && (frame_table[i].refs & REF_OWNED))
            count_ref(&frame_table[i]);
    }
    if (mm_audit_extra)
        mm_audit_extra();
}

/* ---- frames by themselves ---- */

/* What the stored state must be whatever others hold; before the counts are taken apart. */
static void check_alone(struct frame *f)
{
    enum frame_role role = role_of(f->role);
    bool looked_at = role_is_table(role) || role == ROLE_DESC;

    if (!(f->flags & FRAME_RAM)) {
        if (f->refs || f->role)
            report(f, "no RAM, yet in use");
        return;
    }
    if (f->role & (ROLE_BUSY | ROLE_LOCKED))
        report(f, "left busy or locked");
    if (looked_at && !!(f->role & ROLE_VALIDATED) != (role_count(f->role) != 0))
        report(f, "in use unvalidated, or validated without use");
    if (!looked_at && (f->role & (ROLE_VALIDATED | ROLE_PINNED)))
        report(f, "validated or pinned as what is no table");
    if (looked_at && role_count(f->role) && f->owner >= DOMID_FIRST_RESERVED)
        report(f, "a table or descriptor page of no domain");
}

static void check_rest(struct frame *f)
{
    if (f->refs & ~(uint32_t)REF_OWNED)
        report(f, "references do not add up");
    if (role_count(f->role))
        report(f, "role count does not add up");
    if (f->owner < DOMID_FIRST_RESERVED && !(f->flags & FRAME_SEEN) && (f->flags & FRAME_RAM))
        report(f, "on no list of its owner");
    if ((f->flags & FRAME_CACHED) && f->owner != OWNER_FREE)
        report(f, "in the cache, yet not free");
    if (f->owner != OWNER_XEN && f->owner >= DOMID_FIRST_RESERVED && f->refs)
        report(f, "referenced without an owner");
}

void mm_audit(struct mm_domain *(*next_domain)(struct mm_domain *),
              struct mm_vcpu *(*next_vcpu)(struct mm_domain *, struct mm_vcpu *),
              struct mm_audit_result *out)
{
    *out = (struct mm_audit_result){.frames = frame_count, .first_bad_mfn = ~0ull};
    result = out;
    restoring = false;
    for (uint64_t i = 0; i < frame_count; i++)
        check_alone(&frame_table[i]);
    walk_all(next_domain, next_vcpu);
    for (uint64_t i = 0; i < frame_count; i++)
        check_rest(&frame_table[i]);
    for (struct mm_domain *d = next_domain(NULL); d; d = next_domain(d))
        report_grants(d, grant_audit_rest(d), "grant entries");
    report_grants(&mm_domain_region, region_audit_rest(), "regions");
    report_cache(bufcache_audit());
    restoring = true;
    walk_all(next_domain, next_vcpu);
    /* Entries of holes share pages that are mapped for reading only. */
    for (uint64_t i = 0; i < frame_count; i++) {
        if (frame_table[i].flags & FRAME_SEEN)
            frame_table[i].flags &= (uint8_t)~FRAME_SEEN;
        if (frame_table[i].role & ROLE_BAD)
            frame_table[i].role &= ~ROLE_BAD;
    }
}
