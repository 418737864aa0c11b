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
#include "core/uaccess.h"
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

/* Apply insn to `size` bytes at va as an update of the entry around them. 0, MISMATCH or -EINVAL.
 */
static int update_entry(struct vcpu *v, struct regs *regs, const struct insn *insn, uint64_t va,
                        struct alu_result *r)
{
    uint64_t entry_va = va & ~ENTRY_MASK, src = operand_source(insn, regs), entry = 0;
    unsigned shift = (unsigned)(va & ENTRY_MASK) * 8;
    uint64_t mask = alu_mask(insn->size);
    int rc = MISMATCH;

    /* A move needs no old value to begin with: the first mismatch tells it. (Reading could have
     * effects if this is device memory.) */
    if (insn->op != INSN_MOV && copy_from_guest(&entry, entry_va, sizeof(entry)))
        return -XEN_EINVAL;
    for (unsigned i = 0; i < MAX_TRIES && rc == MISMATCH; i++) {
        alu_apply(insn, regs, (entry >> shift) & mask, src, r);
        uint64_t value = (entry & ~(mask << shift)) | (r->value << shift);
        rc = mm_trapped_write(&v->mm, entry_va, &entry, value, true);
    }
    return rc;
}

static int store_entry(struct vcpu *v, struct regs *regs, const struct insn *insn, uint64_t va,
                       struct alu_result *r)
{
    if (insn->op == INSN_MOV && insn->size == 8) {
        uint64_t unused;
        r->rflags = regs->rflags;
        r->reg_set = r->failed = false;
        return mm_trapped_write(&v->mm, va, &unused, operand_source(insn, regs), false);
    }
    return update_entry(v, regs, insn, va, r);
}

/* Naturally aligned, so also within one entry; and the entry is the one that faulted. */
static bool is_entry_access(uint64_t va, unsigned size, uint64_t fault)
{
    return !(va & (size - 1)) && !((va ^ fault) & ~ENTRY_MASK);
}

bool emulate_write_fault(struct vcpu *v, struct regs *regs, uint64_t address)
{
    struct insn insn;
    struct alu_result result;

    if (!v->in_kernel || !emulate_fetch(v, regs, &insn) || !insn.mem || !INSN_IS_STORE(insn.op))
        return false;
    uint64_t base = insn.segment >= SEG_FS ? guest_segment_base(v, regs, insn.segment) : 0;
    uint64_t va = operand_address(&insn, regs, base);
    if (!is_entry_access(va, insn.size, address))
        return false;
    int rc = store_entry(v, regs, &insn, va, &result);
    if (rc == MISMATCH)
        return true; /* nothing happened: the guest repeats the instruction */
    if (unlikely(rc)) {
        if (insn.op != INSN_MOV || !mmio_guest_write(v, va, insn.size, operand_source(&insn, regs)))
            return false;
    } else {
        store_results(regs, &insn, &result);
    }
    emulate_done(v, regs, &insn);
    return true;
}
