/* SPDX-License-Identifier: MIT */
/*
 * The virtual memory map. Guests own everything outside top-level slots 256..271; the interface
 * (xen/arch-x86/xen-x86_64.h) gives those 16 to the hypervisor, which uses the first eight:
 *
 *   slot 256  ffff800000000000  M2P_RO     machine-to-physical table as guest kernels read it (user, read-only)
 *   slot 258  ffff810000000000  WINDOWS    per CPU: GDT (16 pages) and LDT (16 pages) of the vCPU it runs
 *   slot 259  ffff818000000000  STACKS     one 32 KiB slot a stack: 16 KiB unmapped guard, 16 KiB stack
 *   slot 260  ffff820000000000  FRAMES     frame table; at +256 GiB the writable M2P
 *   slot 261  ffff828000000000  DEVICES    device memory (uncached); at +256 GiB (ffff82c000000000) the image,
 *                                          and at +257 GiB the per-CPU entry pages
 *   slot 262  ffff830000000000  DIRECT     all RAM, frame after frame: two slots, 1 TiB
 *
 * Everything but M2P_RO is supervisor only. The image is mapped writable xor executable; the direct map
 * is never executable and read-only where it aliases the image's text and read-only data.
 */
#ifndef X86_MEMORY_MAP_H
#define X86_MEMORY_MAP_H

#define HV_START 0xffff800000000000
#define HV_END   0xffff880000000000

#define M2P_RO_BASE  0xffff800000000000
#define WINDOWS_BASE 0xffff810000000000
#define WINDOW_SIZE  0x40000 /* GDT 64 KiB, LDT 64 KiB, rest unmapped */
#define WINDOW_LDT   0x10000 /* offset of the LDT in a CPU's window */
#define STACKS_BASE  0xffff818000000000
#define STACK_SLOT   0x8000
#define STACK_SIZE   0x4000 /* upper half of the slot */
#define FRAMES_BASE  0xffff820000000000
#define M2P_RW_BASE  0xffff824000000000
#define DEVICES_BASE 0xffff828000000000
#define DEVICES_END  0xffff82c000000000
#define IMAGE_BASE   0xffff82c000000000
#define ENTRY_BASE   0xffff82c040000000 /* per CPU 2 pages: entry code (shared frame), its data */
#define ENTRY_SIZE   0x2000
#define DIRECT_BASE  0xffff830000000000
#define DIRECT_END   0xffff840000000000

#define MAX_CPUS      256
#define MAX_VCPUS     256        /* of one domain */
#define MAX_RAM_FRAME 0x10000000 /* 1 TiB */

#endif
