/* SPDX-License-Identifier: MIT */
/* The Xen notes of a kernel: reading them from note segments, and the judgement on them. */
#ifndef HV_BOOT_ELF_NOTES_H
#define HV_BOOT_ELF_NOTES_H

#include "base/types.h"

#include <xen/elfnote.h>
#include <xen/features.h>

#define ELF_NOTES_COUNT (XEN_ELFNOTE_MAX + 1)

/* The guest's addresses above the hypervisor's slots of the top-level table start here. */
#define ELF_IMAGE_VIRT_LOWEST 0xffff880000000000ull
#define ELF_IMAGE_LOW_END     0x0000800000000000ull /* of the lower half */

struct elf_notes {
    uint32_t seen;                   /* bit n: note n was there */
    uint64_t value[ELF_NOTES_COUNT]; /* of numeric notes; 0 when absent */
    uint32_t named_features;         /* XENFEAT_* bits named by FEATURES, and those of them */
    uint32_t required_features;      /* that are marked as required */
    bool unknown_required;           /* a required feature whose name we do not know */
    bool version_is_3;               /* XEN_VERSION is "xen-3.0" */
    bool loader_is_generic;          /* LOADER is "generic" */
    char guest_os[32], guest_version[32];
};

void elf_notes_init(struct elf_notes *n);
/* Add the notes of one segment of size bytes. False when it is malformed. */
bool elf_notes_read(struct elf_notes *n, const uint8_t *segment, size_t size);

static inline bool elf_notes_has(const struct elf_notes *n, unsigned type)
{
    return (n->seen >> type) & 1;
}

/* NULL when they describe a 64-bit paravirtual kernel; else what is wrong. */
const char *elf_notes_check(const struct elf_notes *n);

/* May the p2m list be put at base? A whole top-level slot of the guest's, not the kernel's own. */
bool elf_notes_p2m_base_is_good(uint64_t base, uint64_t virt_base);

#endif
