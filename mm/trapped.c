/* SPDX-License-Identifier: MIT */
/* Stores of a guest to its level-1 tables that the processor refused. */
#include "internal.h"

int mm_trapped_write(struct mm_vcpu *v, uint64_t va, uint64_t *expected, uint64_t value,
                     bool compare)
{
    struct table_store s = {.value = value, .compare = compare};
    unsigned index, level;
    struct frame *f;
    pte_t e;
    int rc;

    if (va % sizeof(pte_t) || !guest_address(va))
        return -XEN_EINVAL;
    e = mm_walk(v->kernel_root, va, &level);
    if (level != 1 || !(e & PTE_P) || !frame_is_ram(pte_mfn(e)))
        return -XEN_EINVAL;
    f = frame_of(pte_mfn(e));
    index = (va & (PAGE_SIZE - 1)) / sizeof(pte_t);
    if (f->owner != v->d->id || role_table_level(load_relaxed(&f->role)) != 1)
        return -XEN_EINVAL;
    if (compare)
        s.expected = *expected;
    rc = table_update(v->d, v->d, f, index, &s);
    if (compare)
        *expected = s.expected;
    return rc == 0 || rc == 1 ? rc : -XEN_EINVAL;
}
