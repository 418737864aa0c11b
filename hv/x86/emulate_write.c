/* SPDX-License-Identifier: MIT */
/*
 * Stores to pages that the guest maps read-only.
 *
 * Stock kernels change entries of their level-1 tables with ordinary instructions: `lock andb` on
 * one byte in fork, xchg when they clear an entry, cmpxchg, plain moves. Each is turned into one
 * checked update of the whole naturally aligned entry: take the entry's value, apply the
 * instruction to the bytes it names, and have the memory core replace the entry if it still has
 * that value. So the operation is atomic whether it carried LOCK or not, and a partial store never
 * shows the memory core half an entry.
 *
 * Registers and flags change only after the store has succeeded. This is a hot path.
 */
#include "alu.h"
#include "emulate.h"
#include "operand.h"

#define ENTRY_MASK 7ull
#define MAX_TRIES  16 /* lost races before the guest may take an interrupt and try again */

/* mm_trapped_write returns 1 for "the entry has another value". */
#define MISMATCH 1

static void store_results(struct regs *regs, const struct insn *insn, const struct alu_result *r)
{
    regs->rflags = r->rflags;
    if (r->reg_set)
        operand_write(regs, insn->reg, insn->size, r->reg);
    if (!r->failed)
        return;
    if (insn->op == INSN_CMPXCHG8B) {
        regs->rax = (uint32_t)r->value;
        regs->rdx = r->value >> 32;
    } else {
        operand_write(regs, 0, insn->size, r->value);
    }
}

/* Apply insn to its bytes at va as an update of the entry around them. 0, MISMATCH or -EINVAL. */
static inline int update_entry(struct vcpu *v, struct frame *table, struct regs *regs,
                               const struct insn *insn, uint64_t va, struct alu_result *r)
{
    uint64_t src = operand_source(insn, regs), entry = mm_trapped_read(table, va);
    unsigned shift = (unsigned)(va & ENTRY_MASK) * 8;
    uint64_t mask = alu_mask(insn->size) << shift;
    int rc = MISMATCH;

    for (unsigned i = 0; i < MAX_TRIES && rc == MISMATCH; i++) {
        alu_apply(insn, regs, (entry & mask) >> shift, src, r);
        uint64_t value = (entry & ~mask) | (r->value << shift);
        rc = mm_trapped_write(&v->mm, table, va & ~ENTRY_MASK, &entry, value, true);
    }
    return rc;
}

/* XCHG of a whole entry, addressed plainly: how stock kernels clear entries, one for each page unmapped. */
static inline bool is_entry_exchange(const struct insn *insn)
{
    return insn->op == INSN_XCHG && insn->size == sizeof(uint64_t) && insn->segment < SEG_FS &&
           insn->base < INSN_REG_HIGH && insn->index == INSN_REG_NONE && !insn->addr32;
}

static inline int exchange_entry(struct vcpu *v, struct frame *table, struct regs *regs,
                                 const struct insn *insn, uint64_t va)
{
    uint64_t *reg = operand_slot(regs, insn->reg), entry = mm_trapped_read(table, va);
    int rc = MISMATCH;

    for (unsigned i = 0; i < MAX_TRIES && rc == MISMATCH; i++)
        rc = mm_trapped_write(&v->mm, table, va, &entry, *reg, true);
    if (likely(!rc))
        *reg = entry;
    return rc;
}

/* Naturally aligned, so also within one entry; and the entry is the one that faulted. */
static bool is_entry_access(uint64_t va, unsigned size, uint64_t fault)
{
    return !(va & (size - 1)) && !((va ^ fault) & ~ENTRY_MASK);
}

bool emulate_write_fault(struct vcpu *v, struct regs *regs, uint64_t address)
{
    struct alu_result result;
    struct insn insn;

    if (unlikely(!v->in_kernel))
        return false;
    /* Whose memory first: most refused writes of a guest kernel are its users' copy-on-write pages.
     */
    struct frame *table = mm_trapped_table(&v->mm, address);
    if (!table && !v->mm.d->privileged)
        return false;
    if (!emulate_fetch(v, regs, &insn) || !insn.mem || !INSN_IS_STORE(insn.op))
        return false;
    if (likely(table && is_entry_exchange(&insn)) &&
        *operand_slot(regs, insn.base) + (uint64_t)(int64_t)insn.disp == address &&
        !(address & ENTRY_MASK)) {
        int rc = exchange_entry(v, table, regs, &insn, address);
        if (likely(!rc))
            emulate_done(v, regs, &insn);
        return rc == 0 || rc == MISMATCH;
    }
    uint64_t base = insn.segment >= SEG_FS ? guest_segment_base(v, regs, insn.segment) : 0;
    uint64_t va = operand_address(&insn, regs, base);
    if (!is_entry_access(va, insn.size, address))
        return false;
    if (unlikely(!table)) {
        if (insn.op != INSN_MOV || !mmio_guest_write(v, va, insn.size, operand_source(&insn, regs)))
            return false;
    } else {
        int rc = update_entry(v, table, regs, &insn, va, &result);
        if (unlikely(rc == MISMATCH))
            return true; /* nothing happened: the guest repeats the instruction */
        if (unlikely(rc))
            return false;
        store_results(regs, &insn, &result);
    }
    emulate_done(v, regs, &insn);
    return true;
}
