/* SPDX-License-Identifier: MIT */
/*
 * Where a secondary CPU begins: copied to a page below 1 MiB (smp.c), entered in real mode by the startup
 * interrupt. It takes the boot CPU's early tables into long mode and goes to the image.
 */
#include "x86/memory_map.h"

    .section .init.rodata, "a"
    .code16
    .globl smp_trampoline, smp_trampoline_end, smp_trampoline_gdt, smp_trampoline_far
    .globl smp_trampoline_long, smp_trampoline_cr3
smp_trampoline:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    lgdtl smp_trampoline_gdt - smp_trampoline
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl *(smp_trampoline_far - smp_trampoline)

    .code32
smp_trampoline32:
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x20, %eax /* CR4.PAE */
    mov %eax, %cr4
    .byte 0xbd /* mov $base, %ebp */
    .globl smp_trampoline_base
smp_trampoline_base:
    .long 0
    mov smp_trampoline_cr3 - smp_trampoline(%ebp), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or smp_trampoline_efer - smp_trampoline(%ebp), %eax
    wrmsr
    mov %cr0, %eax
    or $0x80010001, %eax
    mov %eax, %cr0
    ljmpl *(smp_trampoline_long - smp_trampoline)(%ebp)

    .code64
smp_trampoline64:
    movabs $smp_entry64, %rax
    jmp *%rax

    .balign 8
smp_trampoline_descriptors:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
smp_trampoline_gdt: /* limit, address: smp.c adds the page's address to this and the two below */
    .word 31
    .long smp_trampoline_descriptors - smp_trampoline
smp_trampoline_far:
    .long smp_trampoline32 - smp_trampoline
    .word 8
smp_trampoline_long:
    .long smp_trampoline64 - smp_trampoline
    .word 24
    .balign 4
smp_trampoline_cr3:
    .long 0
    .globl smp_trampoline_efer
smp_trampoline_efer:
    .long 0
smp_trampoline_end:

    .section .init.text, "ax"
smp_entry64:
    mov smp_next_root(%rip), %rax
    mov %rax, %cr3
    mov smp_next_stack(%rip), %rsp
    xor %ebp, %ebp
    call smp_secondary
    ud2

    .section .note.GNU-stack, "", @progbits
