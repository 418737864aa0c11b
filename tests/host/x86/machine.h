/* SPDX-License-Identifier: MIT */
/*
 * The machine and the rest of the hypervisor as the emulation's host tests see them. Guest memory
 * is the test's own; everything asked of the hardware is recorded here.
 */
#ifndef TESTS_HOST_X86_MACHINE_H
#define TESTS_HOST_X86_MACHINE_H

#include "core/domain.h"

#define MAX_ACCESSES 64

struct port_access {
    bool write;
    uint16_t port;
    uint8_t size;
    uint32_t value;
};

extern struct machine {
    struct domain domain;
    struct vcpu vcpu;
    struct stack_top stack;
    struct vcpu_info info;
    struct cpu cpu;

    /* Guest memory that exists: [memory_start, memory_end); writable below read_only_from. */
    uintptr_t memory_start, memory_end, read_only_from;

    uint64_t cr3;
    uintptr_t kernel_only; /* this part of it only while cr3 is the vCPU's kernel_cr3 */
    size_t kernel_only_bytes;

    struct port_access accesses[MAX_ACCESSES];
    unsigned access_count;
    uint32_t next_in; /* what the next port read gives; counts up */

    unsigned pci_writes;
    uint32_t pci_sbdf, pci_value;
    unsigned pci_reg, pci_bytes;
    bool pci_denied;
    enum env_iomem iomem;
    pte_t walk_entry; /* what mm_walk finds; 0: derived from the memory range */

    int injected; /* vector, -1: none */
    uint64_t injected_address;
    uint32_t injected_error;
    int shutdown; /* reason, -1: none */
    unsigned blocked;
    int set_root; /* what mm_set_root returns */
    uint64_t root;

    uint32_t msr_written[64];
    unsigned msr_writes;
    uint64_t msr_value, cr4;

    /* mm_trapped_write: refuse all; or let another CPU change the entry this many times first. */
    bool refuse_writes;
    unsigned lost_races;
    unsigned trapped_writes;
} machine;

/* A privileged domain's vCPU 0 in kernel mode, nothing recorded. */
void machine_reset(void);

/* Execute the instruction at code (followed by a jump to native_back) with these registers, all but
 * rip, rsp and segments; they come back changed. native.S. */
void native_run(struct regs *regs, const void *code);
extern const char native_back[];

#endif
