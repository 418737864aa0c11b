/* SPDX-License-Identifier: MIT */
/* Changing entries of live tables: HYPERVISOR_mmu_update and HYPERVISOR_update_va_mapping. */
#include "internal.h"

/* What a new entry needs beyond what the old one holds. */
enum need { NEED_NOTHING, NEED_WRITABLE, NEED_ALL };

static inline enum need entry_need(pte_t old, pte_t new, unsigned level)
{
    if (!(new &PTE_P))
        return NEED_NOTHING;
    if (!(old & PTE_P) || ((old ^ new) & PTE_ADDR))
        return NEED_ALL;
    if (level == 1 && (new & ~old &PTE_RW))
        return NEED_WRITABLE;
    return NEED_NOTHING;
}

/* A read-only entry of pg's own frame becomes writable: under the entry lock its reference is
 * stable, so the role is all that is missing. Not if that takes waiting. */
static inline bool upgrade(const struct mm_domain *pg, pte_t new)
{
    struct frame *f;

    if (!frame_is_ram(pte_mfn(new)))
        return false;
    f = frame_of(pte_mfn(new));
    return f->owner == pg->id && !pg->dying && role_try_get_writable(f);
}

/* Under the entry lock. False: the comparison failed. */
static inline bool store_entry(pte_t *slot, pte_t *old, struct table_store *s)
{
    pte_t new = s->value;

    if (s->compare) {
        if (compare_exchange(slot, &s->expected, new))
            return true;
        *old = s->expected;
        return false;
    }
    if (!s->preserve_ad || !(*old & new &PTE_P)) {
        WRITE_ONCE(*slot, new);
        return true;
    }
    do {
        new = s->value | (*old & (PTE_A | PTE_D));
    } while (!compare_exchange(slot, old, new));
    return true;
}

/* The entry was replaced, unlocked: drop what the old one held and the new one does not use. */
static inline void drop_old(pte_t old, pte_t new, unsigned level, bool all)
{
    if (!(old & PTE_P))
        return;
    if (all)
        entry_put(level, old);
    else if (level == 1 && (old & ~new &PTE_RW) && frame_is_ram(pte_mfn(old)))
        role_put(frame_of(pte_mfn(old)));
}

/* Locked store; *held says whether the new entry's references were taken. -XEN_EAGAIN: they are
 * needed. */
static inline int locked_store(struct mm_domain *pt, struct mm_domain *pg, struct frame *f,
                               unsigned level, pte_t *slot, struct table_store *s, bool held)
{
    pte_t old, new = s->value;
    enum need need;
    bool upgraded = false;

    if (!table_lock(f, level, pt->id))
        return TABLE_NOT_ONE;
    old = *(volatile pte_t *)slot;
    need = held ? NEED_NOTHING : entry_need(old, new, level);
    if (need == NEED_WRITABLE)
        upgraded = upgrade(pg, new);
    if (upgraded && pt != pg)
        note_foreign(frame_of(pte_mfn(new)));
    if (unlikely(need == NEED_ALL || (need == NEED_WRITABLE && !upgraded))) {
        table_unlock(f);
        return -XEN_EAGAIN;
    }
    if (unlikely(!store_entry(slot, &old, s))) {
        table_unlock(f);
        if (upgraded)
            role_put(frame_of(pte_mfn(new)));
        return 1;
    }
    table_unlock(f);
    drop_old(old, new, level, held || !(new &PTE_P));
    return 0;
}

int table_update(struct mm_domain *pt, struct mm_domain *pg, struct frame *f, unsigned index,
                 struct table_store *s)
{
    unsigned level = role_table_level(load_relaxed(&f->role));
    pte_t *slot = (pte_t *)env_frame(frame_mfn(f)) + index;
    bool held = false;
    int rc;

    if (unlikely(!level))
        return TABLE_NOT_ONE;
    if (unlikely(level > 1)) {
        if (level == 4 && index >= HV_SLOT_FIRST && index <= HV_SLOT_LAST)
            return -XEN_EINVAL;
        if (pt != pg)
            return -XEN_EINVAL;
    }
    if (s->value & PTE_P) {
        rc = entry_check(&s->value, level);
        if (unlikely(rc))
            return rc;
    }
    for (;;) {
        if (!held && entry_need(*(volatile pte_t *)slot, s->value, level) == NEED_ALL)
            rc = -XEN_EAGAIN;
        else
            rc = locked_store(pt, pg, f, level, slot, s, held);
        if (likely(!rc) || rc != -XEN_EAGAIN)
            break;
        rc = entry_get(pt, pg, level, &s->value);
        if (unlikely(rc))
            return rc;
        held = true;
    }
    if (unlikely(rc) && held)
        entry_put(level, s->value);
    return rc;
}

/* ---- mmu_update ---- */

/* A store to a frame that is no table: as if the guest had a writable mapping of it. */
static int plain_store(struct mm_domain *pt, mfn_t m, unsigned index, pte_t value)
{
    struct frame *f;
    int rc = frame_get_role(pt, m, ROLE_WRITABLE, &f);

    if (rc)
        return rc;
    WRITE_ONCE(((pte_t *)env_frame(m))[index], value);
    frame_put_role(f);
    return 0;
}

static inline int entry_request(struct mm_domain *pt, struct mm_domain *pg, uint64_t ptr,
                                pte_t value, bool preserve_ad)
{
    mfn_t m = mfn(ptr >> PAGE_SHIFT);
    unsigned index = (ptr & (PAGE_SIZE - 1)) / sizeof(pte_t);
    int rc;

    if (unlikely(ptr % sizeof(pte_t)) || unlikely(!frame_is_ram(m)) ||
        unlikely(frame_of(m)->owner != pt->id))
        return -XEN_EINVAL;
    /* Between the two looks the frame may become a table; a few times only, or the guest plays. */
    for (unsigned tries = 0; tries < 8; tries++) {
        struct table_store s = {.value = value, .preserve_ad = preserve_ad};

        rc = table_update(pt, pg, frame_of(m), index, &s);
        if (likely(rc != TABLE_NOT_ONE))
            return rc;
        rc = plain_store(pt, m, index, value);
        if (rc != -XEN_EBUSY || !role_is_table(role_of(load_relaxed(&frame_of(m)->role))))
            return rc;
    }
    return -XEN_EBUSY;
}

static inline int one_request(struct mm_domain *pt, struct mm_domain *pg,
                              const struct mmu_update *r)
{
    uint64_t ptr = r->ptr & ~3ull;

    switch (r->ptr & 3) {
    case MMU_NORMAL_PT_UPDATE:
    case MMU_PT_UPDATE_NO_TRANSLATE: /* a guest's frame numbers are the machine's: the same */
        return entry_request(pt, pg, ptr, r->val, false);
    case MMU_PT_UPDATE_PRESERVE_AD:
        return entry_request(pt, pg, ptr, r->val, true);
    default:
        return m2p_update(pg, ptr, r->val);
    }
}

/*
 * Runs. Requests mostly come in a row for one level-1 table, and most change flag bits of a present
 * entry or fill an empty one with a page of the caller's own. Those need neither waiting nor
 * looking elsewhere, so they are done under the entry lock of the table, which is kept from one
 * request to the next. Everything else ends the run and goes the general way.
 */
struct run {
    struct frame *table; /* locked, or NULL */
    pte_t *entries;
};

static inline void run_end(struct run *run)
{
    if (run->table)
        table_unlock(run->table);
    run->table = NULL;
}

static inline bool run_enter(struct run *run, const struct mm_domain *pt,
                             const struct mm_domain *pg, mfn_t m)
{
    if (likely(run->table == frame_of(m)))
        return true;
    run_end(run);
    if (unlikely(pt != pg) || unlikely(!frame_is_ram(m)) || !table_lock(frame_of(m), 1, pt->id))
        return false;
    run->table = frame_of(m);
    run->entries = env_frame(m);
    return true;
}

/* Present before and after, the same frame and memory type. */
static inline bool change_flags(struct mm_domain *pg, pte_t *slot, pte_t old, pte_t new,
                                bool preserve_ad)
{
    pte_t changed = old ^ new;

    if (changed & (PTE_P | PTE_ADDR | PTE_CACHE))
        return false;
    if ((changed & new &PTE_RW) && !upgrade(pg, new))
        return false;
    if (preserve_ad) {
        pte_t found = old;
        while (!compare_exchange(slot, &found, new | (found & (PTE_A | PTE_D))))
            ; /* only the hardware, which sets each of the two once, is in the way */
    } else {
        WRITE_ONCE(*slot, new);
    }
    if ((changed & old & PTE_RW) && frame_is_ram(pte_mfn(old)))
        role_put(frame_of(pte_mfn(old))); /* of plain data: short */
    return true;
}

/* An empty entry gets a page of RAM whose role needs no change. */
static inline bool fill_empty(struct mm_domain *pg, pte_t *slot, pte_t new)
{
    struct frame *f;

    if ((new &PTE_CACHE) || !(f = frame_get(pg, pte_mfn(new))))
        return false;
    if ((new &PTE_RW) && (f->owner != pg->id || !role_try_get_writable(f))) {
        frame_put(f);
        return false;
    }
    WRITE_ONCE(*slot, new);
    return true;
}

static inline bool run_request(struct run *run, struct mm_domain *pt, struct mm_domain *pg,
                               const struct mmu_update *r)
{
    uint64_t kind = r->ptr & (sizeof(pte_t) - 1);
    pte_t new = (r->val & ~PTE_G) | PTE_US;

    if (kind != MMU_NORMAL_PT_UPDATE && kind != MMU_PT_UPDATE_PRESERVE_AD)
        return false;
    if (!(new &PTE_P) || (unlikely(!env_has_nx) && (new &PTE_NX)))
        return false;
    if (!run_enter(run, pt, pg, mfn(r->ptr >> PAGE_SHIFT)))
        return false;
    pte_t *slot = run->entries + (r->ptr & (PAGE_SIZE - 1)) / sizeof(pte_t);
    pte_t old = *(volatile pte_t *)slot;
    if (likely(old & PTE_P))
        return change_flags(pg, slot, old, new, kind == MMU_PT_UPDATE_PRESERVE_AD);
    return fill_empty(pg, slot, new);
}

#define BATCH 16 /* requests fetched at a time */

/* Up to BATCH requests from va; fewer when not all are readable. */
static inline unsigned fetch(struct mmu_update *r, uint64_t va, unsigned left)
{
    unsigned n = min(left, (unsigned)BATCH);

    if (likely(env_copy_from_guest(r, va, n * sizeof(*r)) == 0))
        return n;
    return n > 1 && env_copy_from_guest(r, va, sizeof(*r)) == 0 ? 1 : 0;
}

/* Requests already fetched; the number carried out. */
static inline unsigned batch(struct mm_domain *pt, struct mm_domain *pg, const struct mmu_update *r,
                             unsigned n, long *error)
{
    struct run run = {NULL, NULL};
    unsigned i;

    for (i = 0; i < n; i++) {
        if (likely(run_request(&run, pt, pg, &r[i])))
            continue;
        run_end(&run);
        *error = one_request(pt, pg, &r[i]);
        if (unlikely(*error))
            break;
    }
    run_end(&run);
    return i;
}

/* A single request, as the fault paths of stock kernels make them. */
static inline long single_request(struct mm_domain *d, uint64_t va)
{
    struct mmu_update r;
    struct run run = {NULL, NULL};

    if (unlikely(env_copy_from_guest(&r, va, sizeof(r))))
        return -XEN_EFAULT;
    bool done = run_request(&run, d, d, &r);
    run_end(&run);
    return likely(done) ? 0 : one_request(d, d, &r);
}

static long all_requests(struct mm_domain *pt, struct mm_domain *pg, uint64_t va, unsigned count,
                         unsigned *done)
{
    struct mmu_update r[BATCH];
    long error = 0;

    while (*done < count) {
        unsigned n = fetch(r, va + (uint64_t)*done * sizeof(*r), count - *done);

        if (n == 0)
            return -XEN_EFAULT;
        *done += batch(pt, pg, r, n, &error);
        if (unlikely(error))
            return error;
        if (*done < count && unlikely(!env_rest_point() || load_relaxed(&pt->dying)))
            return -XEN_EINVAL;
    }
    return 0;
}

/*
 * HYPERVISOR_mmu_update. foreign: low half the owner of frames mapped, high half (if not 0) the
 * owner of the tables plus one. The number of requests carried out is written to done_va (if not
 * 0).
 */
long mm_mmu_update(struct mm_vcpu *v, uint64_t reqs_va, unsigned count, uint64_t done_va,
                   unsigned foreign)
{
    struct mm_domain *d = v->d, *pt = d, *pg = d;
    unsigned done = 0;
    int error = 0;
    long rc;

    if (count == 1 && foreign == DOMID_SELF && !done_va)
        return single_request(d, reqs_va);
    if (unlikely(count >> 31))
        return -XEN_EINVAL;
    if (unlikely(foreign != DOMID_SELF)) {
        if (foreign >> 16) {
            pt = domain_resolve(d, (foreign >> 16) - 1, &error);
            if (!pt)
                return error;
        }
        pg = domain_resolve(d, foreign & 0xffff, &error);
        if (!pg) {
            domain_release(d, pt);
            return error;
        }
    }
    rc = all_requests(pt, pg, reqs_va, count, &done);
    if (unlikely(foreign != DOMID_SELF)) {
        domain_release(d, pg);
        domain_release(d, pt);
    }
    if (done_va && env_copy_to_guest(done_va, &done, sizeof(done)) && rc == 0)
        rc = -XEN_EFAULT;
    return rc;
}

/* ---- walking and update_va_mapping ---- */

/* The tables may change under a walk: every frame number is checked to be RAM before it is looked
 * into, and who writes checks the table again under its lock. */
pte_t mm_walk(mfn_t root, uint64_t va, unsigned *level)
{
    mfn_t table = root;

    for (*level = 4;; --*level) {
        pte_t e;

        if (!frame_is_ram(table))
            return 0;
        e = ((volatile pte_t *)env_frame(table))[pt_index(va, *level)];
        if (*level == 1 || !(e & PTE_P) || (e & PTE_PSE))
            return e;
        table = pte_mfn(e);
    }
}

/* One level down: the table that the entry for va names in this one. */
static inline bool descend(mfn_t *table, uint64_t va, unsigned level)
{
    pte_t e;

    if (unlikely(!frame_is_ram(*table)))
        return false;
    e = ((volatile pte_t *)env_frame(*table))[pt_index(va, level)];
    *table = pte_mfn(e);
    return likely((e & (PTE_P | PTE_PSE)) == PTE_P);
}

struct frame *walk_table(mfn_t root, uint64_t va, unsigned *index)
{
    mfn_t table = root;

    if (!guest_address(va) || !descend(&table, va, 4) || !descend(&table, va, 3) ||
        !descend(&table, va, 2))
        return NULL;
    *index = pt_index(va, 1);
    return likely(frame_is_ram(table)) ? frame_of(table) : NULL;
}

int read_vcpu_set(const struct mm_vcpu *v, uint64_t guest_va, struct vcpu_set *set)
{
    unsigned words = min(DIV_ROUND_UP(v->d->vcpus, 64u), (unsigned)ARRAY_SIZE(set->bits));

    memset(set, 0, sizeof(*set));
    return env_copy_from_guest(set->bits, guest_va, words * sizeof(uint64_t)) ? -XEN_EFAULT : 0;
}

/* The flush that the caller of update_va_mapping asked for. */
static long va_flush(struct mm_vcpu *v, uint64_t va, uint64_t flags)
{
    uint64_t where = flags & ~UVMF_FLUSHTYPE_MASK;
    bool all;
    struct vcpu_set set;

    switch (flags & UVMF_FLUSHTYPE_MASK) {
    case UVMF_NONE:
        return 0;
    case UVMF_TLB_FLUSH:
        all = true;
        break;
    case UVMF_INVLPG:
        all = false;
        break;
    default:
        return -XEN_ENOSYS;
    }
    if (where == UVMF_LOCAL) {
        env_flush_local(all, va);
        return 0;
    }
    if (where == UVMF_ALL)
        memset(&set, 0xff, sizeof(set));
    else if (read_vcpu_set(v, where, &set))
        return -XEN_EFAULT;
    env_flush_vcpus(v->d, &set, all, va);
    return 0;
}

/* What a run does with one request, and emptying an entry. False: it must go the general way. */
static inline bool update_quickly(struct mm_domain *d, struct frame *f, unsigned index, pte_t value)
{
    pte_t *slot = (pte_t *)env_frame(frame_mfn(f)) + index;
    pte_t new = (value & ~PTE_G) | PTE_US, old;
    bool done = true;

    if (unlikely(!env_has_nx) && (value & PTE_NX))
        return false;
    if (unlikely(!table_lock(f, 1, d->id)))
        return false;
    old = *(volatile pte_t *)slot;
    if (!(value & PTE_P))
        WRITE_ONCE(*slot, value);
    else if (old & PTE_P)
        done = change_flags(d, slot, old, new, false);
    else
        done = fill_empty(d, slot, new);
    table_unlock(f);
    if (!(value & PTE_P) && (old & PTE_P))
        entry_put(1, old);
    return done;
}

static int update_at(struct mm_domain *d, struct mm_domain *pg, struct frame *f, unsigned index,
                     pte_t value)
{
    struct table_store s = {.value = value};
    int rc = table_update(d, pg, f, index, &s);

    return rc == TABLE_NOT_ONE ? -XEN_EINVAL : rc;
}

/* ..._otherdomain: maps frames of pg. */
static long update_foreign(struct mm_vcpu *v, uint64_t va, uint64_t value, uint64_t flags,
                           unsigned foreign)
{
    int rc = 0;
    struct mm_domain *pg = domain_resolve(v->d, foreign, &rc);
    unsigned index;
    struct frame *f;

    if (!pg)
        return rc;
    f = walk_table(v->kernel_root, va, &index);
    rc = f ? update_at(v->d, pg, f, index, value) : -XEN_EINVAL;
    domain_release(v->d, pg);
    return rc ? rc : va_flush(v, va, flags);
}

/* HYPERVISOR_update_va_mapping, and with foreign other than DOMID_SELF ..._otherdomain. flags:
 * UVMF_*. */
long mm_update_va_mapping(struct mm_vcpu *v, uint64_t va, uint64_t value, uint64_t flags,
                          unsigned foreign)
{
    unsigned index;
    struct frame *f;
    int rc;

    if (unlikely(foreign != DOMID_SELF))
        return update_foreign(v, va, value, flags, foreign);
    f = walk_table(v->kernel_root, va, &index);
    if (unlikely(!f))
        return -XEN_EINVAL;
    if (unlikely(!update_quickly(v->d, f, index, value))) {
        rc = update_at(v->d, v->d, f, index, value);
        if (rc)
            return rc;
    }
    return likely(!flags) ? 0 : va_flush(v, va, flags);
}
