/* SPDX-License-Identifier: MIT */
/*
 * Decoder of the few 64-bit instructions that the hypervisor carries out for a guest: stores and
 * read-modify-write operations with a memory operand, port input and output, and privileged moves.
 *
 * Pure: bytes in, description out. Anything it does not know completely (vector forms, prefixes out
 * of place, LOCK where the processor would refuse it) is INSN_UNKNOWN, never a guess. Facts: the
 * encodings of Intel's Software Developer's Manual, volume 2.
 */
#ifndef X86_DECODE_H
#define X86_DECODE_H

#include "base/types.h"

#define INSN_MAX_BYTES 15

enum insn_op {
    INSN_NONE,
    /* Destination is register or memory (rm); in the order of opcode group 1. */
    INSN_ADD,
    INSN_OR,
    INSN_ADC,
    INSN_SBB,
    INSN_AND,
    INSN_SUB,
    INSN_XOR,
    INSN_XCHG,
    INSN_CMPXCHG,
    INSN_XADD,
    INSN_BTS,
    INSN_BTR,
    INSN_BTC,
    INSN_INC,
    INSN_DEC,
    INSN_NOT,
    INSN_NEG,
    INSN_CMPXCHG8B,
    INSN_MOV,
    /* Descriptor-table and status reads, to rm. */
    INSN_SGDT,
    INSN_SIDT,
    INSN_SLDT,
    INSN_STR,
    INSN_SMSW,
    /* Privileged, or subject to the I/O privilege level. */
    INSN_IN,
    INSN_OUT,
    INSN_INS,
    INSN_OUTS,
    INSN_HLT,
    INSN_CLI,
    INSN_STI,
    INSN_CLTS,
    INSN_INVD,
    INSN_WBINVD,
    INSN_INVLPG,
    INSN_FROM_CR,
    INSN_TO_CR,
    INSN_FROM_DR,
    INSN_TO_DR,
    INSN_RDMSR,
    INSN_WRMSR,
    INSN_RDTSC,
    INSN_RDTSCP,
    INSN_XSETBV,
    INSN_CPUID,
};
#define INSN_FIRST_RMW    INSN_ADD
#define INSN_LAST_RMW     INSN_CMPXCHG8B
#define INSN_IS_STORE(op) ((op) >= INSN_FIRST_RMW && (op) <= INSN_MOV)

enum insn_segment { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

/* Register numbers are the processor's, 0..15; AH, CH, DH, BH are 16..19. */
#define INSN_REG_HIGH 16
#define INSN_REG_NONE 0xff

struct insn {
    uint8_t op;      /* enum insn_op */
    uint8_t length;  /* bytes */
    uint8_t size;    /* of the operand, in bytes: 1, 2, 4, 8 */
    uint8_t segment; /* enum insn_segment: the override or DS */
    bool lock, rep, has_imm;
    bool addr32; /* addresses and string counters have 32 bits */
    bool mem;    /* rm is memory */
    bool rip_relative;
    uint8_t reg; /* the register operand; number of CR or DR; opcode extension of groups */
    uint8_t rm;  /* register, when not mem */
    uint8_t base, index, scale; /* INSN_REG_NONE: absent */
    int32_t disp;
    int64_t imm; /* sign-extended; port number of IN and OUT when has_imm */
};

enum insn_result { INSN_OK, INSN_SHORT, INSN_UNKNOWN };

/*
 * Decode the instruction at bytes, of which n are valid (at most INSN_MAX_BYTES are looked at).
 * INSN_SHORT: it goes on beyond n. *out is defined only after INSN_OK.
 */
enum insn_result insn_decode(const uint8_t *bytes, unsigned n, struct insn *out);

#endif
