/* SPDX-License-Identifier: MIT */
/* Registers and addresses of a decoded instruction, over struct regs. */
#ifndef X86_OPERAND_H
#define X86_OPERAND_H

#include "decode.h"
#include "x86/regs.h"

/* Where register number n (0..15) lies in struct regs. */
extern const uint8_t operand_offsets[16];

static inline uint64_t *operand_slot(struct regs *regs, unsigned n)
{
    return (uint64_t *)((char *)regs + operand_offsets[n & 15]);
}

/* The register's value, zero-extended from size bytes; n as in struct insn. */
static inline uint64_t operand_read(struct regs *regs, unsigned n, unsigned size)
{
    if (n >= INSN_REG_HIGH)
        return (*operand_slot(regs, n - INSN_REG_HIGH) >> 8) & 0xff;
    return *operand_slot(regs, n) & (~0ull >> (64 - 8 * size));
}

/* Write size bytes of the register: 4 bytes clear the upper half, 1 and 2 leave the rest. */
static inline void operand_write(struct regs *regs, unsigned n, unsigned size, uint64_t value)
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

/* The source of a two-operand instruction: immediate or register, cut to the operand's size. */
static inline uint64_t operand_source(const struct insn *insn, struct regs *regs)
{
    if (insn->has_imm)
        return (uint64_t)insn->imm & (~0ull >> (64 - 8 * insn->size));
    return operand_read(regs, insn->reg, insn->size);
}

/* How far a signed bit number in a register reaches beyond the named operand, in bytes. */
uint64_t operand_bit_offset(const struct insn *insn, struct regs *regs);

/*
 * The memory operand's address: base + index * scale + displacement, plus segment_base. A bit
 * number in a register reaches beyond the operand; its part above the operand is added here too.
 */
static inline uint64_t operand_address(const struct insn *insn, struct regs *regs,
                                       uint64_t segment_base)
{
    uint64_t a = (uint64_t)(int64_t)insn->disp;

    if (insn->base != INSN_REG_NONE)
        a += *operand_slot(regs, insn->base);
    if (insn->index != INSN_REG_NONE)
        a += *operand_slot(regs, insn->index) << insn->scale;
    if (insn->rip_relative)
        a += regs->rip + insn->length;
    if (insn->op >= INSN_BTS && insn->op <= INSN_BTC && !insn->has_imm)
        a += operand_bit_offset(insn, regs);
    if (insn->addr32)
        a = (uint32_t)a;
    return a + segment_base;
}

#endif
