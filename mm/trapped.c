/* SPDX-License-Identifier: MIT */
/* Stores of a guest to its level-1 tables that the processor refused. */
#include "internal.h"

/* One step of a walk. The tables may change under it: a frame is checked to be RAM before it is looked into.
 */
static inline bool step(mfn_t *m, uint64_t va, unsigned level)
{
    if (unlikely(!frame_is_ram(*m)))
        return false;
    pte_t e = ((const volatile pte_t *)env_frame(*m))[pt_index(va, level)];
    *m = pte_mfn(e);
    return (e & (PTE_P | (level > 1 ? PTE_PSE : 0))) == PTE_P;
}

struct frame *mm_trapped_table(struct mm_vcpu *v, uint64_t va)
{
    mfn_t m = v->kernel_root;

    if (unlikely(!guest_address(va) || !step(&m, va, 4) || !step(&m, va, 3) || !step(&m, va, 2) ||
                 !step(&m, va, 1) || !frame_is_ram(m)))
        return NULL;
    struct frame *f = frame_of(m);
    return f->owner == v->d->id && role_table_level(load_relaxed(&f->role)) == 1 ? f : NULL;
}

/* Clearing an entry takes nothing new: only the entry lock is needed. */
static inline int clear_entry(struct mm_domain *d, struct frame *table, pte_t *slot,
                              uint64_t *expected, pte_t value)
{
    pte_t old = *expected;

    if (unlikely(!table_lock(table, 1, d->id)))
        return -XEN_EINVAL;
    bool done = compare_exchange(slot, expected, value);
    table_unlock(table);
    if (unlikely(!done))
        return 1;
    if (old & PTE_P)
        entry_put(1, old);
    return 0;
}

int mm_trapped_write(struct mm_vcpu *v, struct frame *table, uint64_t va, uint64_t *expected,
                     uint64_t value, bool compare)
{
    unsigned index = (va & (PAGE_SIZE - 1)) / sizeof(pte_t);

    if (unlikely(va % sizeof(pte_t)))
        return -XEN_EINVAL;
    if (compare && !(value & PTE_P))
        return clear_entry(v->d, table, (pte_t *)env_frame(frame_mfn(table)) + index, expected,
                           value);
    struct table_store s = {.value = value, .compare = compare};
    if (compare)
        s.expected = *expected;
    int rc = table_update(v->d, v->d, table, index, &s);
    if (rc == 1)
        *expected = s.expected;
    return rc == 0 || rc == 1 ? rc : -XEN_EINVAL;
}
