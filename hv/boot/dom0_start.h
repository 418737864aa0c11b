/* SPDX-License-Identifier: MIT */
/* What domain 0 finds when it starts: its start info page and its first vCPU's registers. */
#ifndef HV_BOOT_DOM0_START_H
#define HV_BOOT_DOM0_START_H

#include "base/boot_info.h"
#include "dom0_layout.h"
#include "dom0_memory.h"

/* Fill the start info page. cmdline: the kernel's, cut to fit; initrd_size in bytes, 0: none. */
void dom0_start_info(const struct dom0_memory *m, const struct dom0_layout *l,
                     const struct elf_image *image, const char *cmdline, uint64_t initrd_size);

/* Load the first vCPU's context: entry point, stack, page tables. 0 or a negative errno. */
int dom0_start_vcpu(struct vcpu *v, const struct dom0_layout *l, const struct elf_image *image,
                    mfn_t root);

/* The kernel's command line proper: without the image's name where the loader puts it first, and
 * without the word that Debian's GRUB script has there. */
const char *dom0_start_cmdline(const struct boot_info *info);

#endif
