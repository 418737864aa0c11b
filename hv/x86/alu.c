/* SPDX-License-Identifier: MIT */
/* See alu.h. Flags that the manual leaves undefined keep their value (bit operations) or are 0 (AF
 * of the logical ones), as processors do. */
#include "base/bits.h"
#include "alu.h"

#define RFLAGS_PF 0x4
#define RFLAGS_AF 0x10
#define RFLAGS_ZF 0x40
#define RFLAGS_SF 0x80
#define STATUS    (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* SF, ZF and PF of a result that is cut to size. */
static uint64_t flags_of(uint64_t value, unsigned size)
{
    uint64_t f = __builtin_parity((uint8_t)value) ? 0 : RFLAGS_PF;
    if (!value)
        f |= RFLAGS_ZF;
    if (value >> (8 * size - 1))
        f |= RFLAGS_SF;
    return f;
}

/* a + b + carry: the flags follow from the carries out of each bit. */
static uint64_t add(uint64_t a, uint64_t b, unsigned carry, unsigned size, uint64_t *flags)
{
    uint64_t r = (a + b + carry) & alu_mask(size);
    uint64_t carries = (a & b) | ((a | b) & ~r);
    unsigned top = 8 * size - 1;
    *flags = flags_of(r, size) | ((carries >> top) & 1 ? RFLAGS_CF : 0) |
             ((carries << 1) & RFLAGS_AF) | (((a ^ r) & (b ^ r)) >> top & 1 ? RFLAGS_OF : 0);
    return r;
}

static uint64_t sub(uint64_t a, uint64_t b, unsigned borrow, unsigned size, uint64_t *flags)
{
    uint64_t r = (a - b - borrow) & alu_mask(size);
    uint64_t borrows = (~a & b) | ((~a | b) & r);
    unsigned top = 8 * size - 1;
    *flags = flags_of(r, size) | ((borrows >> top) & 1 ? RFLAGS_CF : 0) |
             ((borrows << 1) & RFLAGS_AF) | (((a ^ b) & (a ^ r)) >> top & 1 ? RFLAGS_OF : 0);
    return r;
}

static void apply_bit(unsigned op, uint64_t old, unsigned bit, struct alu_result *out)
{
    out->value = op == INSN_BTS   ? old | BIT(bit)
                 : op == INSN_BTR ? old & ~BIT(bit)
                                  : old ^ BIT(bit);
    out->rflags = (out->rflags & ~(uint64_t)RFLAGS_CF) | ((old >> bit) & 1);
}

static void apply_cmpxchg(const struct insn *insn, const struct regs *regs, uint64_t old,
                          uint64_t src, struct alu_result *out)
{
    uint64_t flags;
    out->failed = sub(regs->rax & alu_mask(insn->size), old, 0, insn->size, &flags) != 0;
    out->rflags = (out->rflags & ~(uint64_t)STATUS) | flags;
    out->value = out->failed ? old : src;
}

static void apply_cmpxchg8b(const struct regs *regs, uint64_t old, struct alu_result *out)
{
    uint64_t expected = (regs->rdx << 32) | (uint32_t)regs->rax;
    out->failed = old != expected;
    out->rflags = (out->rflags & ~(uint64_t)RFLAGS_ZF) | (out->failed ? 0 : RFLAGS_ZF);
    out->value = out->failed ? old : (regs->rcx << 32) | (uint32_t)regs->rbx;
}

void alu_apply(const struct insn *insn, const struct regs *regs, uint64_t old, uint64_t src,
               struct alu_result *out)
{
    unsigned size = insn->size;
    unsigned carry = regs->rflags & RFLAGS_CF;
    uint64_t flags = 0, keep = ~(uint64_t)STATUS;

    *out = (struct alu_result){.rflags = regs->rflags, .reg = old};
    src &= alu_mask(size);
    switch (insn->op) {
    case INSN_AND:
        out->value = old & src;
        flags = flags_of(out->value, size);
        break;
    case INSN_OR:
        out->value = old | src;
        flags = flags_of(out->value, size);
        break;
    case INSN_XOR:
        out->value = old ^ src;
        flags = flags_of(out->value, size);
        break;
    case INSN_XADD:
        out->reg_set = true;
        carry = 0;
        out->value = add(old, src, carry, size, &flags);
        break;
    case INSN_ADD:
    case INSN_ADC:
        out->value = add(old, src, insn->op == INSN_ADC ? carry : 0, size, &flags);
        break;
    case INSN_SUB:
    case INSN_SBB:
        out->value = sub(old, src, insn->op == INSN_SBB ? carry : 0, size, &flags);
        break;
    case INSN_INC:
        out->value = add(old, 1, 0, size, &flags);
        keep |= RFLAGS_CF;
        flags &= ~(uint64_t)RFLAGS_CF;
        break;
    case INSN_DEC:
        out->value = sub(old, 1, 0, size, &flags);
        keep |= RFLAGS_CF;
        flags &= ~(uint64_t)RFLAGS_CF;
        break;
    case INSN_NEG:
        out->value = sub(0, old, 0, size, &flags);
        break;
    case INSN_BTS:
    case INSN_BTR:
    case INSN_BTC:
        apply_bit(insn->op, old, src & (8 * size - 1), out);
        return;
    case INSN_CMPXCHG:
        apply_cmpxchg(insn, regs, old, src, out);
        return;
    case INSN_CMPXCHG8B:
        apply_cmpxchg8b(regs, old, out);
        return;
    case INSN_NOT:
        out->value = ~old & alu_mask(size);
        return;
    case INSN_XCHG:
        out->reg_set = true;
        out->value = src;
        return;
    default: /* INSN_MOV */
        out->value = src;
        return;
    }
    out->rflags = (out->rflags & keep) | flags;
}
