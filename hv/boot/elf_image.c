/* SPDX-License-Identifier: MIT */
/*
 * ELF headers and program segments. The notes are in elf_notes.c.
 */
#include "elf_image.h"

#include "base/string.h"
#include "elf_notes.h"

/* Of the ELF64 format, as far as it is needed here (System V ABI, chapters 4 and 5). */
struct elf_header {
    uint8_t ident[16];
    uint16_t type;
    uint16_t machine;
    uint32_t version;
    uint64_t entry;
    uint64_t phoff;
    uint64_t shoff;
    uint32_t flags;
    uint16_t ehsize;
    uint16_t phentsize;
    uint16_t phnum;
    uint16_t shentsize;
    uint16_t shnum;
    uint16_t shstrndx;
};
_Static_assert(sizeof(struct elf_header) == 64, "ELF64 header");

struct elf_program_header {
    uint32_t type;
    uint32_t flags;
    uint64_t offset;
    uint64_t vaddr;
    uint64_t paddr;
    uint64_t filesz;
    uint64_t memsz;
    uint64_t align;
};
_Static_assert(sizeof(struct elf_program_header) == 56, "ELF64 program header");

#define IDENT_64BIT_LITTLE  "\177ELF\002\001\001"
#define TYPE_EXEC           2
#define TYPE_DYN            3
#define MACHINE_X86_64      62
#define PT_LOAD             1
#define PT_NOTE             4
#define PROGRAM_HEADERS_MAX 64

static enum elf_verdict corrupt(const char **why, const char *phrase)
{
    *why = phrase;
    return ELF_IMAGE_CORRUPT;
}

static enum elf_verdict not_pv(const char **why, const char *phrase)
{
    *why = phrase;
    return ELF_IMAGE_NOT_PV;
}

/* Does [offset, offset + length) lie within the file? */
static bool in_file(const struct elf_image *image, uint64_t offset, uint64_t length)
{
    return offset <= image->size && length <= image->size - offset;
}

static enum elf_verdict read_header(const struct elf_image *image, struct elf_header *h,
                                    const char **why)
{
    if (!in_file(image, 0, sizeof(*h)))
        return corrupt(why, "the ELF file is shorter than its header");
    memcpy(h, image->file, sizeof(*h));
    if (memcmp(h->ident, IDENT_64BIT_LITTLE, 7) || h->machine != MACHINE_X86_64)
        return corrupt(why, "it is not a 64-bit x86 ELF file");
    if (h->type != TYPE_EXEC && h->type != TYPE_DYN)
        return corrupt(why, "the ELF file is not an executable");
    if (h->phentsize != sizeof(struct elf_program_header) || h->phnum == 0 ||
        h->phnum > PROGRAM_HEADERS_MAX)
        return corrupt(why, "the ELF file has no program headers, too many, or odd ones");
    if (!in_file(image, h->phoff, (uint64_t)h->phnum * sizeof(struct elf_program_header)))
        return corrupt(why, "the ELF file ends within its program headers: it is cut short");
    return ELF_IMAGE_GOOD;
}

static void read_program_header(const struct elf_image *image, const struct elf_header *h,
                                unsigned i, struct elf_program_header *ph)
{
    memcpy(ph, image->file + h->phoff + (uint64_t)i * sizeof(*ph), sizeof(*ph));
}

static enum elf_verdict add_segment(struct elf_image *image, const struct elf_program_header *ph,
                                    const char **why)
{
    struct elf_segment *s = &image->segment[image->segments];

    if (ph->memsz == 0)
        return ELF_IMAGE_GOOD;
    if (image->segments == ELF_IMAGE_SEGMENTS_MAX)
        return corrupt(why, "the ELF file has more than 16 loadable segments");
    if (ph->filesz > ph->memsz || !in_file(image, ph->offset, ph->filesz))
        return corrupt(why, "a segment of the ELF file lies outside of it: it is cut short");
    *s = (struct elf_segment){ph->offset, ph->filesz, ph->memsz, ph->paddr};
    image->segments++;
    return ELF_IMAGE_GOOD;
}

static enum elf_verdict read_segments(struct elf_image *image, const struct elf_header *h,
                                      struct elf_notes *notes, const char **why)
{
    for (unsigned i = 0; i < h->phnum; i++) {
        enum elf_verdict verdict = ELF_IMAGE_GOOD;
        struct elf_program_header ph;

        read_program_header(image, h, i, &ph);
        if (ph.type == PT_LOAD)
            verdict = add_segment(image, &ph, why);
        else if (ph.type == PT_NOTE && !in_file(image, ph.offset, ph.filesz))
            verdict = corrupt(why, "the notes of the ELF file lie outside of it");
        else if (ph.type == PT_NOTE && !elf_notes_read(notes, image->file + ph.offset, ph.filesz))
            verdict = corrupt(why, "the notes of the ELF file are damaged");
        if (verdict != ELF_IMAGE_GOOD)
            return verdict;
    }
    if (image->segments == 0)
        return corrupt(why, "the ELF file has nothing to load");
    return ELF_IMAGE_GOOD;
}

/* Take the load addresses' offset off, and find the range that the segments cover. */
static enum elf_verdict place_segments(struct elf_image *image, uint64_t paddr_offset,
                                       const char **why)
{
    image->paddr_start = UINT64_MAX;
    image->paddr_end = 0;
    for (unsigned i = 0; i < image->segments; i++) {
        struct elf_segment *s = &image->segment[i];

        if (s->paddr < paddr_offset)
            return corrupt(why, "a segment's load address is below the kernel's base");
        s->paddr -= paddr_offset;
        if (s->paddr >= ELF_IMAGE_SPAN_MAX || s->mem_size > ELF_IMAGE_SPAN_MAX - s->paddr)
            return corrupt(why, "a segment's load address is beyond 1 GiB");
        image->paddr_start = min(image->paddr_start, s->paddr);
        image->paddr_end = max(image->paddr_end, s->paddr + s->mem_size);
    }
    return ELF_IMAGE_GOOD;
}

/* One level 3 entry (and the next, for tables and stack) maps the kernel and what follows it. */
static bool base_is_good(uint64_t base)
{
    if (base & (GiB(1) - 1))
        return false;
    return base <= ELF_IMAGE_LOW_END - GiB(2) ||
           (base >= ELF_IMAGE_VIRT_LOWEST && base <= UINT64_MAX - GiB(2) + 1);
}

/* Is [va, va + length) within what the segments cover? virt_base + span is known not to wrap. */
static bool in_kernel(const struct elf_image *image, uint64_t va, uint64_t length)
{
    uint64_t start = image->virt_base + image->paddr_start;
    uint64_t end = image->virt_base + image->paddr_end;

    return va >= start && va < end && length <= end - va;
}

static enum elf_verdict check_addresses(struct elf_image *image, const struct elf_notes *n,
                                        const char **why)
{
    image->virt_base = n->value[XEN_ELFNOTE_VIRT_BASE];
    image->entry = n->value[XEN_ELFNOTE_ENTRY];
    image->has_hypercall_page = elf_notes_has(n, XEN_ELFNOTE_HYPERCALL_PAGE);
    image->hypercall_page = n->value[XEN_ELFNOTE_HYPERCALL_PAGE];
    image->has_init_p2m = elf_notes_has(n, XEN_ELFNOTE_INIT_P2M);
    image->init_p2m = n->value[XEN_ELFNOTE_INIT_P2M];

    if (!base_is_good(image->virt_base))
        return not_pv(why, "its VIRT_BASE note is not an address for a 64-bit kernel");
    if (!in_kernel(image, image->entry, 1))
        return not_pv(why, "its ENTRY note points outside the kernel");
    if (image->has_hypercall_page && (image->hypercall_page & (PAGE_SIZE - 1) ||
                                      !in_kernel(image, image->hypercall_page, PAGE_SIZE)))
        return not_pv(why, "its HYPERCALL_PAGE note points outside the kernel");
    if (image->has_init_p2m && !elf_notes_p2m_base_is_good(image->init_p2m, image->virt_base))
        return not_pv(why, "its INIT_P2M note is not an address that it may use");
    return ELF_IMAGE_GOOD;
}

static enum elf_verdict check_notes(struct elf_image *image, const struct elf_notes *n,
                                    const char **why)
{
    const char *lack = elf_notes_check(n);

    if (lack)
        return not_pv(why, lack);
    image->mod_start_pfn = n->value[XEN_ELFNOTE_MOD_START_PFN] != 0;
    image->suspend_cancel = n->value[XEN_ELFNOTE_SUSPEND_CANCEL] != 0;
    image->has_supported_features = elf_notes_has(n, XEN_ELFNOTE_SUPPORTED_FEATURES);
    image->supported_features = n->value[XEN_ELFNOTE_SUPPORTED_FEATURES] | n->named_features;
    image->required_features = n->required_features;
    memcpy(image->guest_os, n->guest_os, sizeof(image->guest_os));
    memcpy(image->guest_version, n->guest_version, sizeof(image->guest_version));
    return ELF_IMAGE_GOOD;
}

enum elf_verdict elf_image_parse(struct elf_image *image, const void *file, size_t size,
                                 const char **why)
{
    struct elf_header header;
    struct elf_notes notes;
    enum elf_verdict verdict;

    memset(image, 0, sizeof(*image));
    image->file = file;
    image->size = size;
    elf_notes_init(&notes);
    verdict = read_header(image, &header, why);
    if (verdict == ELF_IMAGE_GOOD)
        verdict = read_segments(image, &header, &notes, why);
    if (verdict == ELF_IMAGE_GOOD)
        verdict = check_notes(image, &notes, why);
    if (verdict == ELF_IMAGE_GOOD)
        verdict = place_segments(image, notes.value[XEN_ELFNOTE_PADDR_OFFSET], why);
    if (verdict == ELF_IMAGE_GOOD)
        verdict = check_addresses(image, &notes, why);
    return verdict;
}
