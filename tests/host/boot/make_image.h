/* SPDX-License-Identifier: MIT */
/* Small kernels made for the tests: an ELF file with Xen notes, packed as a kernel's build would.
 */
#ifndef TESTS_BOOT_MAKE_IMAGE_H
#define TESTS_BOOT_MAKE_IMAGE_H

#include <stdint.h>
#include <stdlib.h>

struct bytes {
    uint8_t *at;
    size_t size;
};

enum packing { PACK_PLAIN, PACK_GZIP, PACK_XZ_CRC32, PACK_XZ_CRC64, PACK_ZSTD, PACK_LZ4, PACKINGS };

#define KERNEL_BASE  0xffffffff80000000ull
#define KERNEL_PADDR 0x1000000ull
#define KERNEL_TEXT  0x3000ull /* bytes in the file */
#define KERNEL_SIZE  0x5000ull /* bytes in memory */
#define KERNEL_ENTRY (KERNEL_BASE + KERNEL_PADDR + 0x40)

/* Appends notes; the tests write their own sets. */
struct notes {
    uint8_t at[1024];
    size_t size;
};
void notes_add(struct notes *n, uint32_t type, const void *desc, uint32_t size);
void notes_add_number(struct notes *n, uint32_t type, uint64_t value);
void notes_add_text(struct notes *n, uint32_t type, const char *text);
/* Those that Debian's kernels have. */
void notes_usual(struct notes *n);

struct bytes make_elf(const struct notes *n);
struct bytes pack(struct bytes elf, enum packing packing);
/* packed, as a bzImage that declares unpacked_size (appended unless gzip has it). */
struct bytes make_bzimage(struct bytes packed, enum packing packing, uint32_t unpacked_size);
/* All of it at once, with the usual notes. */
struct bytes make_kernel(enum packing packing);

#endif
