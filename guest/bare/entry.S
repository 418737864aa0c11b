/* SPDX-License-Identifier: MIT */
/* Entry points, traps, and the switches to user mode and back; the ELF notes. */
#define __ASSEMBLY__
#include <xen/elfnote.h>
#include <xen/xen.h>

#define STACK 16384

    .section .text.start, "ax"
    .globl _start
_start:
    cld
    mov %rsi, start_info(%rip)
    lea boot_stack + STACK(%rip), %rsp
    xor %ebp, %ebp
    call start_main
    ud2

    /* A secondary vCPU: rsp is its stack, set by its context. */
    .globl entry_secondary
entry_secondary:
    cld
    xor %ebp, %ebp
    call vcpu_secondary
    ud2

    .text
/*
 * A bounce frame is rcx, r11, [error code], rip, cs, rflags, rsp, ss from rsp up.
 * Each stub takes rcx and r11 back and leaves vector and error code on the stack.
 */
    .globl entry_vectors
    .balign 16
entry_vectors:
vector = 0
    .rept 256
    .balign 16
    pop %rcx
    pop %r11
    .if !((vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21))
    pushq $0
    .endif
    pushq $vector
    jmp common
vector = vector + 1
    .endr

    .macro CALLBACK name, number
    .globl \name
\name:
    pop %rcx
    pop %r11
    pushq $0
    pushq $\number
    jmp common
    .endm

    CALLBACK entry_event, 256
    CALLBACK entry_syscall, 258
    CALLBACK entry_syscall32, 259
    CALLBACK entry_sysenter, 260

    /* The failsafe frame carries ds, es, fs, gs behind rcx and r11. */
    .globl entry_failsafe
entry_failsafe:
    pop %rcx
    pop %r11
    add $32, %rsp
    pushq $0
    pushq $257
    jmp common

common:
    cld
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $-16, %rsp
    call trap_dispatch
    mov %rbp, %rsp
    xor %eax, %eax

/* rsp: a struct trap_frame; rax: VGCF_* flags of the iret. */
restore:
    mov %rax, 16 * 8(%rsp) /* in place of the error code */
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    add $8, %rsp
    push %rcx
    push %r11
    push %rax
    mov $__HYPERVISOR_iret, %eax
    syscall
    ud2

/* int entry_guard(void (*fn)(void *), void *arg, uint64_t *saved_sp): 0 returned, 1 faulted */
    .globl entry_guard
entry_guard:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    pushfq
    mov %rsp, (%rdx)
    mov %rdi, %rax
    mov %rsi, %rdi
    sub $8, %rsp
    call *%rax
    add $8, %rsp
    xor %eax, %eax
guard_out:
    popfq
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

/* void entry_guard_resume(uint64_t saved_sp): entry_guard returns 1 */
    .globl entry_guard_resume
entry_guard_resume:
    mov %rdi, %rsp
    mov $1, %eax
    jmp guard_out

/* void entry_user(const struct trap_frame *start, uint64_t flags, uint64_t *saved_sp) */
    .globl entry_user
entry_user:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    pushfq
    mov %rsp, (%rdx)
    mov %rsi, %rax
    mov %rdi, %rsi
    sub $22 * 8, %rsp
    mov %rsp, %rdi
    mov $22, %ecx
    rep movsq
    jmp restore

/* Run code at rdi (it ends in ret), so that a fault in it names its own rip. */
    .globl entry_call
entry_call:
    sub $8, %rsp
    call *%rdi
    add $8, %rsp
    ret

/* long user_iret(void *frame): the iret call with the stack pointer at frame */
    .globl user_iret
user_iret:
    push %rbx
    mov %rsp, %rbx
    mov %rdi, %rsp
    mov $__HYPERVISOR_iret, %eax
    syscall
    mov %rbx, %rsp
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits

    .macro NOTE type:req, desc:vararg
    .section .note.xen, "a", @note
    .balign 4
    .long 2f - 1f, 4f - 3f, \type
1:  .asciz "Xen"
2:  .balign 4
3:  \desc
4:  .balign 4
    .endm

    NOTE XEN_ELFNOTE_GUEST_OS, .asciz "bare"
    NOTE XEN_ELFNOTE_GUEST_VERSION, .asciz "1"
    NOTE XEN_ELFNOTE_XEN_VERSION, .asciz "xen-3.0"
    NOTE XEN_ELFNOTE_VIRT_BASE, .quad 0xffffffff80000000
    NOTE XEN_ELFNOTE_ENTRY, .quad _start
    NOTE XEN_ELFNOTE_FEATURES, .ascii "!writable_page_tables|pae_pgdir_above_4gb"
    NOTE XEN_ELFNOTE_SUPPORTED_FEATURES, .long (1 << 0) | (1 << 11)
    NOTE XEN_ELFNOTE_PAE_MODE, .asciz "yes"
    NOTE XEN_ELFNOTE_LOADER, .asciz "generic"
    NOTE XEN_ELFNOTE_L1_MFN_VALID, .quad 1, 1
    NOTE XEN_ELFNOTE_SUSPEND_CANCEL, .long 1
    NOTE XEN_ELFNOTE_MOD_START_PFN, .long 1
    NOTE XEN_ELFNOTE_HV_START_LOW, .quad 0xffff800000000000
    NOTE XEN_ELFNOTE_PADDR_OFFSET, .quad 0
