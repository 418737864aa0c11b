/* SPDX-License-Identifier: MIT */
/*
 * Selectors. Page 14 of every GDT (selectors from 0xe000) is the hypervisor's; the ring-3 ones are
 * promised to guests by xen/arch-x86/xen-x86_64.h. SYSCALL takes CS = STAR[47:32], SS = that + 8;
 * SYSRET takes SS = STAR[63:48] + 8, CS = that (32-bit) or + 16 (64-bit).
 */
#ifndef X86_SEGMENTS_H
#define X86_SEGMENTS_H

#define GDT_RESERVED_PAGE 14
#define GDT_RESERVED_BASE 0xe000

#define HV_CS      0xe008
#define HV_DS      0xe010
#define GUEST_CS32 0xe023
#define GUEST_DS   0xe02b /* also SS */
#define GUEST_CS64 0xe033
#define HV_TSS     0xe040 /* 16 bytes */

#define HV_LDT 0xe050 /* 16 bytes: the LDT in the CPU's window, of the vCPU that runs */

/* Flat descriptors: present, accessed, limit 4 GiB in pages; code readable, data writable. */
#define DESC_CODE64_RING0 0x00af9b000000ffffull
#define DESC_DATA_RING0   0x00cf93000000ffffull
#define DESC_CODE32_RING3 0x00cffb000000ffffull
#define DESC_CODE64_RING3 0x00affb000000ffffull
#define DESC_DATA_RING3   0x00cff3000000ffffull

#define GDT_LIMIT (GDT_RESERVED_BASE + 0x60 - 1)

#endif
