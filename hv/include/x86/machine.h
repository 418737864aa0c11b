/* SPDX-License-Identifier: MIT */
/* Bringing CPUs up: descriptor tables, features, secondary CPUs. */
#ifndef X86_MACHINE_H
#define X86_MACHINE_H

#include "x86/cpu.h"

/* --- cpu.c --- */
/* Detect what the boot CPU has; before paging_init (needs NX). */
void cpu_detect(void);
/* Make the structures of CPU id (not the idle vCPU). NULL: no memory. */
struct cpu *cpu_create(unsigned id, uint32_t apic_id, uint32_t acpi_id);
/* Load control registers, PAT, GDT, TSS, IDT, LDT of none on the calling CPU; calls entry_init_cpu.
 */
void cpu_load(struct cpu *c);
/* Set one gate of the IDT that all CPUs share: interrupt gate, ist 0..7, dpl 0 or 3. */
void idt_set_gate(unsigned vector, void (*handler)(void), unsigned ist, unsigned dpl);
extern struct cpu boot_cpu; /* CPU 0 */

/* --- given by the entry paths --- */
void traps_init(void);     /* fill the IDT; once, before the first cpu_load */
void entry_init_cpu(void); /* LSTAR and friends of the calling CPU */
/* The code frame of every CPU's entry page, page-aligned in the image's text. */
extern const char entry_page[];

#endif
