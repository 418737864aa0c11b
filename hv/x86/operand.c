/* SPDX-License-Identifier: MIT */
/* See operand.h. */
#include "operand.h"

#define AT(r) offsetof(struct regs, r)
const uint8_t operand_offsets[16] = {
    AT(rax), AT(rcx), AT(rdx), AT(rbx), AT(rsp), AT(rbp), AT(rsi), AT(rdi),
    AT(r8),  AT(r9),  AT(r10), AT(r11), AT(r12), AT(r13), AT(r14), AT(r15),
};

/* A signed bit number in a register of `size` bytes selects an operand before or behind the named
 * one. */
uint64_t operand_bit_offset(const struct insn *insn, struct regs *regs)
{
    unsigned unused = 64 - 8 * insn->size;
    int64_t bit = (int64_t)(operand_read(regs, insn->reg, insn->size) << unused) >> unused;
    unsigned log2_bits = insn->size == 2 ? 4 : insn->size == 4 ? 5 : 6;
    return (uint64_t)(bit >> log2_bits) * insn->size;
}
