/* SPDX-License-Identifier: MIT */
/*
 * Xen's ELF notes. A note is three little-endian words (name size, descriptor size, type), the name
 * and the descriptor, each padded to four bytes. Those named "Xen" with a type up to
 * XEN_ELFNOTE_MAX are ours; a number is four or eight bytes long, a string may lack its terminator.
 */
#include "elf_notes.h"

#include "base/bits.h"
#include "base/string.h"

#define NOTE_HEADER 12
#define SLOT_SIZE   (1ull << 39) /* what one entry of the top-level table maps */

struct text {
    const char *at;
    size_t length;
};

static const struct {
    const char *name;
    unsigned bit;
} feature_names[] = {
    {"writable_page_tables", XENFEAT_writable_page_tables},
    {"writable_descriptor_tables", XENFEAT_writable_descriptor_tables},
    {"auto_translated_physmap", XENFEAT_auto_translated_physmap},
    {"supervisor_mode_kernel", XENFEAT_supervisor_mode_kernel},
    {"pae_pgdir_above_4gb", XENFEAT_pae_pgdir_above_4gb},
    {"mmu_pt_update_preserve_ad", XENFEAT_mmu_pt_update_preserve_ad},
    {"highmem_assist", XENFEAT_highmem_assist},
    {"gnttab_map_avail_bits", XENFEAT_gnttab_map_avail_bits},
    {"hvm_callback_vector", XENFEAT_hvm_callback_vector},
    {"hvm_safe_pvclock", XENFEAT_hvm_safe_pvclock},
    {"hvm_pirqs", XENFEAT_hvm_pirqs},
    {"dom0", XENFEAT_dom0},
    {"memory_op_vnode_supported", XENFEAT_memory_op_vnode_supported},
    {"linux_rsdp_unrestricted", XENFEAT_linux_rsdp_unrestricted},
};

/*
 * What a kernel may demand. "writable_page_tables" stands for its stores to its own tables having
 * effect: they are trapped and carried out. The others are things a 64-bit domain 0 has.
 */
#define FEATURES_GIVEN                                                                             \
    ((1u << XENFEAT_writable_page_tables) | (1u << XENFEAT_pae_pgdir_above_4gb) |                  \
     (1u << XENFEAT_mmu_pt_update_preserve_ad) | (1u << XENFEAT_gnttab_map_avail_bits) |           \
     (1u << XENFEAT_dom0) | (1u << XENFEAT_linux_rsdp_unrestricted))

void elf_notes_init(struct elf_notes *n)
{
    memset(n, 0, sizeof(*n));
}

static uint32_t word_at(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static bool text_is(struct text t, const char *word)
{
    return t.length == strlen(word) && !memcmp(t.at, word, t.length);
}

static void add_feature(struct elf_notes *n, struct text name)
{
    bool required = name.length && name.at[0] == '!';

    if (required) {
        name.at++;
        name.length--;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(feature_names); i++) {
        if (!text_is(name, feature_names[i].name))
            continue;
        n->named_features |= 1u << feature_names[i].bit;
        if (required)
            n->required_features |= 1u << feature_names[i].bit;
        return;
    }
    if (required)
        n->unknown_required = true;
}

static void read_features(struct elf_notes *n, struct text list)
{
    size_t start = 0;

    for (size_t i = 0; i <= list.length; i++) {
        if (i < list.length && list.at[i] != '|')
            continue;
        add_feature(n, (struct text){list.at + start, i - start});
        start = i + 1;
    }
}

/* For messages: only printable characters, shortened to fit. */
static void keep_text(char *to, size_t room, struct text t)
{
    size_t i;

    for (i = 0; i < t.length && i < room - 1; i++)
        to[i] = t.at[i] >= ' ' && t.at[i] <= '~' ? t.at[i] : '?';
    to[i] = '\0';
}

static void read_text(struct elf_notes *n, unsigned type, struct text t)
{
    switch (type) {
    case XEN_ELFNOTE_XEN_VERSION:
        n->version_is_3 = text_is(t, "xen-3.0");
        break;
    case XEN_ELFNOTE_LOADER:
        n->loader_is_generic = text_is(t, "generic");
        break;
    case XEN_ELFNOTE_GUEST_OS:
        keep_text(n->guest_os, sizeof(n->guest_os), t);
        break;
    case XEN_ELFNOTE_GUEST_VERSION:
        keep_text(n->guest_version, sizeof(n->guest_version), t);
        break;
    case XEN_ELFNOTE_FEATURES:
        read_features(n, t);
        break;
    default: /* of no interest here */
        break;
    }
}

static bool is_numeric(unsigned type)
{
    switch (type) {
    case XEN_ELFNOTE_ENTRY:
    case XEN_ELFNOTE_HYPERCALL_PAGE:
    case XEN_ELFNOTE_VIRT_BASE:
    case XEN_ELFNOTE_PADDR_OFFSET:
    case XEN_ELFNOTE_HV_START_LOW:
    case XEN_ELFNOTE_SUSPEND_CANCEL:
    case XEN_ELFNOTE_INIT_P2M:
    case XEN_ELFNOTE_MOD_START_PFN:
    case XEN_ELFNOTE_SUPPORTED_FEATURES:
        return true;
    default:
        return false;
    }
}

static bool read_xen_note(struct elf_notes *n, uint32_t type, const uint8_t *desc, uint32_t size)
{
    if (type > XEN_ELFNOTE_MAX)
        return true;
    if (is_numeric(type)) {
        if (size != 4 && size != 8)
            return false;
        n->value[type] = word_at(desc);
        if (size == 8)
            n->value[type] |= (uint64_t)word_at(desc + 4) << 32;
    } else {
        read_text(n, type, (struct text){(const char *)desc, strnlen((const char *)desc, size)});
    }
    n->seen |= 1u << type;
    return true;
}

bool elf_notes_read(struct elf_notes *n, const uint8_t *segment, size_t size)
{
    size_t at = 0;

    while (size - at >= NOTE_HEADER) {
        const uint8_t *note = segment + at;
        uint32_t name_size = word_at(note), desc_size = word_at(note + 4), type = word_at(note + 8);
        uint64_t desc_at = NOTE_HEADER + ROUND_UP((uint64_t)name_size, 4);
        uint64_t next = desc_at + ROUND_UP((uint64_t)desc_size, 4);

        if (desc_at > size - at || desc_size > size - at - desc_at)
            return false;
        if (name_size == 4 && !memcmp(note + NOTE_HEADER, "Xen", 4) &&
            !read_xen_note(n, type, note + desc_at, desc_size))
            return false;
        at += min(next, (uint64_t)(size - at)); /* the last one's padding may be missing */
    }
    return true;
}

const char *elf_notes_check(const struct elf_notes *n)
{
    if (!n->seen)
        return "it has no Xen notes: it was built without support for running on Xen";
    if (!elf_notes_has(n, XEN_ELFNOTE_XEN_VERSION) || !n->version_is_3)
        return "its XEN_VERSION note does not say xen-3.0";
    if (elf_notes_has(n, XEN_ELFNOTE_LOADER) && !n->loader_is_generic)
        return "its LOADER note does not say generic";
    if (!elf_notes_has(n, XEN_ELFNOTE_ENTRY) || !elf_notes_has(n, XEN_ELFNOTE_VIRT_BASE))
        return "it has no paravirtual entry point";
    if (n->unknown_required || n->required_features & ~FEATURES_GIVEN)
        return "its FEATURES note demands a feature that there is not";
    return NULL;
}

bool elf_notes_p2m_base_is_good(uint64_t base, uint64_t virt_base)
{
    if (base & (SLOT_SIZE - 1) || base == 0)
        return false;
    if (base >= ELF_IMAGE_LOW_END && base < ELF_IMAGE_VIRT_LOWEST)
        return false;
    return base / SLOT_SIZE != virt_base / SLOT_SIZE;
}
