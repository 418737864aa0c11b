/* SPDX-License-Identifier: MIT */
/*
 * Far returns (LRET, IRET within ring 3) of a guest on processors that get them wrong: QEMU's
 * emulation, up to at least 7.2, reads the stack for them with supervisor rights whatever the ring,
 * so that with SMAP on they fault on the guest's own stack. The fault is recognised by its error
 * code, which hardware never gives for a guest's address: present, but not by a user access. We
 * carry the instruction out; if its selector is not one to return to, the way back to the guest
 * notices and treats it as it treats any bad frame.
 */
#include "core/uaccess.h"
#include "x86/entry.h"
#include "x86/segments.h"

#define OPCODE_LRET_POP 0xca
#define OPCODE_LRET     0xcb
#define OPCODE_IRET     0xcf
#define RIGHTS_LONG     (1u << 21)
/* CF PF AF ZF SF TF DF OF NT AC ID: what IRET in ring 3 changes. */
#define FLAGS_OF_RING3 0x244dd5

struct far_return {
    unsigned opcode, length;
    unsigned width;   /* bytes of a popped word */
    unsigned discard; /* bytes that LRET n drops after its words */
};

/* A guest may have taken the descriptor away that it still runs on: then it is taken for 64-bit code. */
static bool in_64bit_code(uint64_t cs)
{
    uint32_t rights = RIGHTS_LONG;
    __asm__("lar %1, %0"
            : "+r"(rights)
            : "r"((uint32_t)cs)
            : "cc"); /* unchanged if there is none */
    return rights & RIGHTS_LONG;
}

/* Read the instruction at rip; false: not one of ours. */
static bool decode(const struct regs *regs, bool is_64bit, struct far_return *r)
{
    uint8_t code[4] = {0};
    size_t n = 0;
    for (; n < sizeof(code); n++) /* it may end at the end of what is mapped */
        if (copy_from_guest(&code[n], regs->rip + n, 1))
            break;
    unsigned at = 0;
    r->width = 4;
    if (is_64bit && n > 0 && (code[0] & 0xf0) == 0x40) {
        r->width = code[0] & 8 ? 8 : 4;
        at = 1;
    }
    if (at >= n)
        return false;
    r->opcode = code[at++];
    r->discard = 0;
    if (r->opcode == OPCODE_LRET_POP) {
        if (at + 2 > n)
            return false;
        r->discard = code[at] | (unsigned)code[at + 1] << 8;
        at += 2;
    }
    r->length = at;
    return r->opcode == OPCODE_LRET || r->opcode == OPCODE_LRET_POP || r->opcode == OPCODE_IRET;
}

/* The next word of the stack. */
static bool pop(uint64_t *sp, unsigned width, uint64_t *value)
{
    *value = 0;
    if (copy_from_guest(value, *sp, width))
        return false;
    *sp += width;
    return true;
}

bool far_return_emulate(struct regs *regs)
{
    struct far_return r;
    bool is_64bit = in_64bit_code(regs->cs);
    if (!decode(regs, is_64bit, &r))
        return false;
    uint64_t sp = regs->rsp, rip, cs, flags = regs->rflags, ss = regs->ss;
    if (!pop(&sp, r.width, &rip) || !pop(&sp, r.width, &cs) || (cs & 3) != 3)
        return false;
    if (r.opcode == OPCODE_IRET) {
        uint64_t new_flags, new_sp;
        if (!pop(&sp, r.width, &new_flags))
            return false;
        flags = (flags & ~(uint64_t)FLAGS_OF_RING3) | (new_flags & FLAGS_OF_RING3);
        if (is_64bit) { /* long mode always pops the stack, too */
            if (!pop(&sp, r.width, &new_sp) || !pop(&sp, r.width, &ss))
                return false;
            sp = new_sp;
        }
    }
    regs->rip = rip;
    regs->cs = (uint16_t)cs;
    regs->rflags = flags;
    regs->rsp = sp + r.discard;
    regs->ss = (uint16_t)ss;
    return true;
}
