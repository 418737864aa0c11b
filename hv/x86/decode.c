/* SPDX-License-Identifier: MIT */
/* See decode.h. Two tables give operation and form of each opcode; a third the members of groups.
 */
#include "decode.h"

enum form {
    F_MODRM = 0x01,
    F_BYTE = 0x02,  /* operand size is one byte */
    F_IMM8 = 0x04,  /* one byte of immediate, sign-extended */
    F_IMMZ = 0x08,  /* immediate of the operand's size, at most 4 bytes, sign-extended */
    F_GROUP = 0x10, /* op names a row of groups[] */
    F_WIDE = 0x20,  /* always 8 bytes, and rm always a register (moves to and from CR and DR) */
    F_PORT = 0x40,  /* port I/O: a 64-bit operand size counts as 32 */
    F_MEM = 0x80,   /* rm must be memory */
};

struct opcode {
    uint8_t op, form;
};

enum group { G1, G3, G4, G6, G7, G8, G9, G11, GROUP_COUNT };

static const uint8_t groups[GROUP_COUNT][8] = {
    [G1] = {INSN_ADD, INSN_OR, INSN_ADC, INSN_SBB, INSN_AND, INSN_SUB, INSN_XOR, INSN_NONE},
    [G3] = {[2] = INSN_NOT, [3] = INSN_NEG},
    [G4] = {INSN_INC, INSN_DEC},
    [G6] = {INSN_SLDT, INSN_STR},
    [G7] = {[0] = INSN_SGDT, [1] = INSN_SIDT, [4] = INSN_SMSW, [7] = INSN_INVLPG},
    [G8] = {[5] = INSN_BTS, [6] = INSN_BTR, [7] = INSN_BTC},
    [G9] = {[1] = INSN_CMPXCHG8B},
    [G11] = {INSN_MOV},
};

#define ALU(row, name)                                                                             \
    [(row)*8] = {INSN_##name, F_MODRM | F_BYTE}, [(row)*8 + 1] = {INSN_##name, F_MODRM}

static const struct opcode one_byte[256] = {
    ALU(0, ADD),
    ALU(1, OR),
    ALU(2, ADC),
    ALU(3, SBB),
    ALU(4, AND),
    ALU(5, SUB),
    ALU(6, XOR),
    [0x6c] = {INSN_INS, F_PORT | F_BYTE},
    [0x6d] = {INSN_INS, F_PORT},
    [0x6e] = {INSN_OUTS, F_PORT | F_BYTE},
    [0x6f] = {INSN_OUTS, F_PORT},
    [0x80] = {G1, F_GROUP | F_MODRM | F_BYTE | F_IMM8},
    [0x81] = {G1, F_GROUP | F_MODRM | F_IMMZ},
    [0x83] = {G1, F_GROUP | F_MODRM | F_IMM8},
    [0x86] = {INSN_XCHG, F_MODRM | F_BYTE},
    [0x87] = {INSN_XCHG, F_MODRM},
    [0x88] = {INSN_MOV, F_MODRM | F_BYTE},
    [0x89] = {INSN_MOV, F_MODRM},
    [0xc6] = {G11, F_GROUP | F_MODRM | F_BYTE | F_IMM8},
    [0xc7] = {G11, F_GROUP | F_MODRM | F_IMMZ},
    [0xe4] = {INSN_IN, F_PORT | F_BYTE | F_IMM8},
    [0xe5] = {INSN_IN, F_PORT | F_IMM8},
    [0xe6] = {INSN_OUT, F_PORT | F_BYTE | F_IMM8},
    [0xe7] = {INSN_OUT, F_PORT | F_IMM8},
    [0xec] = {INSN_IN, F_PORT | F_BYTE},
    [0xed] = {INSN_IN, F_PORT},
    [0xee] = {INSN_OUT, F_PORT | F_BYTE},
    [0xef] = {INSN_OUT, F_PORT},
    [0xf4] = {INSN_HLT, 0},
    [0xf6] = {G3, F_GROUP | F_MODRM | F_BYTE},
    [0xf7] = {G3, F_GROUP | F_MODRM},
    [0xfa] = {INSN_CLI, 0},
    [0xfb] = {INSN_STI, 0},
    [0xfe] = {G4, F_GROUP | F_MODRM | F_BYTE},
    [0xff] = {G4, F_GROUP | F_MODRM},
};

static const struct opcode two_byte[256] = {
    [0x00] = {G6, F_GROUP | F_MODRM},
    [0x01] = {G7, F_GROUP | F_MODRM},
    [0x06] = {INSN_CLTS, 0},
    [0x08] = {INSN_INVD, 0},
    [0x09] = {INSN_WBINVD, 0},
    [0x20] = {INSN_FROM_CR, F_MODRM | F_WIDE},
    [0x21] = {INSN_FROM_DR, F_MODRM | F_WIDE},
    [0x22] = {INSN_TO_CR, F_MODRM | F_WIDE},
    [0x23] = {INSN_TO_DR, F_MODRM | F_WIDE},
    [0x30] = {INSN_WRMSR, 0},
    [0x31] = {INSN_RDTSC, 0},
    [0x32] = {INSN_RDMSR, 0},
    [0xa2] = {INSN_CPUID, 0},
    [0xab] = {INSN_BTS, F_MODRM},
    [0xb0] = {INSN_CMPXCHG, F_MODRM | F_BYTE},
    [0xb1] = {INSN_CMPXCHG, F_MODRM},
    [0xb3] = {INSN_BTR, F_MODRM},
    [0xba] = {G8, F_GROUP | F_MODRM | F_IMM8},
    [0xbb] = {INSN_BTC, F_MODRM},
    [0xc0] = {INSN_XADD, F_MODRM | F_BYTE},
    [0xc1] = {INSN_XADD, F_MODRM},
    [0xc3] = {INSN_MOV, F_MODRM | F_MEM}, /* MOVNTI */
    [0xc7] = {G9, F_GROUP | F_MODRM | F_MEM},
};

/* Prefixes seen so far and the place in the bytes. */
struct cursor {
    const uint8_t *p, *end;
    uint8_t rex;
    bool opsize;
};

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

/* Prefix bytes, up to the opcode. False: out of bytes. A REX counts only right before the opcode.
 */
static bool decode_prefixes(struct cursor *c, struct insn *out)
{
    for (; c->p < c->end; c->p++) {
        uint8_t b = *c->p;
        if ((b & 0xf0) == 0x40) {
            c->rex = b;
            continue;
        }
        switch (b) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            /* No effect in 64-bit code, where these segments start at 0; nor do they cancel FS or
             * GS. */
            break;
        case 0x64:
            out->segment = SEG_FS;
            break;
        case 0x65:
            out->segment = SEG_GS;
            break;
        case 0x66:
            c->opsize = true;
            break;
        case 0x67:
            out->addr32 = true;
            break;
        case 0xf0:
            out->lock = true;
            break;
        case 0xf2:
        case 0xf3:
            out->rep = true;
            break;
        default:
            return true;
        }
        c->rex = 0;
    }
    return false;
}

/* Little-endian signed number of n bytes (1, 2, 4). False: out of bytes. */
static bool take_number(struct cursor *c, unsigned n, int64_t *value)
{
    if ((size_t)(c->end - c->p) < n)
        return false;
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)c->p[i] << (8 * i);
    c->p += n;
    unsigned unused = 64 - 8 * n;
    *value = (int64_t)(v << unused) >> unused;
    return true;
}

/* SIB byte and displacement of a memory operand. */
static bool decode_memory(struct cursor *c, uint8_t modrm, struct insn *out)
{
    unsigned mod = modrm >> 6, low = modrm & 7;
    unsigned disp_bytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    int64_t disp = 0;

    out->mem = true;
    out->base = low | (c->rex & REX_B ? 8 : 0);
    if (low == 4) {
        if (c->p == c->end)
            return false;
        uint8_t sib = *c->p++;
        unsigned index = ((sib >> 3) & 7) | (c->rex & REX_X ? 8 : 0);
        out->scale = sib >> 6;
        out->index = index == 4 ? INSN_REG_NONE : index;
        out->base = (sib & 7) | (c->rex & REX_B ? 8 : 0);
        if ((sib & 7) == 5 && mod == 0) {
            out->base = INSN_REG_NONE;
            disp_bytes = 4;
        }
    } else if (low == 5 && mod == 0) {
        out->base = INSN_REG_NONE;
        out->rip_relative = true;
        disp_bytes = 4;
    }
    if (disp_bytes && !take_number(c, disp_bytes, &disp))
        return false;
    out->disp = (int32_t)disp;
    return true;
}

/* Without REX, byte registers 4..7 are the second bytes of the first four. */
static uint8_t byte_register(const struct cursor *c, uint8_t reg)
{
    return !c->rex && reg >= 4 && reg < 8 ? reg - 4 + INSN_REG_HIGH : reg;
}

static enum insn_result decode_modrm(struct cursor *c, struct opcode *o, struct insn *out)
{
    if (c->p == c->end)
        return INSN_SHORT;
    uint8_t modrm = *c->p++;
    bool memory = modrm < 0xc0 && !(o->form & F_WIDE);

    out->reg = ((modrm >> 3) & 7) | (c->rex & REX_R ? 8 : 0);
    out->rm = (modrm & 7) | (c->rex & REX_B ? 8 : 0);
    if (o->form & F_GROUP) {
        /* Register forms of 0F 01 are instructions of their own, all but SMSW. */
        if (o->op == G7 && modrm == 0xd1)
            o->op = INSN_XSETBV;
        else if (o->op == G7 && modrm == 0xf9)
            o->op = INSN_RDTSCP;
        else if (o->op == G7 && !memory && (modrm & 0x38) != 0x20)
            o->op = INSN_NONE;
        else
            o->op = groups[o->op][(modrm >> 3) & 7];
    }
    if (o->op == INSN_NONE || (!memory && (o->form & F_MEM)))
        return INSN_UNKNOWN;
    return memory && !decode_memory(c, modrm, out) ? INSN_SHORT : INSN_OK;
}

static uint8_t operand_size(const struct cursor *c, const struct opcode *o)
{
    if (o->form & F_BYTE)
        return 1;
    if ((o->form & F_WIDE) || ((c->rex & REX_W) && !(o->form & F_PORT)))
        return 8;
    return c->opsize ? 2 : 4;
}

/* Combinations that the processor refuses, or that would mean another instruction. */
static bool decode_legal(const struct cursor *c, const struct insn *out, bool two)
{
    if (out->lock && !(out->mem && out->op >= INSN_FIRST_RMW && out->op <= INSN_LAST_RMW))
        return false;
    if (two && out->rep)
        return false;
    if (out->op == INSN_CMPXCHG8B && (c->rex & REX_W))
        return false; /* CMPXCHG16B */
    return !(two && c->opsize &&
             (out->op == INSN_CMPXCHG8B || out->op == INSN_MOV || out->op >= INSN_HLT));
}

enum insn_result insn_decode(const uint8_t *bytes, unsigned n, struct insn *out)
{
    struct cursor c = {.p = bytes, .end = bytes + min(n, (unsigned)INSN_MAX_BYTES)};

    *out = (struct insn){.segment = SEG_DS, .base = INSN_REG_NONE, .index = INSN_REG_NONE};
    if (!decode_prefixes(&c, out))
        return INSN_SHORT;
    uint8_t code = *c.p++;
    bool two = code == 0x0f;
    if (two) {
        if (c.p == c.end)
            return INSN_SHORT;
        code = *c.p++;
    }
    struct opcode o = two ? two_byte[code] : one_byte[code];
    if (!(o.form & F_GROUP) && o.op == INSN_NONE)
        return INSN_UNKNOWN;
    if (o.form & F_MODRM) {
        enum insn_result r = decode_modrm(&c, &o, out);
        if (r != INSN_OK)
            return r;
    }
    out->op = o.op;
    out->size = o.op == INSN_CMPXCHG8B ? 8 : operand_size(&c, &o);
    if (o.form & (F_IMM8 | F_IMMZ)) {
        out->has_imm = true;
        if (!take_number(&c, o.form & F_IMM8 ? 1 : min((int)out->size, 4), &out->imm))
            return INSN_SHORT;
    }
    if (o.form & F_BYTE) {
        out->reg = byte_register(&c, out->reg);
        out->rm = byte_register(&c, out->rm);
    }
    out->length = (uint8_t)(c.p - bytes);
    return decode_legal(&c, out, two) ? INSN_OK : INSN_UNKNOWN;
}
