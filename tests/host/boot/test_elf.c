/* SPDX-License-Identifier: MIT */
/* ELF headers and Xen notes: what is refused, and by which of the two verdicts. */
#include "test.h"

#include <elf.h>
#include <xen/elfnote.h>
#include <xen/features.h>

#include "elf_image.h"
#include "make_image.h"

static enum elf_verdict verdict_of(struct bytes b, struct elf_image *image)
{
    struct elf_image local;
    const char *why = NULL;
    enum elf_verdict v = elf_image_parse(image ? image : &local, b.at, b.size, &why);

    assert_int_equal(v == ELF_IMAGE_GOOD, why == NULL);
    return v;
}

/* The usual notes followed by one more: the later of two counts. */
static enum elf_verdict with_number(uint32_t type, uint64_t value)
{
    struct notes n = {.size = 0};
    struct bytes b;
    enum elf_verdict v;

    notes_usual(&n);
    notes_add_number(&n, type, value);
    b = make_elf(&n);
    v = verdict_of(b, NULL);
    free(b.at);
    return v;
}

static enum elf_verdict with_text(uint32_t type, const char *text)
{
    struct notes n = {.size = 0};
    struct bytes b;
    enum elf_verdict v;

    notes_usual(&n);
    notes_add_text(&n, type, text);
    b = make_elf(&n);
    v = verdict_of(b, NULL);
    free(b.at);
    return v;
}

static void test_addresses(void **state)
{
    const uint64_t end = KERNEL_BASE + KERNEL_PADDR + KERNEL_SIZE;

    (void)state;
    assert_int_equal(with_number(XEN_ELFNOTE_ENTRY, KERNEL_ENTRY), ELF_IMAGE_GOOD);
    assert_int_equal(with_number(XEN_ELFNOTE_ENTRY, end - 1), ELF_IMAGE_GOOD);
    assert_int_equal(with_number(XEN_ELFNOTE_ENTRY, end), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_ENTRY, KERNEL_BASE), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_ENTRY, 0), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_VIRT_BASE, 0), ELF_IMAGE_NOT_PV); /* without ENTRY */
    assert_int_equal(with_number(XEN_ELFNOTE_VIRT_BASE, 0xffff830000000000), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_VIRT_BASE, KERNEL_BASE + 4096), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_VIRT_BASE, ~0ull), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_HYPERCALL_PAGE, KERNEL_BASE + KERNEL_PADDR),
                     ELF_IMAGE_GOOD);
    assert_int_equal(with_number(XEN_ELFNOTE_HYPERCALL_PAGE, KERNEL_ENTRY), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_HYPERCALL_PAGE, end), ELF_IMAGE_NOT_PV);
}

/* A kernel at the bottom of the address space, as PV GRUB is, or anywhere in the lower half. */
static void test_low_addresses(void **state)
{
    static const struct {
        uint64_t base;
        enum elf_verdict verdict;
    } tries[] = {
        {0, ELF_IMAGE_GOOD},
        {0x40000000, ELF_IMAGE_GOOD},
        {0x7fff80000000, ELF_IMAGE_GOOD},
        {0x7fffc0000000, ELF_IMAGE_NOT_PV}, /* what follows the kernel would not fit */
        {0x800000000000, ELF_IMAGE_NOT_PV},
        {0x1000, ELF_IMAGE_NOT_PV},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        struct notes n = {.size = 0};
        struct bytes b;

        notes_usual(&n);
        notes_add_number(&n, XEN_ELFNOTE_VIRT_BASE, tries[i].base);
        notes_add_number(&n, XEN_ELFNOTE_ENTRY, tries[i].base + KERNEL_PADDR);
        b = make_elf(&n);
        assert_int_equal(verdict_of(b, NULL), tries[i].verdict);
        free(b.at);
    }
}

static void test_p2m_address(void **state)
{
    (void)state;
    assert_int_equal(with_number(XEN_ELFNOTE_INIT_P2M, 2ull << 39), ELF_IMAGE_GOOD);
    assert_int_equal(with_number(XEN_ELFNOTE_INIT_P2M, 0xffff880000000000), ELF_IMAGE_GOOD);
    assert_int_equal(with_number(XEN_ELFNOTE_INIT_P2M, 0), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_INIT_P2M, 4096), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_INIT_P2M, 0x0000800000000000), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_INIT_P2M, 0xffff800000000000), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_number(XEN_ELFNOTE_INIT_P2M, 0xffffff8000000000), ELF_IMAGE_NOT_PV);
}

static void test_identity(void **state)
{
    (void)state;
    assert_int_equal(with_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.0"), ELF_IMAGE_GOOD);
    assert_int_equal(with_text(XEN_ELFNOTE_XEN_VERSION, "xen-2.0"), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.01"), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_text(XEN_ELFNOTE_LOADER, "other"), ELF_IMAGE_NOT_PV);
}

static void test_features(void **state)
{
    (void)state;
    assert_int_equal(with_text(XEN_ELFNOTE_FEATURES, ""), ELF_IMAGE_GOOD);
    assert_int_equal(with_text(XEN_ELFNOTE_FEATURES, "|||"), ELF_IMAGE_GOOD);
    assert_int_equal(with_text(XEN_ELFNOTE_FEATURES, "of_the_future"), ELF_IMAGE_GOOD);
    assert_int_equal(with_text(XEN_ELFNOTE_FEATURES, "!of_the_future"), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_text(XEN_ELFNOTE_FEATURES, "auto_translated_physmap"), ELF_IMAGE_GOOD);
    assert_int_equal(with_text(XEN_ELFNOTE_FEATURES, "!auto_translated_physmap"), ELF_IMAGE_NOT_PV);
    assert_int_equal(with_text(XEN_ELFNOTE_FEATURES, "dom0|!supervisor_mode_kernel"),
                     ELF_IMAGE_NOT_PV);
    assert_int_equal(with_text(XEN_ELFNOTE_FEATURES, "!dom0"), ELF_IMAGE_GOOD);
}

/* Debian's cloud kernel: everything, but not as domain 0. */
static void test_dom0_support(void **state)
{
    const uint64_t values[] = {1, 1 | 1u << XENFEAT_dom0};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct notes n = {.size = 0};
        struct elf_image image;
        struct bytes b;

        notes_usual(&n);
        notes_add_number(&n, XEN_ELFNOTE_SUPPORTED_FEATURES, values[i]);
        b = make_elf(&n);
        assert_int_equal(verdict_of(b, &image), ELF_IMAGE_GOOD);
        assert_int_equal(elf_image_may_be_dom0(&image), i);
        free(b.at);
    }
}

static void test_missing_notes(void **state)
{
    struct notes none = {.size = 0}, other = {.size = 0};
    struct bytes b = make_elf(&none);

    (void)state;
    assert_int_equal(verdict_of(b, NULL), ELF_IMAGE_NOT_PV);
    free(b.at);
    notes_usual(&other);
    for (size_t i = 0; i + 4 <= other.size; i += 4) /* the same, but of somebody else's */
        if (!memcmp(other.at + i, "Xen", 4))
            memcpy(other.at + i, "Zen", 4);
    b = make_elf(&other);
    assert_int_equal(verdict_of(b, NULL), ELF_IMAGE_NOT_PV);
    free(b.at);
}

/* The text of a note is for the log: nothing that is not printable gets there, nor more than fits.
 */
static void test_text_of_notes(void **state)
{
    struct notes n = {.size = 0};
    struct elf_image image;
    struct bytes b;

    (void)state;
    notes_usual(&n);
    notes_add_text(&n, XEN_ELFNOTE_GUEST_OS, "a\033[2Jb");
    notes_add(&n, XEN_ELFNOTE_GUEST_VERSION, "0123456789012345678901234567890123456789", 40);
    b = make_elf(&n);
    assert_int_equal(verdict_of(b, &image), ELF_IMAGE_GOOD);
    assert_string_equal(image.guest_os, "a?[2Jb");
    assert_string_equal(image.guest_version, "0123456789012345678901234567890");
    free(b.at);
}

static void set_note_sizes(struct bytes b, uint32_t name, uint32_t desc)
{
    memcpy(b.at + 0x1000 + KERNEL_TEXT, &name, 4);
    memcpy(b.at + 0x1000 + KERNEL_TEXT + 4, &desc, 4);
}

static void test_damaged_notes(void **state)
{
    static const uint32_t sizes[] = {0xffffffff, 0xfffffffc, 0x80000000, 0x7fffffff, 1024, 500};
    struct notes n = {.size = 0};
    struct bytes b;

    (void)state;
    notes_usual(&n);
    b = make_elf(&n);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        set_note_sizes(b, sizes[i], 6);
        assert_int_equal(verdict_of(b, NULL), ELF_IMAGE_CORRUPT);
        set_note_sizes(b, 4, sizes[i]);
        assert_int_equal(verdict_of(b, NULL), ELF_IMAGE_CORRUPT);
    }
    free(b.at);
    notes_add(&n, XEN_ELFNOTE_ENTRY, "\1\2\3", 3);
    b = make_elf(&n);
    assert_int_equal(verdict_of(b, NULL), ELF_IMAGE_CORRUPT);
    free(b.at);
}

/* ---- headers ---- */

static struct bytes usual_elf(void)
{
    struct notes n = {.size = 0};

    notes_usual(&n);
    return make_elf(&n);
}

#define AFTER(verdict, change)                                                                     \
    do {                                                                                           \
        struct bytes b_ = usual_elf();                                                             \
        Elf64_Ehdr *h = (Elf64_Ehdr *)b_.at;                                                       \
        Elf64_Phdr *p = (Elf64_Phdr *)(b_.at + sizeof(*h));                                        \
        (void)h;                                                                                   \
        (void)p;                                                                                   \
        change;                                                                                    \
        assert_int_equal(verdict_of(b_, NULL), verdict);                                           \
        free(b_.at);                                                                               \
    } while (0)

static void test_headers(void **state)
{
    (void)state;
    AFTER(ELF_IMAGE_GOOD, );
    AFTER(ELF_IMAGE_CORRUPT, h->e_ident[EI_CLASS] = ELFCLASS32);
    AFTER(ELF_IMAGE_CORRUPT, h->e_ident[EI_DATA] = ELFDATA2MSB);
    AFTER(ELF_IMAGE_CORRUPT, h->e_machine = EM_386);
    AFTER(ELF_IMAGE_CORRUPT, h->e_type = ET_REL);
    AFTER(ELF_IMAGE_CORRUPT, h->e_phnum = 0);
    AFTER(ELF_IMAGE_CORRUPT, h->e_phnum = 0xffff);
    AFTER(ELF_IMAGE_CORRUPT, h->e_phentsize = 55);
    AFTER(ELF_IMAGE_CORRUPT, h->e_phoff = ~0ull);
    AFTER(ELF_IMAGE_CORRUPT, h->e_phoff = b_.size - 64);
    AFTER(ELF_IMAGE_CORRUPT, p[0].p_type = PT_NULL);
}

static void test_segments(void **state)
{
    (void)state;
    AFTER(ELF_IMAGE_CORRUPT, p[0].p_offset = ~0ull);
    AFTER(ELF_IMAGE_CORRUPT, p[0].p_offset = b_.size);
    AFTER(ELF_IMAGE_CORRUPT, p[0].p_filesz = p[0].p_memsz = b_.size);
    AFTER(ELF_IMAGE_CORRUPT, p[0].p_memsz = p[0].p_filesz - 1);
    AFTER(ELF_IMAGE_CORRUPT, p[0].p_memsz = 2ull << 30);
    AFTER(ELF_IMAGE_CORRUPT, p[0].p_memsz = ~0ull);
    AFTER(ELF_IMAGE_CORRUPT, p[0].p_paddr = ~0ull - 0x1000);
    AFTER(ELF_IMAGE_CORRUPT, p[0].p_paddr = (1ull << 30) - KERNEL_SIZE + 1);
    AFTER(ELF_IMAGE_CORRUPT, p[1].p_offset = ~0ull - 10);
    AFTER(ELF_IMAGE_CORRUPT, p[1].p_filesz = 1 << 20);
    AFTER(ELF_IMAGE_NOT_PV, p[1].p_type = PT_NULL);
}

static void test_paddr_offset(void **state)
{
    struct notes n = {.size = 0};
    struct elf_image image;
    struct bytes b;

    (void)state;
    notes_usual(&n);
    notes_add_number(&n, XEN_ELFNOTE_PADDR_OFFSET, 0x800000);
    notes_add_number(&n, XEN_ELFNOTE_ENTRY, KERNEL_ENTRY - 0x800000);
    b = make_elf(&n);
    assert_int_equal(verdict_of(b, &image), ELF_IMAGE_GOOD);
    assert_int_equal(image.paddr_start, KERNEL_PADDR - 0x800000);
    free(b.at);
    assert_int_equal(with_number(XEN_ELFNOTE_PADDR_OFFSET, KERNEL_PADDR + 1), ELF_IMAGE_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),     cmocka_unit_test(test_p2m_address),
        cmocka_unit_test(test_low_addresses), cmocka_unit_test(test_identity),
        cmocka_unit_test(test_features),      cmocka_unit_test(test_dom0_support),
        cmocka_unit_test(test_missing_notes), cmocka_unit_test(test_text_of_notes),
        cmocka_unit_test(test_damaged_notes), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_segments),      cmocka_unit_test(test_paddr_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
