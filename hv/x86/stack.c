/* SPDX-License-Identifier: MIT */
/*
 * Stacks: each in a slot of its own whose lower half is never mapped, so that running over the end
 * faults instead of writing on a neighbour.
 */
#include "x86/cpu.h"
#include "base/string.h"
#include "mm/palloc.h"
#include "x86/paging.h"

#define STACK_ORDER 2
#define STACK_SLOTS 16384

_Static_assert(STACK_SIZE == PAGE_SIZE << STACK_ORDER, "one allocation a stack");

static uint64_t slots[STACK_SLOTS / 64]; /* taken ones */
static spinlock_t slots_lock = SPINLOCK_INIT;

static uint64_t slot_address(unsigned slot)
{
    return STACKS_BASE + (uint64_t)slot * STACK_SLOT + (STACK_SLOT - STACK_SIZE);
}

/* A slot once used keeps its page tables and its frames: what differs is only whether it is taken.
 */
static struct stack_top *prepare(unsigned slot)
{
    uint64_t va = slot_address(slot);
    pte_t *e = paging_entry(va);
    if (!e || !(*e & PTE_P)) {
        mfn_t m = palloc_hv(STACK_ORDER, 0);
        if (mfn_eq(m, MFN_NONE))
            return NULL;
        for (unsigned i = 0; i < 1u << STACK_ORDER; i++) {
            if (paging_map_page(va + i * PAGE_SIZE, (m.n + i) << PAGE_SHIFT, MAP_RW)) {
                while (i-- > 0)
                    (void)paging_map_page(va + i * PAGE_SIZE, 0, 0);
                palloc_free_hv(m, STACK_ORDER);
                return NULL;
            }
        }
    } else {
        memset((void *)va, 0, STACK_SIZE);
    }
    return stack_top_of((void *)va);
}

struct stack_top *stack_alloc(void)
{
    spin_lock(&slots_lock);
    unsigned slot = bit_find_zero(slots, 0, STACK_SLOTS);
    struct stack_top *top = NULL;
    if (slot < STACK_SLOTS && (top = prepare(slot)))
        (void)bit_test_and_set(slots, slot);
    spin_unlock(&slots_lock);
    return top;
}

void stack_free(struct stack_top *top)
{
    if (!top)
        return;
    unsigned slot = (unsigned)(((uintptr_t)top - STACKS_BASE) / STACK_SLOT);
    spin_lock(&slots_lock);
    CHECK(bit_test_and_clear(slots, slot));
    spin_unlock(&slots_lock);
}
