/* SPDX-License-Identifier: MIT */
/* See operand.h. */
#include "operand.h"

#define AT(r) offsetof(struct regs, r)
const uint8_t operand_offsets[16] = {
    AT(rax), AT(rcx), AT(rdx), AT(rbx), AT(rsp), AT(rbp), AT(rsi), AT(rdi),
    AT(r8),  AT(r9),  AT(r10), AT(r11), AT(r12), AT(r13), AT(r14), AT(r15),
};

void operand_write(struct regs *regs, unsigned n, unsigned size, uint64_t value)
{
    unsigned shift = 0;
    uint64_t mask = ~0ull >> (64 - 8 * size);

    if (n >= INSN_REG_HIGH) {
        n -= INSN_REG_HIGH;
        shift = 8;
    }
    uint64_t *slot = operand_slot(regs, n);
    if (size == 4)
        *slot = (uint32_t)value;
    else
        *slot = (*slot & ~(mask << shift)) | ((value & mask) << shift);
}

uint64_t operand_source(const struct insn *insn, struct regs *regs)
{
    if (insn->has_imm)
        return (uint64_t)insn->imm & (~0ull >> (64 - 8 * insn->size));
    return operand_read(regs, insn->reg, insn->size);
}

/* A signed bit number in a register of `size` bytes selects an operand before or behind the named
 * one. */
static uint64_t bit_offset(const struct insn *insn, struct regs *regs)
{
    unsigned unused = 64 - 8 * insn->size;
    int64_t bit = (int64_t)(operand_read(regs, insn->reg, insn->size) << unused) >> unused;
    unsigned log2_bits = insn->size == 2 ? 4 : insn->size == 4 ? 5 : 6;
    return (uint64_t)(bit >> log2_bits) * insn->size;
}

uint64_t operand_address(const struct insn *insn, struct regs *regs, uint64_t segment_base)
{
    uint64_t a = (uint64_t)(int64_t)insn->disp;

    if (insn->base != INSN_REG_NONE)
        a += *operand_slot(regs, insn->base);
    if (insn->index != INSN_REG_NONE)
        a += *operand_slot(regs, insn->index) << insn->scale;
    if (insn->rip_relative)
        a += regs->rip + insn->length;
    if (insn->op >= INSN_BTS && insn->op <= INSN_BTC && !insn->has_imm)
        a += bit_offset(insn, regs);
    if (insn->addr32)
        a = (uint32_t)a;
    return a + segment_base;
}
