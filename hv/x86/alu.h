/* SPDX-License-Identifier: MIT */
/* What a read-modify-write instruction does to its operands and flags. Pure. */
#ifndef X86_ALU_H
#define X86_ALU_H

#include "decode.h"
#include "x86/regs.h"

/* The registers and flags an instruction leaves behind; nothing is written to struct regs before
 * the store has succeeded. */
struct alu_result {
    uint64_t value;  /* the new destination, zero-extended */
    uint64_t rflags; /* all of them */
    uint64_t reg;    /* for reg_set: the register operand's new value */
    bool reg_set;
    bool failed; /* CMPXCHG and CMPXCHG8B did not match: value is the old one, RAX (RDX:RAX) take it
                  */
};

static inline uint64_t alu_mask(unsigned size)
{
    return ~0ull >> (64 - 8 * size);
}

/*
 * The effect of insn (INSN_ADD .. INSN_MOV) on a destination that holds old (zero-extended), with
 * source src: the register operand or the immediate; for the bit operations the bit number.
 */
void alu_apply(const struct insn *insn, const struct regs *regs, uint64_t old, uint64_t src,
               struct alu_result *out);

#endif
