/* SPDX-License-Identifier: MIT */
/* Offsets for assembly, taken from the C structures: compiled to text, never linked. */
#include "core/vcpu.h"
#include "x86/memory_map.h"
#include "x86/segments.h"

#define OFFSET(name, type, member)                                                                 \
    __asm__ volatile("\n.ascii \"@@ " #name " %0\"" : : "i"(offsetof(type, member)))
#define VALUE(name, v) __asm__ volatile("\n.ascii \"@@ " #name " %0\"" : : "i"((unsigned long)(v)))

void asm_offsets(void)
{
    OFFSET(TOP_CPU, struct stack_top, cpu);
    OFFSET(TOP_CURRENT, struct stack_top, current);
    OFFSET(TOP_REGS, struct stack_top, regs);
    VALUE(TOP_SIZE, sizeof(struct stack_top));
    VALUE(REGS_SIZE, sizeof(struct regs));
    OFFSET(REGS_RAX, struct regs, rax);
    OFFSET(REGS_RCX, struct regs, rcx);
    OFFSET(REGS_R11, struct regs, r11);
    OFFSET(REGS_ERROR_CODE, struct regs, error_code);
    OFFSET(REGS_VECTOR, struct regs, vector);
    OFFSET(REGS_RIP, struct regs, rip);
    OFFSET(REGS_CS, struct regs, cs);
    OFFSET(REGS_RFLAGS, struct regs, rflags);
    OFFSET(REGS_RSP, struct regs, rsp);
    OFFSET(VCPU_STACK, struct vcpu, stack);
    OFFSET(VCPU_INFO, struct vcpu, info);
    OFFSET(VCPU_IN_KERNEL, struct vcpu, in_kernel);
    OFFSET(VCPU_NMI_MASKED, struct vcpu, nmi_masked);
    OFFSET(VCPU_SYSCALL_FRAME, struct vcpu, syscall_frame);
    OFFSET(VCPU_SYSCALL_CB, struct vcpu, syscall_cb.address);
    OFFSET(VCPU_KERNEL_CR3, struct vcpu, kernel_cr3);
    OFFSET(VCPU_USER_CR3, struct vcpu, user_cr3);
    OFFSET(VCPU_SAVED_RSP, struct vcpu, saved_rsp);
    OFFSET(INFO_PENDING, struct vcpu_info, evtchn_upcall_pending);
    OFFSET(INFO_MASK, struct vcpu_info, evtchn_upcall_mask);
    OFFSET(ENTRY_STACK_TOP, struct entry_data, stack_top);
    OFFSET(ENTRY_SCRATCH, struct entry_data, scratch);
    OFFSET(ENTRY_HANDLER_SYSCALL, struct entry_data, handler_syscall);
    OFFSET(ENTRY_HANDLER_SYSCALL32, struct entry_data, handler_syscall32);
    OFFSET(ENTRY_HANDLER_SYSENTER, struct entry_data, handler_sysenter);
    VALUE(ASM_STACK_SIZE, STACK_SIZE);
    VALUE(ASM_HV_END, HV_END);
    VALUE(ASM_GUEST_CS64, GUEST_CS64);
    VALUE(ASM_GUEST_CS32, GUEST_CS32);
    VALUE(ASM_GUEST_DS, GUEST_DS);
    VALUE(ASM_RFLAGS_GUEST, RFLAGS_GUEST);
    VALUE(ASM_ENTRY_SYSCALL, ENTRY_SYSCALL);
    VALUE(ASM_ENTRY_SYSENTER, ENTRY_SYSENTER);
    VALUE(ASM_HYPERCALL_iret, __HYPERVISOR_iret);
}
