/* SPDX-License-Identifier: MIT */
/*
 * Stands before hv/include/x86/insn.h in host builds: machine instructions that machine.c answers,
 * so that policy code runs as it is. The rest, and all constants, come from the real header.
 */
#ifndef FAKE_X86_INSN_H
#define FAKE_X86_INSN_H

#define rdmsr     real_rdmsr
#define wrmsr     real_wrmsr
#define cpuid     real_cpuid
#define rdtsc     real_rdtsc
#define inb       real_inb
#define inw       real_inw
#define inl       real_inl
#define outb      real_outb
#define outw      real_outw
#define outl      real_outl
#define read_cr0  real_read_cr0
#define write_cr3 real_write_cr3
#define read_cr4  real_read_cr4
#define write_cr4 real_write_cr4
#include_next "x86/insn.h"
#undef rdmsr
#undef wrmsr
#undef cpuid
#undef rdtsc
#undef inb
#undef inw
#undef inl
#undef outb
#undef outw
#undef outl
#undef read_cr0
#undef write_cr3
#undef read_cr4
#undef write_cr4

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t v);
struct cpuid cpuid(uint32_t leaf, uint32_t subleaf);
uint64_t rdtsc(void);
uint8_t inb(uint16_t port);
uint16_t inw(uint16_t port);
uint32_t inl(uint16_t port);
void outb(uint16_t port, uint8_t v);
void outw(uint16_t port, uint16_t v);
void outl(uint16_t port, uint32_t v);
uint64_t read_cr0(void);
void write_cr3(uint64_t v);
uint64_t read_cr4(void);
void write_cr4(uint64_t v);

#endif
