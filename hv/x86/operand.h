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
void operand_write(struct regs *regs, unsigned n, unsigned size, uint64_t value);

/* The source of a two-operand instruction: immediate or register, cut to the operand's size. */
uint64_t operand_source(const struct insn *insn, struct regs *regs);

/*
 * The memory operand's address: base + index * scale + displacement, plus segment_base. A bit
 * number in a register reaches beyond the operand; its part above the operand is added here too.
 */
uint64_t operand_address(const struct insn *insn, struct regs *regs, uint64_t segment_base);

#endif
