/* SPDX-License-Identifier: MIT */
/*
 * Building domain 0: from the loader's modules to a vCPU that is ready to run.
 *
 * What stops it is answered by a message of three lines (what failed, why, what to do) with one of
 * these codes, and the machine stops or restarts (option noreboot):
 *
 *   PAL-BOOT-001  the loader gave no kernel module
 *   PAL-BOOT-002  the kernel image cannot be read or unpacked
 *   PAL-BOOT-003  it is sound, but not a kernel for this interface
 *   PAL-BOOT-004  kernel and initial RAM disk do not fit
 *   PAL-BOOT-005  dom0_mem is not understood
 *   PAL-BOOT-006  dom0_mem is more than the machine has to give
 *   PAL-BOOT-007  dom0_mem is too small for any kernel
 */
#ifndef BOOT_DOM0_H
#define BOOT_DOM0_H

/*
 * Module 0 is the kernel, module 1 the initial RAM disk. Sets domain0 and makes its vCPU 0
 * runnable. On the boot CPU with all CPUs online and no other domain; may open interrupts.
 * Afterwards nothing of the modules is needed any more.
 */
void dom0_build(void);

#endif
