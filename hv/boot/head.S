/* SPDX-License-Identifier: MIT */
/*
 * The first instructions: a multiboot loader enters here in 32-bit protected mode without paging, at
 * IMAGE_PHYS, with eax = magic and ebx = the address of its information. We build tables that map the first
 * 4 GiB at 0 and at DIRECT_BASE, and the image at IMAGE_BASE, switch to long mode and call boot_main().
 */
#include "x86/memory_map.h"

#define IMAGE_PHYS   0x200000
#define PHYS(symbol) (symbol - IMAGE_BASE + IMAGE_PHYS)
#define BOOT_IMAGE_CHUNKS 16 /* 2 MiB each */

    .section .head, "ax"
    .code32
    .globl boot_start32
boot_start32:
    cli
    cld
    jmp 1f

    .balign 8
multiboot1_header:
    .long 0x1badb002
    .long 0x00000003 /* modules page-aligned; memory information wanted */
    .long -(0x1badb002 + 0x00000003)

    .balign 8
multiboot2_header:
    .long 0xe85250d6
    .long 0 /* i386 protected mode, also under UEFI (after its boot services are gone) */
    .long multiboot2_end - multiboot2_header
    .long -(0xe85250d6 + (multiboot2_end - multiboot2_header))
    .balign 8
    .word 1, 0 /* information request: command line, modules, memory map */
    .long 20
    .long 1, 3, 6
    .balign 8
    .word 1, 1 /* wanted when there is one: frame buffer, ACPI root of either revision */
    .long 20
    .long 8, 14, 15
    .balign 8
    .word 6, 0 /* modules page-aligned */
    .long 8
    .balign 8
    .word 0, 0
    .long 8
multiboot2_end:

1:  mov $PHYS(boot_stack_end), %esp
    mov %eax, %esi
    mov %ebx, %edi

    /* Long mode? No-execute? */
    mov $0x80000000, %eax
    cpuid
    cmp $0x80000001, %eax
    jb no_long_mode
    mov $0x80000001, %eax
    cpuid
    bt $29, %edx
    jnc no_long_mode
    mov $0x100, %ebx /* EFER.LME */
    bt $20, %edx
    jnc 2f
    or $0x800, %ebx /* EFER.NXE */
2:  mov %ebx, PHYS(boot_efer)

    /* Level 2: the first 4 GiB, then the image. Entries are present, writable, large. */
    mov $PHYS(boot_l2), %edx
    mov $0x83, %eax
    mov $2048, %ecx
3:  mov %eax, (%edx)
    add $0x200000, %eax
    add $8, %edx
    loop 3b
    mov $PHYS(boot_l2_image), %edx
    mov $(IMAGE_PHYS + 0x83), %eax
    mov $BOOT_IMAGE_CHUNKS, %ecx
4:  mov %eax, (%edx)
    add $0x200000, %eax
    add $8, %edx
    loop 4b

    mov $PHYS(boot_l3), %edx
    mov $(PHYS(boot_l2) + 3), %eax
    mov $4, %ecx
5:  mov %eax, (%edx)
    add $0x1000, %eax
    add $8, %edx
    loop 5b
    movl $(PHYS(boot_l2_image) + 3), PHYS(boot_l3_image) + 8 * ((IMAGE_BASE >> 30) & 511)
    movl $(PHYS(boot_l3) + 3), PHYS(boot_l4)
    movl $(PHYS(boot_l3) + 3), PHYS(boot_l4) + 8 * ((DIRECT_BASE >> 39) & 511)
    movl $(PHYS(boot_l3_image) + 3), PHYS(boot_l4) + 8 * ((IMAGE_BASE >> 39) & 511)

    mov $0x20, %eax /* CR4.PAE */
    mov %eax, %cr4
    mov $PHYS(boot_l4), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or PHYS(boot_efer), %eax
    wrmsr
    mov %cr0, %eax
    or $0x80010001, %eax /* PG, WP, PE */
    mov %eax, %cr0
    lgdt PHYS(boot_gdt_pointer)
    ljmp $8, $PHYS(6f)

no_long_mode: /* say so on the first serial line, and stop */
    mov $PHYS(no_long_mode_text), %esi
7:  lodsb
    test %al, %al
    jz 8f
    mov $0x3f8, %dx
    outb %al, %dx
    jmp 7b
8:  hlt
    jmp 8b
no_long_mode_text:
    .asciz "Palimpsest needs a 64-bit CPU\r\n"

    .code64
6:  movabs $9f, %rax
    jmp *%rax
9:  xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov $16, %eax
    mov %eax, %ss
    lea boot_stack_end - 208(%rip), %rsp /* below its struct stack_top, boot_main checks the size */
    xor %ebp, %ebp
    mov %esi, %eax
    mov %edi, %esi
    mov %eax, %edi
    call boot_main
    ud2

    .balign 8
boot_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdt_pointer:
    .word . - boot_gdt - 1
    .long PHYS(boot_gdt)

    .section .init.data, "aw"
    .globl boot_efer
boot_efer:
    .quad 0
    .balign 4096
    .globl boot_l4
boot_l4:       .fill 4096
boot_l3:       .fill 4096
boot_l3_image: .fill 4096
boot_l2:       .fill 4 * 4096
boot_l2_image: .fill 4096
    .balign STACK_SIZE
boot_stack:    .fill STACK_SIZE
    .globl boot_stack_end
boot_stack_end:

    .section .note.GNU-stack, "", @progbits
