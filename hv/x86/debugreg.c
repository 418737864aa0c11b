/* SPDX-License-Identifier: MIT */
/* A guest's debug registers: checked when set, in the hardware only while their vCPU runs and uses them. */
#include "core/hypercall.h"
#include "x86/entry.h"
#include "x86/insn.h"

#define DR6_ALWAYS  0xffff0ff0ull /* bits that read as one */
#define DR7_ALWAYS  0x400ull
#define DR7_GD      0x2000ull
#define DR7_MUST_0  0xd800ull /* reserved */
#define DR7_ENABLED 0xffull
#define DR7_IO      2 /* type of a breakpoint: port access */

static void write_dr(unsigned reg, uint64_t v)
{
    switch (reg) {
    case 0:
        __asm__ volatile("mov %0, %%db0" : : "r"(v));
        break;
    case 1:
        __asm__ volatile("mov %0, %%db1" : : "r"(v));
        break;
    case 2:
        __asm__ volatile("mov %0, %%db2" : : "r"(v));
        break;
    case 3:
        __asm__ volatile("mov %0, %%db3" : : "r"(v));
        break;
    case 6:
        __asm__ volatile("mov %0, %%db6" : : "r"(v));
        break;
    case 7:
        __asm__ volatile("mov %0, %%db7" : : "r"(v));
        break;
    }
}

static uint64_t read_dr6(void)
{
    uint64_t v;
    __asm__ volatile("mov %%db6, %0" : "=r"(v));
    return v;
}

void debug_load(struct vcpu *v)
{
    if (!(v->dr[7] & DR7_ENABLED))
        return;
    for (unsigned i = 0; i < 4; i++)
        write_dr(i, v->dr[i]);
    write_dr(6, v->dr[6] | DR6_ALWAYS);
    write_dr(7, v->dr[7]);
}

void debug_unload(struct vcpu *v)
{
    if (v->dr[7] & DR7_ENABLED)
        write_dr(7, DR7_ALWAYS);
}

/* The status bits accumulate for the guest as they would in the register. */
void debug_note_status(struct vcpu *v)
{
    v->dr[6] |= read_dr6() & 0xe00f;
    debug_clear_status();
}

void debug_clear_status(void)
{
    write_dr(6, DR6_ALWAYS);
}

/* An enabled breakpoint on a port would also be one on the hypervisor's own port accesses. */
static bool has_io_breakpoint(uint64_t dr7)
{
    for (unsigned i = 0; i < 4; i++)
        if ((dr7 >> (2 * i) & 3) && (dr7 >> (16 + 4 * i) & 3) == DR7_IO)
            return true;
    return false;
}

long debug_set(struct vcpu *v, unsigned reg, uint64_t value)
{
    switch (reg) {
    case 0:
    case 1:
    case 2:
    case 3:
        if (!guest_range_ok(value, 8))
            return -XEN_EPERM;
        break;
    case 4:
    case 6:
        reg = 6;
        if (value >> 32)
            return -XEN_EINVAL;
        value &= 0xe00f;
        break;
    case 5:
    case 7:
        reg = 7;
        if (value >> 32)
            return -XEN_EINVAL;
        if ((value & DR7_GD) || has_io_breakpoint(value))
            return -XEN_EPERM;
        value = (value & ~DR7_MUST_0) | DR7_ALWAYS;
        break;
    default:
        return -XEN_EINVAL;
    }
    if (v == current_vcpu())
        debug_unload(v);
    v->dr[reg] = value;
    if (v == current_vcpu())
        debug_load(v);
    return 0;
}

long do_set_debugreg(struct vcpu *v, uint64_t reg, uint64_t value, uint64_t a3, uint64_t a4,
                     uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    return reg > 7 ? -XEN_EINVAL : debug_set(v, (unsigned)reg, value);
}

long do_get_debugreg(struct vcpu *v, uint64_t reg, uint64_t a2, uint64_t a3, uint64_t a4,
                     uint64_t a5)
{
    (void)a2, (void)a3, (void)a4, (void)a5;
    if (reg > 7)
        return -XEN_EINVAL;
    if (reg == 4 || reg == 5)
        reg += 2;
    return (long)(reg == 6 ? v->dr[6] | DR6_ALWAYS : reg == 7 ? v->dr[7] | DR7_ALWAYS : v->dr[reg]);
}
