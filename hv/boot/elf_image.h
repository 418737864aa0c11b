/* SPDX-License-Identifier: MIT */
/*
 * The kernel as an ELF file: which parts go where in the guest's pseudo-physical memory, and what
 * it says of itself in its Xen notes (<xen/elfnote.h>). Hostile input: everything is checked when
 * the file is parsed, so that a struct elf_image holds only ranges that lie within the file and
 * addresses that do not wrap.
 */
#ifndef HV_BOOT_ELF_IMAGE_H
#define HV_BOOT_ELF_IMAGE_H

#include "base/types.h"

#include <xen/features.h>

#define ELF_IMAGE_SEGMENTS_MAX 16
/* Loaded parts must end below this offset from the base of the kernel's mapping: the top 2 GiB of
 * the address space, less what the kernel itself uses for modules and fixed mappings. */
#define ELF_IMAGE_SPAN_MAX GiB(1)

struct elf_segment {
    uint64_t file_offset;
    uint64_t file_size; /* bytes copied from the file ... */
    uint64_t mem_size;  /* ... and zeroes up to this many; at least file_size, never 0 */
    uint64_t paddr;     /* pseudo-physical address, PADDR_OFFSET already taken off */
};

struct elf_image {
    const uint8_t *file;
    size_t size;

    unsigned segments;
    struct elf_segment segment[ELF_IMAGE_SEGMENTS_MAX];
    uint64_t paddr_start; /* lowest and highest + 1 loaded pseudo-physical address */
    uint64_t paddr_end;

    /* From the notes. Virtual addresses are canonical and lie outside the hypervisor's
     * range: above it as Linux's do, or below as those of PV GRUB, which is at 0. */
    uint64_t virt_base; /* where pseudo-physical address 0 is mapped */
    uint64_t entry;
    bool has_init_p2m;
    uint64_t init_p2m; /* where the p2m list is wanted; aligned to what one top-level entry maps */
    bool has_hypercall_page;
    uint64_t hypercall_page; /* page-aligned, within the loaded part */
    bool mod_start_pfn;      /* takes an initial RAM disk by its frame number, unmapped */
    bool suspend_cancel;
    bool has_supported_features;
    uint32_t supported_features;          /* XENFEAT_* bits it can live with */
    uint32_t required_features;           /* XENFEAT_* bits it demands */
    char guest_os[32], guest_version[32]; /* printable, terminated; may be empty */
};

enum elf_verdict {
    ELF_IMAGE_GOOD,
    ELF_IMAGE_CORRUPT, /* not an x86-64 ELF kernel, or damaged */
    ELF_IMAGE_NOT_PV,  /* a sound ELF file, but not a kernel of a paravirtual domain */
};

/* Was it built for being domain 0? (Debian's cloud kernels were not; they are good guests.) */
static inline bool elf_image_may_be_dom0(const struct elf_image *image)
{
    return !image->has_supported_features || image->supported_features & (1u << XENFEAT_dom0);
}

/*
 * Parse size bytes at file, any alignment. The image keeps pointing into the file. Unless good,
 * *why is a static phrase that says what is wrong.
 */
enum elf_verdict elf_image_parse(struct elf_image *image, const void *file, size_t size,
                                 const char **why);

#endif
