/* SPDX-License-Identifier: MIT */
/*
 * A 32-bit program without a C library, run by the check `legacy`: it goes through int 0x80 and through the vDSO's
 * fast entry (found in the auxiliary vector), takes a page fault on its own stack, forks a child and exits with 32 if
 * all was well, with the number of the failed step otherwise.
 */
    .code32
    .set NR_EXIT, 1
    .set NR_FORK, 2
    .set NR_WAITPID, 7
    .set NR_GETPID, 20
    .set NR_YIELD, 158
    .set AT_SYSINFO, 32

    .section .note.GNU-stack, "", @progbits
    .text
    .globl _start
_start:
    /* Over the argument count, the arguments and the environment to the auxiliary vector. */
    mov %esp, %esi
    lodsl
    lea 4(%esi,%eax,4), %esi
1:  lodsl
    test %eax, %eax
    jnz 1b
2:  lodsl
    mov %eax, %edx
    lodsl
    cmp $AT_SYSINFO, %edx
    je 3f
    test %edx, %edx
    jnz 2b
    mov $1, %ebx
    jmp leave
3:  mov %eax, %edi                  /* the fast entry */

    mov $1000, %ebp
4:  mov $NR_GETPID, %eax
    int $0x80
    mov %eax, %esi
    mov $NR_GETPID, %eax
    push %ebp
    call *%edi
    pop %ebp
    mov $2, %ebx
    cmp %eax, %esi
    jne leave
    mov $NR_YIELD, %eax
    int $0x80
    mov $3, %ebx
    test %eax, %eax
    jnz leave
    dec %ebp
    jnz 4b

    /* Fresh stack pages, one fault each. */
    mov %esp, %ebp
    mov $8, %ecx
5:  sub $4096, %esp
    movl %ecx, (%esp)
    loop 5b
    mov %ebp, %esp

    mov $NR_FORK, %eax
    int $0x80
    mov $4, %ebx
    test %eax, %eax
    js leave
    jnz 6f
    mov $77, %ebx
    jmp leave
6:  mov %eax, %ebx
    push $0
    mov %esp, %ecx
    xor %edx, %edx
    mov $NR_WAITPID, %eax
    int $0x80
    mov $5, %ebx
    cmpl $77 << 8, (%esp)
    jne leave
    mov $32, %ebx
leave:
    mov $NR_EXIT, %eax
    int $0x80
