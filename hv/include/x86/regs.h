/* SPDX-License-Identifier: MIT */
/* The registers of an interrupted context, as entry.S pushes them. */
#ifndef X86_REGS_H
#define X86_REGS_H

#include "base/types.h"

struct regs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint32_t error_code;
    uint32_t vector; /* exception or interrupt number; ENTRY_* for system calls */
    uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct regs) == 21 * 8, "entry.S pushes 21 words");

#define ENTRY_SYSCALL  0x100 /* came by SYSCALL: rcx and r11 are not the guest's */
#define ENTRY_SYSENTER 0x101

#define RFLAGS_CF   0x1
#define RFLAGS_MBS  0x2
#define RFLAGS_TF   0x100
#define RFLAGS_IF   0x200
#define RFLAGS_DF   0x400
#define RFLAGS_OF   0x800
#define RFLAGS_IOPL 0x3000
#define RFLAGS_NT   0x4000
#define RFLAGS_RF   0x10000
#define RFLAGS_VM   0x20000
#define RFLAGS_AC   0x40000
#define RFLAGS_VIF  0x80000
#define RFLAGS_VIP  0x100000
/* What a guest may have in its flags: CF PF AF ZF SF TF DF OF NT RF AC ID. The rest is fixed. */
#define RFLAGS_GUEST 0x254dd5

enum exception {
    EXC_DE = 0,
    EXC_DB = 1,
    EXC_NMI = 2,
    EXC_BP = 3,
    EXC_OF = 4,
    EXC_BR = 5,
    EXC_UD = 6,
    EXC_NM = 7,
    EXC_DF = 8,
    EXC_TS = 10,
    EXC_NP = 11,
    EXC_SS = 12,
    EXC_GP = 13,
    EXC_PF = 14,
    EXC_MF = 16,
    EXC_AC = 17,
    EXC_MC = 18,
    EXC_XM = 19,
};

/* Page-fault error code. */
#define PF_PRESENT 1
#define PF_WRITE   2
#define PF_USER    4
#define PF_RSVD    8
#define PF_FETCH   16

/* Interrupt vectors. 0x30..0xdf are handed out to devices (hv/dev/irq.c). */
#define VECTOR_LEGACY_FIRST 0x20 /* 8259s are masked; spurious ones land here */
#define VECTOR_DYN_FIRST    0x30
#define VECTOR_DYN_LAST     0xdf
#define VECTOR_INT80        0x80 /* a guest's INT 0x80; not handed out */
#define VECTOR_TIMER        0xf0
#define VECTOR_FLUSH        0xf1
#define VECTOR_KICK         0xf2 /* look at your run queue and your mailbox */
#define VECTOR_SPURIOUS     0xff

#endif
