/* SPDX-License-Identifier: MIT */
/* native_run of machine.h. Registers lie in struct regs from r15 (0) to rdi (14); rflags is word 18. */
        .bss
save:   .skip   8
code:   .skip   8
tmp:    .skip   8

        .text
        .globl  native_run, native_back
native_run:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rdi, save(%rip)
        mov     %rsi, code(%rip)
        push    18*8(%rdi)
        popf
        mov     0*8(%rdi), %r15
        mov     1*8(%rdi), %r14
        mov     2*8(%rdi), %r13
        mov     3*8(%rdi), %r12
        mov     4*8(%rdi), %rbp
        mov     5*8(%rdi), %rbx
        mov     6*8(%rdi), %r11
        mov     7*8(%rdi), %r10
        mov     8*8(%rdi), %r9
        mov     9*8(%rdi), %r8
        mov     10*8(%rdi), %rax
        mov     11*8(%rdi), %rcx
        mov     12*8(%rdi), %rdx
        mov     13*8(%rdi), %rsi
        mov     14*8(%rdi), %rdi
        jmp     *code(%rip)
native_back:
        mov     %rdi, tmp(%rip)
        mov     save(%rip), %rdi
        mov     %r15, 0*8(%rdi)
        mov     %r14, 1*8(%rdi)
        mov     %r13, 2*8(%rdi)
        mov     %r12, 3*8(%rdi)
        mov     %rbp, 4*8(%rdi)
        mov     %rbx, 5*8(%rdi)
        mov     %r11, 6*8(%rdi)
        mov     %r10, 7*8(%rdi)
        mov     %r9, 8*8(%rdi)
        mov     %r8, 9*8(%rdi)
        mov     %rax, 10*8(%rdi)
        mov     %rcx, 11*8(%rdi)
        mov     %rdx, 12*8(%rdi)
        mov     %rsi, 13*8(%rdi)
        mov     tmp(%rip), %rax
        mov     %rax, 14*8(%rdi)
        pushf
        pop     18*8(%rdi)
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

        .section .note.GNU-stack, "", @progbits
