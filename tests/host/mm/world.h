/* SPDX-License-Identifier: MIT */
/* What the tests of mm/ build of: frames, small table trees, hypercalls with their arguments in
 * place. */
#ifndef TESTS_HOST_MM_WORLD_H
#define TESTS_HOST_MM_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../fake_env.h"

/* A frame of d; stops the test when there is none. */
static inline mfn_t new_frame(struct mm_domain *d)
{
    int error = 0;
    mfn_t m = palloc_domain(d, 0, 0, &error);

    assert_int_equal(error, 0);
    assert_true(m.n < frame_count);
    return m;
}

static inline pte_t *entries(mfn_t m)
{
    return env_frame(m);
}

/* One table of each level, linked, with the level-1 table mapping `pages` fresh frames writable
 * from address 0 on (nothing pinned). */
struct tree {
    mfn_t l[5]; /* by level; 0 unused */
    mfn_t page[8];
    unsigned pages;
};

#define TABLE_BITS (PTE_P | PTE_RW | PTE_US | PTE_A)
#define PAGE_BITS  (PTE_P | PTE_RW | PTE_US | PTE_A)

static inline struct tree new_tree(struct mm_domain *d, unsigned pages)
{
    struct tree t = {.pages = pages};

    for (unsigned i = 1; i <= 4; i++)
        t.l[i] = new_frame(d);
    for (unsigned i = 2; i <= 4; i++)
        entries(t.l[i])[0] = pte_make(t.l[i - 1], TABLE_BITS);
    for (unsigned i = 0; i < pages; i++) {
        t.page[i] = new_frame(d);
        entries(t.l[1])[i] = pte_make(t.page[i], PAGE_BITS);
    }
    return t;
}

static inline long update(struct mm_vcpu *v, mfn_t table, unsigned index, pte_t value)
{
    struct mmu_update *r = (void *)fake_buffer;

    r->ptr = mfn_to_maddr(table).a + index * 8;
    r->val = value;
    return mm_mmu_update(v, fake_va(r), 1, 0, DOMID_SELF);
}

/* Address of a slot's page, and of its level-1 entry, in a tree of new_tree(). */
#define VA(slot) ((uint64_t)(slot) << PAGE_SHIFT)

static inline uint64_t entry_address(const struct tree *t, unsigned slot)
{
    return mfn_to_maddr(t->l[1]).a + slot * sizeof(pte_t);
}

/* The end of each test: the books balance. */
static inline int world_end(void **state)
{
    (void)state;
    fake_check();
    fake_reset(0);
    return 0;
}

static inline uint64_t role_at(mfn_t m)
{
    return frame_of(m)->role;
}
static inline uint32_t refs_at(mfn_t m)
{
    return frame_of(m)->refs & ~(uint32_t)REF_OWNED;
}

#endif
