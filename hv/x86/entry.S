/* SPDX-License-Identifier: MIT */
/*
 * The ways into the hypervisor and out of it.
 *
 * Every way in builds a struct regs. From a guest it lies at the top of the running vCPU's stack; C
 * then works on it and may switch to other vCPUs in between; the way out restores from there.
 *
 * Two paths never leave this file in the common case, because system calls live by them:
 *   system_call_bounce   guest user -> guest kernel
 *   iret_fast            guest kernel's iret hypercall -> guest user
 *
 * A fault at an instruction named in the .fixups table continues at its companion (traps.c).
 */
#include "asm_offsets.h"

#define FRAME_ENTRY  0   /* after the ways in by SYSCALL: the words above the general registers */
#define FRAME_RIP    8
#define FRAME_CS     16
#define FRAME_RFLAGS 24
#define FRAME_RSP    32
#define FRAME_SS     40
/* From FRAME_ENTRY's place to the vCPU pointer: error code/vector word and the five of iret. */
#define FRAME_CURRENT (6 * 8 + TOP_CURRENT - TOP_CPU)

#define RFLAGS_FIXED 0x202     /* in guest mode: interrupts on, bit 1 */
#define RFLAGS_CLEAN 0x200cd5  /* what a bounce keeps: CF PF AF ZF SF DF OF ID */

#define HYPERCALL_IRET ASM_HYPERCALL_iret

/* Guest memory may be touched between these two; patched to STAC and CLAC where SMAP is on (smap_patch). */
.macro USER_ACCESS_ON
.pushsection .smap_sites, "a"
        .quad   771f
        .quad   0xcb010f
.popsection
771:    .byte   0x0f, 0x1f, 0x00
.endm
.macro USER_ACCESS_OFF
.pushsection .smap_sites, "a"
        .quad   771f
        .quad   0xca010f
.popsection
771:    .byte   0x0f, 0x1f, 0x00
.endm

.macro ON_FAULT at, to
.pushsection .fixups, "a"
        .quad   \at, \to
.popsection
.endm

.macro SAVE_REGS
        push    %rdi
        push    %rsi
        push    %rdx
        push    %rcx
        push    %rax
        push    %r8
        push    %r9
        push    %r10
        push    %r11
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
.endm
.macro RESTORE_REGS
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        pop     %r11
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rax
        pop     %rcx
        pop     %rdx
        pop     %rsi
        pop     %rdi
.endm

/*
 * The entry page: the same frame mapped at a different address on each CPU, that CPU's data page
 * behind it. SYSCALL leaves the guest's stack pointer in place; here it is replaced.
 */
        .section .entry_page, "ax"
        .balign 4096
        .globl  entry_page
entry_page:
        .set    entry_page_data, entry_page + 4096

        .globl  entry_syscall
entry_syscall:
        mov     %rsp, entry_page_data + ENTRY_SCRATCH(%rip)
        mov     entry_page_data + ENTRY_STACK_TOP(%rip), %rsp
        push    $ASM_GUEST_DS
        push    entry_page_data + ENTRY_SCRATCH(%rip)
        push    %r11
        push    $ASM_GUEST_CS64
        push    %rcx
        push    entry_word_syscall(%rip)
        jmp     *entry_page_data + ENTRY_HANDLER_SYSCALL(%rip)

        .globl  entry_syscall32
entry_syscall32:
        mov     %rsp, entry_page_data + ENTRY_SCRATCH(%rip)
        mov     entry_page_data + ENTRY_STACK_TOP(%rip), %rsp
        push    $ASM_GUEST_DS
        push    entry_page_data + ENTRY_SCRATCH(%rip)
        push    %r11
        push    $ASM_GUEST_CS32
        push    %rcx
        push    entry_word_syscall(%rip)
        jmp     *entry_page_data + ENTRY_HANDLER_SYSCALL32(%rip)

        /* SYSENTER keeps neither instruction nor stack pointer, and leaves TF, NT and AC as they were. */
        .globl  entry_sysenter
entry_sysenter:
        mov     entry_page_data + ENTRY_STACK_TOP(%rip), %rsp
        push    $ASM_GUEST_DS
        push    $0
        pushf
        push    $ASM_GUEST_CS32
        push    $0
        push    entry_word_sysenter(%rip)
        push    $2
        popf
        jmp     *entry_page_data + ENTRY_HANDLER_SYSENTER(%rip)

        .balign 8
entry_word_syscall:
        .long   0, ASM_ENTRY_SYSCALL
entry_word_sysenter:
        .long   0, ASM_ENTRY_SYSENTER
        .balign 4096

        .text

/* ---- SYSCALL ---- */

        .balign 64
        .globl  handler_syscall
handler_syscall:
        mov     FRAME_CURRENT(%rsp), %rcx
        cmpb    $0, VCPU_IN_KERNEL(%rcx)
        jne     hypercall

/*
 * Guest user called its kernel. Write the seven-word frame that the kernel expects (rcx, r11, rip, cs and event
 * mask, rflags, rsp, ss) on its stack and go there with events masked. syscall_frame is 0 whenever that
 * is not all there is to do (no callback that masks events, no stack in guest space).
 */
system_call_bounce:
        mov     VCPU_SYSCALL_FRAME(%rcx), %r11
        test    %r11, %r11
        jz      system_call_slow
        push    %rax
        push    %rdx
        mov     VCPU_INFO(%rcx), %rdx
        cmpb    $0, INFO_MASK(%rdx)
        jne     system_call_slow_pop
        mov     VCPU_KERNEL_CR3(%rcx), %rax
        mov     %rax, %cr3
        swapgs
        movb    $1, VCPU_IN_KERNEL(%rcx)
        USER_ACCESS_ON
        mov     16 + FRAME_RIP(%rsp), %rax
bounce1:
        mov     %rax, 0(%r11)
bounce2:
        mov     %rax, 16(%r11)
        mov     16 + FRAME_RFLAGS(%rsp), %rax
bounce3:
        mov     %rax, 8(%r11)
bounce4:
        mov     %rax, 32(%r11)
bounce5:
        movq    $ASM_GUEST_CS64, 24(%r11)
bounce6:
        movq    $ASM_GUEST_DS, 48(%r11)
        mov     16 + FRAME_RSP(%rsp), %rdx
bounce7:
        mov     %rdx, 40(%r11)
        USER_ACCESS_OFF
        mov     VCPU_INFO(%rcx), %rdx
        movb    $1, INFO_MASK(%rdx)
        mov     VCPU_SYSCALL_CB(%rcx), %rcx
        and     $RFLAGS_CLEAN, %eax
        or      $RFLAGS_FIXED, %eax
        pop     %rdx
        mov     %r11, 8 + FRAME_RSP(%rsp)
        mov     %rax, %r11
        pop     %rax
        mov     FRAME_RSP(%rsp), %rsp
        sysretq

        ON_FAULT bounce1, bounce_fault
        ON_FAULT bounce2, bounce_fault
        ON_FAULT bounce3, bounce_fault
        ON_FAULT bounce4, bounce_fault
        ON_FAULT bounce5, bounce_fault
        ON_FAULT bounce6, bounce_fault
        ON_FAULT bounce7, bounce_fault
/* The guest kernel's stack is not writable. The root is already the kernel's: C takes it from there. */
bounce_fault:
        USER_ACCESS_OFF
        pop     %rdx
        pop     %rax
        mov     FRAME_RIP(%rsp), %rcx
        mov     FRAME_RFLAGS(%rsp), %r11
        SAVE_REGS
        mov     %rsp, %rdi
        call    guest_stack_fault
        jmp     guest_resume

system_call_slow_pop:
        pop     %rdx
        pop     %rax
system_call_slow:
        mov     FRAME_RIP(%rsp), %rcx
        mov     FRAME_RFLAGS(%rsp), %r11
        SAVE_REGS
        mov     %rsp, %rdi
        call    system_call_from_user
        jmp     guest_resume

        .globl  handler_syscall32
handler_syscall32:
        SAVE_REGS
        mov     %rsp, %rdi
        call    system_call_32
        jmp     guest_resume

        .globl  handler_sysenter
handler_sysenter:
        SAVE_REGS
        mov     %rsp, %rdi
        call    sysenter_from_guest
        jmp     guest_resume

/* ---- hypercalls ---- */

hypercall:
        cmp     $HYPERCALL_IRET, %rax
        je      iret_fast
hypercall_slow:
        mov     FRAME_RIP(%rsp), %rcx
        mov     FRAME_RFLAGS(%rsp), %r11
        SAVE_REGS
        mov     %rsp, %rdi
        call    hypercall_from_guest
/* Back to the guest from a hypercall: by SYSRET unless something changed where it goes. */
        cmpl    $ASM_ENTRY_SYSCALL, REGS_VECTOR(%rsp)
        jne     guest_resume
        mov     REGS_RIP(%rsp), %rcx
        /* A guest kernel lives in the upper half: canonical, so SYSRET cannot fault. A SYSCALL in the last bytes of
         * the lower half returns to the first address beyond it: that one must not go this way. */
        cmp     guest_upper_start(%rip), %rcx
        jb      guest_resume
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        add     $8, %rsp        /* r11: flags */
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rax
        add     $8, %rsp        /* rcx: where to */
        pop     %rdx
        pop     %rsi
        pop     %rdi
        mov     FRAME_RFLAGS(%rsp), %r11
        mov     FRAME_RSP(%rsp), %rsp
        sysretq

/*
 * The iret hypercall to guest user mode. Its frame on the guest kernel's stack: rax, r11, rcx, flags, rip, cs,
 * rflags, rsp, ss. All of it is read, and our own iret frame filled in, before anything is committed;
 * whatever is unusual goes to C, which starts again from the guest's stack pointer.
 */
        .balign 64
iret_fast:
        mov     FRAME_RSP(%rsp), %r11
        cmp     guest_upper_start(%rip), %r11
        jb      hypercall_slow
        cmpq    $0, VCPU_USER_CR3(%rcx)
        je      hypercall_slow
        cmpb    $0, VCPU_NMI_MASKED(%rcx)
        jne     hypercall_slow
        USER_ACCESS_ON
iret1:  movzwl  40(%r11), %eax
        not     %eax
        test    $3, %al
        jnz     iret_slow               /* to the guest kernel itself */
        not     %eax
        movzwl  %ax, %eax
        mov     %rax, FRAME_CS(%rsp)
iret2:  mov     48(%r11), %rax
        test    $0x200, %eax
        jz      iret_slow               /* user mode with events masked */
        and     $ASM_RFLAGS_GUEST, %eax
        or      $RFLAGS_FIXED, %eax
        mov     %rax, FRAME_RFLAGS(%rsp)
iret3:  mov     32(%r11), %rax
        mov     %rax, FRAME_RIP(%rsp)
iret4:  movzwl  64(%r11), %eax
        or      $3, %eax
        mov     %rax, FRAME_SS(%rsp)
        mov     VCPU_INFO(%rcx), %rax
        movb    $0, INFO_MASK(%rax)
        cmpb    $0, INFO_PENDING(%rax)
        jne     iret_slow
iret5:  push    0(%r11)                 /* rax */
iret6:  push    8(%r11)                 /* r11 */
iret7:  push    16(%r11)                /* rcx */
iret8:  mov     56(%r11), %rax
        mov     %rax, 24 + FRAME_RSP(%rsp)
        movb    $0, VCPU_IN_KERNEL(%rcx)
        mov     VCPU_USER_CR3(%rcx), %rax
        mov     %rax, %cr3
        swapgs
        USER_ACCESS_OFF
        pop     %rcx
        pop     %r11
        pop     %rax
        add     $8, %rsp
iret_instruction1:
        iretq

        ON_FAULT iret1, iret_slow
        ON_FAULT iret2, iret_slow
        ON_FAULT iret3, iret_slow
        ON_FAULT iret4, iret_slow
        ON_FAULT iret5, iret_slow
        ON_FAULT iret6, iret_slow8
        ON_FAULT iret7, iret_slow16
        ON_FAULT iret8, iret_slow24
        ON_FAULT iret_instruction1, iret_failed
iret_slow24:
        add     $8, %rsp
iret_slow16:
        add     $8, %rsp
iret_slow8:
        add     $8, %rsp
iret_slow:
        USER_ACCESS_OFF
        mov     $HYPERCALL_IRET, %eax
        jmp     hypercall_slow

        .balign 8
guest_upper_start:
        .quad   ASM_HV_END

/* IRET faulted: selectors or addresses that the guest chose. The frame is still there; tell the guest. */
iret_failed:
        push    $0
        SAVE_REGS
        mov     %rsp, %rdi
        call    guest_iret_failed
        jmp     guest_resume

/* First instruction of a new vCPU on its own stack (switch.c laid out the stack). */
        .globl  vcpu_first_entry
vcpu_first_entry:
        call    vcpu_start
        jmp     guest_resume

/* void stack_switch(uint64_t *save_rsp, uint64_t load_rsp) */
        .globl  stack_switch
stack_switch:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, (%rdi)
        mov     %rsi, %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

/* ---- exceptions and interrupts ---- */

/* After the registers are saved: C decides by the saved CS whether a guest or the hypervisor was interrupted. */
entry_common:
        SAVE_REGS
        cld
        USER_ACCESS_OFF
        mov     %rsp, %rdi
        testb   $3, REGS_CS(%rsp)
        jz      from_hypervisor
        call    trap_from_guest
        .globl  guest_resume
/* ---- the general way out: stack pointer at struct regs at the top of the running vCPU's stack ---- */
guest_resume:
        RESTORE_REGS
        add     $8, %rsp
iret_instruction2:
        iretq
        ON_FAULT iret_instruction2, iret_failed
from_hypervisor:
        call    trap_from_hypervisor
        RESTORE_REGS
        add     $8, %rsp
        iretq

/* The same for page faults, the commonest by far. */
page_fault_common:
        SAVE_REGS
        cld
        USER_ACCESS_OFF
        mov     %rsp, %rdi
        testb   $3, REGS_CS(%rsp)
        jz      from_hypervisor
        call    page_fault_from_guest
        jmp     guest_resume

interrupt_common:
        SAVE_REGS
        cld
        USER_ACCESS_OFF
        mov     %rsp, %rdi
        testb   $3, REGS_CS(%rsp)
        jz      1f
        call    interrupt_from_guest
        jmp     guest_resume
1:      call    interrupt_from_hypervisor
        RESTORE_REGS
        add     $8, %rsp
        iretq

/* On one of the CPU's exception stacks. C returns the registers to go on with: these, or, for what is
 * to be handled as any guest exception, a copy at the top of the vCPU's stack. */
ist_common:
        SAVE_REGS
        cld
        USER_ACCESS_OFF
        mov     %rsp, %rdi
        call    trap_on_own_stack
        mov     %rax, %rsp
        testb   $3, REGS_CS(%rsp)
        jz      1f
        mov     %rsp, %rdi
        call    trap_from_guest
        jmp     guest_resume
1:      RESTORE_REGS
        add     $8, %rsp
        iretq

.macro EXCEPTION name, vector, has_error, common=entry_common
        .globl  exception_\name
exception_\name:
        .if     \has_error == 0
        push    $0
        .endif
        movl    $\vector, 4(%rsp)
        jmp     \common
.endm

        EXCEPTION de, 0, 0
        EXCEPTION db, 1, 0, ist_common
        EXCEPTION nmi, 2, 0, ist_common
        EXCEPTION bp, 3, 0
        EXCEPTION of, 4, 0
        EXCEPTION br, 5, 0
        EXCEPTION ud, 6, 0
        EXCEPTION nm, 7, 0
        EXCEPTION df, 8, 1, ist_common
        EXCEPTION ts, 10, 1
        EXCEPTION np, 11, 1
        EXCEPTION ss, 12, 1
        EXCEPTION gp, 13, 1
        EXCEPTION pf, 14, 1, page_fault_common
        EXCEPTION mf, 16, 0
        EXCEPTION ac, 17, 1
        EXCEPTION mc, 18, 0, ist_common
        EXCEPTION xm, 19, 0
        EXCEPTION cp, 21, 1
        EXCEPTION hv, 28, 0
        EXCEPTION vc, 29, 1
        EXCEPTION sx, 30, 1
        EXCEPTION int80, 0x80, 0
        EXCEPTION reserved, 15, 0

/* 16 bytes a vector from 0x20 on; and a set for the reserved exception vectors below. */
        .balign 16
        .globl  interrupt_stubs
interrupt_stubs:
        .set    v, 0x20
        .rept   0x100 - 0x20
        .balign 16
        push    $0
        movl    $v, 4(%rsp)
        jmp     interrupt_common
        .set    v, v + 1
        .endr

        .section .note.GNU-stack, "", @progbits
