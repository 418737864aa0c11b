/* SPDX-License-Identifier: MIT */
/*
 * Stacks: each in a slot of its own whose lower half is never mapped, so that running over the end
 * faults instead of writing on a neighbour.
 */
#include "x86/cpu.h"
#include "base/string.h"
#include "mm/palloc.h"
#include "x86/entry.h"
#include "x86/paging.h"

#define STACK_ORDER 2
#define STACK_PAGES (1u << STACK_ORDER)
#define STACK_SLOTS 16384

_Static_assert(STACK_SIZE == PAGE_SIZE << STACK_ORDER, "one allocation a stack");

static uint64_t slots[STACK_SLOTS / 64]; /* taken ones */
static spinlock_t slots_lock = SPINLOCK_INIT;

static uint64_t slot_address(unsigned slot)
{
    return STACKS_BASE + (uint64_t)slot * STACK_SLOT + (STACK_SLOT - STACK_SIZE);
}

static void unmap(uint64_t va, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        (void)paging_map_page(va + i * PAGE_SIZE, 0, 0);
}

/* The page tables of a slot once used stay. */
static bool map(uint64_t va)
{
    mfn_t m = palloc_hv(STACK_ORDER, 0);
    if (mfn_eq(m, MFN_NONE))
        return false;
    for (unsigned i = 0; i < STACK_PAGES; i++) {
        if (paging_map_page(va + i * PAGE_SIZE, (m.n + i) << PAGE_SHIFT, MAP_RW)) {
            unmap(va, i);
            palloc_free_hv(m, STACK_ORDER);
            return false;
        }
    }
    return true;
}

struct stack_top *stack_alloc(void)
{
    struct stack_top *top = NULL;
    spin_lock(&slots_lock);
    unsigned slot = bit_find_zero(slots, 0, STACK_SLOTS);
    if (slot < STACK_SLOTS && map(slot_address(slot))) {
        (void)bit_test_and_set(slots, slot);
        top = stack_top_of((void *)slot_address(slot));
    }
    spin_unlock(&slots_lock);
    return top;
}

/* No CPU may know the old frames when the slot is used again. */
void stack_free(struct stack_top *top)
{
    if (!top)
        return;
    unsigned slot = (unsigned)(((uintptr_t)top - STACKS_BASE) / STACK_SLOT);
    uint64_t va = slot_address(slot);
    mfn_t m = pte_mfn(*paging_entry(va));
    unmap(va, STACK_PAGES);
    tlb_drop_own(va, STACK_PAGES);
    palloc_free_hv(m, STACK_ORDER);
    spin_lock(&slots_lock);
    CHECK(bit_test_and_clear(slots, slot));
    spin_unlock(&slots_lock);
}
