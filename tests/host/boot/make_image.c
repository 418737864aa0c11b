/* SPDX-License-Identifier: MIT */
#include "make_image.h"

#include <assert.h>
#include <elf.h>
#include <string.h>

#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <xen/elfnote.h>
#include <xen/features.h>

static struct bytes room(size_t size)
{
    struct bytes b = {calloc(1, size), size};

    assert(b.at);
    return b;
}

void notes_add(struct notes *n, uint32_t type, const void *desc, uint32_t size)
{
    uint32_t header[3] = {4, size, type};

    assert(n->size + 16 + size + 4 <= sizeof(n->at));
    memcpy(n->at + n->size, header, 12);
    memcpy(n->at + n->size + 12, "Xen", 4);
    memcpy(n->at + n->size + 16, desc, size);
    n->size += 16 + ((size + 3) & ~3u);
}

void notes_add_number(struct notes *n, uint32_t type, uint64_t value)
{
    notes_add(n, type, &value, 8);
}

void notes_add_text(struct notes *n, uint32_t type, const char *text)
{
    notes_add(n, type, text, (uint32_t)strlen(text) + 1);
}

void notes_usual(struct notes *n)
{
    uint32_t one = 1, supported = 1u << XENFEAT_writable_page_tables | 1u << XENFEAT_dom0;

    notes_add_text(n, XEN_ELFNOTE_GUEST_OS, "linux");
    notes_add_text(n, XEN_ELFNOTE_GUEST_VERSION, "2.6");
    notes_add_text(n, XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
    notes_add_text(n, XEN_ELFNOTE_LOADER, "generic");
    notes_add_number(n, XEN_ELFNOTE_VIRT_BASE, KERNEL_BASE);
    notes_add_number(n, XEN_ELFNOTE_ENTRY, KERNEL_ENTRY);
    notes_add_number(n, XEN_ELFNOTE_INIT_P2M, 0x8000000000ull);
    notes_add_text(n, XEN_ELFNOTE_FEATURES, "!writable_page_tables|pae_pgdir_above_4gb");
    notes_add(n, XEN_ELFNOTE_SUPPORTED_FEATURES, &supported, 4);
    notes_add(n, XEN_ELFNOTE_MOD_START_PFN, &one, 4);
    notes_add(n, XEN_ELFNOTE_SUSPEND_CANCEL, &one, 4);
}

struct bytes make_elf(const struct notes *n)
{
    size_t text_at = 0x1000, notes_at = text_at + KERNEL_TEXT;
    struct bytes b = room(notes_at + n->size);
    Elf64_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                    .e_type = ET_EXEC,
                    .e_machine = EM_X86_64,
                    .e_version = EV_CURRENT,
                    .e_phoff = sizeof(h),
                    .e_ehsize = sizeof(h),
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = 2};
    Elf64_Phdr p[2] = {{.p_type = PT_LOAD,
                        .p_offset = text_at,
                        .p_paddr = KERNEL_PADDR,
                        .p_filesz = KERNEL_TEXT,
                        .p_memsz = KERNEL_SIZE},
                       {.p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = n->size}};

    memcpy(b.at, &h, sizeof(h));
    memcpy(b.at + sizeof(h), p, sizeof(p));
    for (size_t i = 0; i < KERNEL_TEXT; i++)
        b.at[text_at + i] = (uint8_t)((i * i) >> 5 ^ i);
    memcpy(b.at + notes_at, n->at, n->size);
    return b;
}

static struct bytes pack_gzip(struct bytes elf)
{
    struct bytes b = room(elf.size + 1024);
    z_stream z = {
        .next_in = elf.at, .avail_in = (uInt)elf.size, .next_out = b.at, .avail_out = (uInt)b.size};

    assert(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    assert(deflate(&z, Z_FINISH) == Z_STREAM_END);
    b.size = z.total_out;
    deflateEnd(&z);
    return b;
}

/* As scripts/xz_wrap.sh of Linux packs: the x86 filter, then LZMA2. */
static struct bytes pack_xz(struct bytes elf, lzma_check check)
{
    struct bytes b = room(elf.size + 1024);
    size_t size = 0;
    lzma_options_lzma options;

    assert(!lzma_lzma_preset(&options, 6));
    lzma_filter filters[] = {
        {LZMA_FILTER_X86, NULL}, {LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, NULL}};
    assert(lzma_stream_buffer_encode(filters, check, NULL, elf.at, elf.size, b.at, &size, b.size) ==
           LZMA_OK);
    b.size = size;
    return b;
}

static struct bytes pack_zstd(struct bytes elf)
{
    struct bytes b = room(ZSTD_compressBound(elf.size));
    ZSTD_CCtx *c = ZSTD_createCCtx();

    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    b.size = ZSTD_compress2(c, b.at, b.size, elf.at, elf.size);
    assert(!ZSTD_isError(b.size));
    ZSTD_freeCCtx(c);
    return b;
}

/* As `lz4 -l`: the magic number, then blocks behind their sizes; two of them here. */
static struct bytes pack_lz4(struct bytes elf)
{
    struct bytes b = room(LZ4_compressBound((int)elf.size) + 64);
    size_t done = 0, half = elf.size / 2;

    memcpy(b.at, "\2\041L\030", 4);
    b.size = 4;
    for (unsigned i = 0; i < 2; i++) {
        size_t part = i ? elf.size - half : half;
        uint32_t size =
            (uint32_t)LZ4_compress_default((char *)elf.at + done, (char *)b.at + b.size + 4,
                                           (int)part, LZ4_compressBound((int)part));

        assert(size);
        memcpy(b.at + b.size, &size, 4);
        b.size += 4 + size;
        done += part;
    }
    return b;
}

struct bytes pack(struct bytes elf, enum packing packing)
{
    struct bytes b;

    switch (packing) {
    case PACK_GZIP:
        return pack_gzip(elf);
    case PACK_XZ_CRC32:
        return pack_xz(elf, LZMA_CHECK_CRC32);
    case PACK_XZ_CRC64:
        return pack_xz(elf, LZMA_CHECK_CRC64);
    case PACK_ZSTD:
        return pack_zstd(elf);
    case PACK_LZ4:
        return pack_lz4(elf);
    default:
        b = room(elf.size);
        memcpy(b.at, elf.at, elf.size);
        return b;
    }
}

struct bytes make_bzimage(struct bytes packed, enum packing packing, uint32_t unpacked_size)
{
    size_t payload_at = 3 * 512 + 0x30;
    size_t size = packed.size + (packing == PACK_GZIP ? 0 : 4);
    struct bytes b = room(payload_at + size);
    uint32_t offset = 0x30, length = (uint32_t)size;

    b.at[0x1f1] = 2;
    memcpy(b.at + 0x1fe, "\x55\xaa", 2);
    memcpy(b.at + 0x202, "HdrS\x0f\x02", 6);
    memcpy(b.at + 0x248, &offset, 4);
    memcpy(b.at + 0x24c, &length, 4);
    memcpy(b.at + payload_at, packed.at, packed.size);
    memcpy(b.at + payload_at + size - 4, &unpacked_size, 4);
    return b;
}

struct bytes make_kernel(enum packing packing)
{
    struct notes n = {.size = 0};
    struct bytes elf, packed, image;

    notes_usual(&n);
    elf = make_elf(&n);
    packed = pack(elf, packing);
    image = make_bzimage(packed, packing, (uint32_t)elf.size);
    free(elf.at);
    free(packed.at);
    return image;
}
