/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls by direct `syscall`: number in rax, arguments in rdi, rsi, rdx,
 * r10, r8; the result in rax. rcx and r11 are lost to the instruction; the
 * argument registers count as lost too (xen/arch-x86/xen-x86_64.h).
 */
#ifndef BARE_HYPERCALL_H
#define BARE_HYPERCALL_H

#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

/* Any hypercall, by number, with all five arguments. Result: rax. */
static inline long hypercall(unsigned long nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                             uint64_t a5)
{
    register uint64_t r10 __asm__("r10") = a4;
    register uint64_t r8 __asm__("r8") = a5;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
                     : "0"(nr)
                     : "rcx", "r11", "memory");
    return ret;
}

#define HC_ADDR(p) ((uint64_t)(uintptr_t)(p))

static inline long hc_mmu_update(const struct mmu_update *reqs, unsigned int count,
                                 unsigned int *done, unsigned int domid)
{
    return hypercall(__HYPERVISOR_mmu_update, HC_ADDR(reqs), count, HC_ADDR(done), domid, 0);
}

static inline long hc_mmuext(const struct mmuext_op *ops, unsigned int count, unsigned int *done,
                             unsigned int domid)
{
    return hypercall(__HYPERVISOR_mmuext_op, HC_ADDR(ops), count, HC_ADDR(done), domid, 0);
}

/* One extended operation of the commands that take a frame. */
static inline long hc_mmuext_mfn(unsigned int cmd, uint64_t mfn)
{
    struct mmuext_op op = {.cmd = cmd, .arg1.mfn = mfn};

    return hc_mmuext(&op, 1, NULL, DOMID_SELF);
}

static inline long hc_update_va(uint64_t va, uint64_t val, uint64_t flags)
{
    return hypercall(__HYPERVISOR_update_va_mapping, va, val, flags, 0, 0);
}

static inline long hc_memory(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_memory_op, cmd, HC_ADDR(arg), 0, 0, 0);
}

static inline long hc_sched(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_sched_op, cmd, HC_ADDR(arg), 0, 0, 0);
}

static inline long hc_event(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_event_channel_op, cmd, HC_ADDR(arg), 0, 0, 0);
}

static inline long hc_vcpu(unsigned int cmd, unsigned int id, void *arg)
{
    return hypercall(__HYPERVISOR_vcpu_op, cmd, id, HC_ADDR(arg), 0, 0);
}

static inline long hc_console_write(const char *text, unsigned int length)
{
    return hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, length, HC_ADDR(text), 0, 0);
}

static inline long hc_version(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_xen_version, cmd, HC_ADDR(arg), 0, 0, 0);
}

static inline long hc_multicall(struct multicall_entry *list, unsigned int count)
{
    return hypercall(__HYPERVISOR_multicall, HC_ADDR(list), count, 0, 0, 0);
}

#endif
