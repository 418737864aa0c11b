/* SPDX-License-Identifier: MIT */
/*
 * Access to guest memory and to registers that may not exist: a fault continues at the companion address
 * in .fixups and becomes -EFAULT. See core/uaccess.h; mm/ knows the two copies under its own names.
 */
#include "asm_offsets.h"

#define EFAULT 14

.macro ON_FAULT at, to
.pushsection .fixups, "a"
        .quad   \at, \to
.popsection
.endm
.macro SMAP_SITE insn
.pushsection .smap_sites, "a"
        .quad   771f
        .quad   \insn
.popsection
771:    .byte   0x0f, 0x1f, 0x00
.endm

/* CF set unless [reg, reg + rdx) is guest space; uses rax, rcx. */
.macro CHECK_RANGE reg
        lea     (\reg, %rdx), %rax
        cmp     \reg, %rax
        jb      uaccess_fault           /* wraps */
        mov     %rax, %rcx
        shr     $47, %rcx
        jz      1f                      /* all in the lower half */
        cmp     upper_start(%rip), \reg
        jae     1f
        dec     %rax                    /* the end itself may be the first address beyond */
        shr     $47, %rax
        jnz     uaccess_fault
1:
.endm

        .text
        .globl  copy_from_guest, env_copy_from_guest
copy_from_guest:
env_copy_from_guest:
        CHECK_RANGE %rsi
        mov     %rdx, %rcx
        SMAP_SITE 0xcb010f
        shr     $3, %rcx
        and     $7, %edx
from1:  rep movsq
        mov     %edx, %ecx
from2:  rep movsb
        SMAP_SITE 0xca010f
        xor     %eax, %eax
        ret
        ON_FAULT from1, uaccess_fault_open
        ON_FAULT from2, uaccess_fault_open

        .globl  copy_to_guest, env_copy_to_guest
copy_to_guest:
env_copy_to_guest:
        CHECK_RANGE %rdi
        mov     %rdx, %rcx
        SMAP_SITE 0xcb010f
        shr     $3, %rcx
        and     $7, %edx
to1:    rep movsq
        mov     %edx, %ecx
to2:    rep movsb
        SMAP_SITE 0xca010f
        xor     %eax, %eax
        ret
        ON_FAULT to1, uaccess_fault_open
        ON_FAULT to2, uaccess_fault_open

/* int copy16_from_guest(void *dst, uint64_t va): copy_from_guest of 16 bytes, quick for kernel addresses */
        .globl  copy16_from_guest
copy16_from_guest:
        cmp     upper_start(%rip), %rsi
        jb      1f
        cmp     $-16, %rsi
        ja      1f
        SMAP_SITE 0xcb010f
from3:  mov     (%rsi), %rax
from4:  mov     8(%rsi), %rdx
        SMAP_SITE 0xca010f
        mov     %rax, (%rdi)
        mov     %rdx, 8(%rdi)
        xor     %eax, %eax
        ret
1:      mov     $16, %edx
        jmp     copy_from_guest
        ON_FAULT from3, uaccess_fault_open
        ON_FAULT from4, uaccess_fault_open

uaccess_fault_open:
        SMAP_SITE 0xca010f
uaccess_fault:
        mov     $-EFAULT, %eax
        ret

/* The two copies take (guest_va, src) and (dst, guest_va): rdi and rsi as the string instructions want them. */

/* int rdmsr_safe(uint32_t msr, uint64_t *v) */
        .globl  rdmsr_safe
rdmsr_safe:
        mov     %edi, %ecx
rdmsr1: rdmsr
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, (%rsi)
        xor     %eax, %eax
        ret
        ON_FAULT rdmsr1, msr_fault

/* int wrmsr_safe(uint32_t msr, uint64_t v) */
        .globl  wrmsr_safe
wrmsr_safe:
        mov     %edi, %ecx
        mov     %rsi, %rax
        mov     %rsi, %rdx
        shr     $32, %rdx
wrmsr1: wrmsr
        xor     %eax, %eax
        ret
        ON_FAULT wrmsr1, msr_fault
msr_fault:
        mov     $-EFAULT, %eax
        ret

/* Load a data segment register; a selector that faults becomes the null one. */
.macro LOAD_SEGMENT name
        .globl  load_\name
load_\name:
load1_\name:
        mov     %edi, %\name
        ret
        ON_FAULT load1_\name, load_null_\name
load_null_\name:
        xor     %edi, %edi
        mov     %edi, %\name
        ret
.endm
        LOAD_SEGMENT ds
        LOAD_SEGMENT es
        LOAD_SEGMENT fs
        LOAD_SEGMENT gs

/* int xrstor_safe(void *area, uint64_t mask): -EFAULT when the image is illegal */
        .globl  xrstor_safe
xrstor_safe:
        mov     %esi, %eax
        mov     %rsi, %rdx
        shr     $32, %rdx
xrstor1: xrstor64 (%rdi)
        xor     %eax, %eax
        ret
        ON_FAULT xrstor1, msr_fault
        .globl  fxrstor_safe
fxrstor_safe:
fxrstor1: fxrstor64 (%rdi)
        xor     %eax, %eax
        ret
        ON_FAULT fxrstor1, msr_fault
/* int xsetbv_safe(uint64_t xcr0) */
        .globl  xsetbv_safe
xsetbv_safe:
        mov     %edi, %eax
        mov     %rdi, %rdx
        shr     $32, %rdx
        xor     %ecx, %ecx
xsetbv1: xsetbv
        xor     %eax, %eax
        ret
        ON_FAULT xsetbv1, msr_fault

        .balign 8
upper_start:
        .quad   ASM_HV_END

        .section .note.GNU-stack, "", @progbits
