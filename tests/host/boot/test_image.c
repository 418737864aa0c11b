/* SPDX-License-Identifier: MIT */
/* Kernel files as a boot loader may hand them over: whole ones, cut ones, spoiled ones, and
 * Debian's own. */
#include "test.h"

#include "make_image.h"
#include "read_image.h"

#define MOST (1u << 20)

static void free_bytes(struct bytes b)
{
    free(b.at);
}

static enum read_result read_and_free(struct bytes b, const char **why)
{
    struct read_image r;
    enum read_result result = read_image(&r, b.at, b.size, MOST);

    if (why)
        *why = r.why;
    read_image_free(&r);
    free_bytes(b);
    return result;
}

/* ---- sound images ---- */

static void check_unpacked(const struct read_image *r)
{
    struct notes n = {.size = 0};
    struct bytes elf;

    notes_usual(&n);
    elf = make_elf(&n);
    assert_int_equal(r->payload.unpacked_size, elf.size);
    assert_memory_equal(r->unpacked, elf.at, elf.size);
    free_bytes(elf);
    assert_int_equal(r->elf.segments, 1);
    assert_int_equal(r->elf.paddr_start, KERNEL_PADDR);
    assert_int_equal(r->elf.paddr_end, KERNEL_PADDR + KERNEL_SIZE);
    assert_int_equal(r->elf.virt_base, KERNEL_BASE);
    assert_int_equal(r->elf.entry, KERNEL_ENTRY);
    assert_true(r->elf.mod_start_pfn);
    assert_true(r->elf.has_init_p2m);
    assert_int_equal(r->elf.init_p2m, 0x8000000000ull);
    assert_false(r->elf.has_hypercall_page);
    assert_string_equal(r->elf.guest_os, "linux");
}

static void test_every_packing(void **state)
{
    (void)state;
    for (enum packing p = 0; p < PACKINGS; p++) {
        struct bytes image = make_kernel(p);
        struct read_image r;

        assert_int_equal(read_image(&r, image.at, image.size, MOST), READ_GOOD);
        check_unpacked(&r);
        read_image_free(&r);
        free_bytes(image);
    }
}

static void test_without_bzimage(void **state)
{
    struct notes n = {.size = 0};
    struct bytes elf, gz, xz;

    (void)state;
    notes_usual(&n);
    elf = make_elf(&n);
    gz = pack(elf, PACK_GZIP);
    xz = pack(elf, PACK_XZ_CRC32);
    assert_int_equal(read_and_free(elf, NULL), READ_GOOD);
    assert_int_equal(read_and_free(gz, NULL), READ_GOOD);
    /* A bare XZ file does not say how large it is. */
    assert_int_equal(read_and_free(xz, NULL), READ_NOT_FOUND);
}

/* ---- cut and spoiled ones ---- */

/* Each copy has its own exact size, so that a read past its end is seen. */
static struct bytes copy_of(struct bytes b, size_t size)
{
    struct bytes c = {malloc(size ? size : 1), size};

    memcpy(c.at, b.at, size);
    return c;
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    for (enum packing p = 0; p < PACKINGS; p++) {
        struct bytes image = make_kernel(p);

        for (size_t size = 0; size < image.size; size += size < 0x260 ? 1 : 13) {
            const char *why = NULL;

            assert_int_not_equal(read_and_free(copy_of(image, size), &why), READ_GOOD);
            assert_non_null(why);
        }
        free_bytes(image);
    }
}

/* The header's lengths corrected, so that the decoder itself meets the end. */
static void test_stream_cut_anywhere(void **state)
{
    struct notes n = {.size = 0};
    struct bytes elf;

    (void)state;
    notes_usual(&n);
    elf = make_elf(&n);
    for (enum packing p = PACK_GZIP; p < PACKINGS; p++) {
        struct bytes packed = pack(elf, p);

        for (size_t size = 20; size < packed.size; size += 11) {
            struct bytes cut = {packed.at, size};
            struct bytes image = make_bzimage(cut, p, (uint32_t)elf.size);

            assert_int_equal(read_and_free(image, NULL), READ_NOT_UNPACKED);
        }
        free_bytes(packed);
    }
    free_bytes(elf);
}

/* Packed data have checksums over all that counts: a changed byte there never passes as another
 * kernel. LZ4's have none; there it only must not lead outside of the buffers. */
static void test_spoiled_anywhere(void **state)
{
    (void)state;
    for (enum packing p = PACK_GZIP; p < PACKINGS; p++) {
        struct bytes image = make_kernel(p);

        for (size_t at = 0; at < image.size; at += at < 0x260 ? 1 : 5) {
            struct bytes bad = copy_of(image, image.size);
            struct read_image r;

            bad.at[at] ^= (uint8_t)(1u << at % 8);
            if (read_image(&r, bad.at, bad.size, MOST) == READ_GOOD && p != PACK_LZ4)
                check_unpacked(&r); /* a byte of no meaning */
            read_image_free(&r);
            free_bytes(bad);
        }
        free_bytes(image);
    }
}

static struct bytes with_declared(enum packing p, int64_t change)
{
    struct notes n = {.size = 0};
    struct bytes elf, packed, image;

    notes_usual(&n);
    elf = make_elf(&n);
    packed = pack(elf, p);
    image = make_bzimage(packed, p, (uint32_t)((int64_t)elf.size + change));
    free_bytes(elf);
    free_bytes(packed);
    return image;
}

static void test_declared_size(void **state)
{
    const char *why;

    (void)state;
    for (enum packing p = PACK_GZIP; p < PACKINGS; p++) {
        assert_int_equal(read_and_free(with_declared(p, 0), NULL), READ_GOOD);
        assert_int_equal(read_and_free(with_declared(p, -1), NULL), READ_NOT_UNPACKED);
        assert_int_equal(read_and_free(with_declared(p, -1000), NULL), READ_NOT_UNPACKED);
        assert_int_equal(read_and_free(with_declared(p, 1), NULL), READ_NOT_UNPACKED);
        assert_int_equal(read_and_free(with_declared(p, 600 << 20), &why), READ_NOT_FOUND);
        assert_non_null(strstr(why, "512 MiB"));
    }
}

/* Zeroes pack a thousandfold: the cap is on what comes out. */
static void test_bomb(void **state)
{
    struct bytes zeroes = {calloc(1, 64 << 20), 64 << 20};
    static const enum packing with_room[] = {PACK_GZIP, PACK_ZSTD};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct bytes packed, image;
        const char *why;

        zeroes.size =
            i == 0 ? 800 << 10 : 64 << 20; /* make_image.c packs gzip to its size + 1 KiB */
        packed = pack(zeroes, with_room[i]);
        image = make_bzimage(packed, with_room[i], 4096);
        free_bytes(packed);
        assert_int_equal(read_and_free(image, &why), READ_NOT_UNPACKED);
        assert_non_null(strstr(why, "more than it declares"));
    }
    free_bytes(zeroes);
}

/* The sizes of LZ4's blocks are the file's own word. */
static void test_lz4_blocks(void **state)
{
    static const uint32_t sizes[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 9 << 20};
    struct notes n = {.size = 0};
    struct bytes elf, good;

    (void)state;
    notes_usual(&n);
    elf = make_elf(&n);
    good = pack(elf, PACK_LZ4);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bytes bad = copy_of(good, good.size);

        memcpy(bad.at + 4, &sizes[i], 4);
        assert_int_equal(read_and_free(make_bzimage(bad, PACK_LZ4, (uint32_t)elf.size), NULL),
                         READ_NOT_UNPACKED);
        free_bytes(bad);
    }
    free_bytes(good);
    free_bytes(elf);
}

/* ---- Debian's kernels ---- */

static struct bytes load(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct bytes b = {malloc(64 << 20), 0};

    if (!f)
        fail_msg("%s is not there: tools/dom0-image/fetch.sh gets it", path);
    b.size = fread(b.at, 1, 64 << 20, f);
    fclose(f);
    return b;
}

static void check_debian(const char *path, enum kernel_packing packing)
{
    struct bytes image = load(path);
    struct read_image r;

    assert_int_equal(read_image(&r, image.at, image.size, KERNEL_IMAGE_UNPACKED_MAX), READ_GOOD);
    assert_int_equal(r.payload.packing, packing);
    assert_int_equal(r.elf.segments, 4);
    assert_int_equal(r.elf.virt_base, KERNEL_BASE);
    assert_int_equal(r.elf.paddr_start, 0x1000000);
    assert_int_equal(r.elf.init_p2m, 0x8000000000ull);
    assert_true(r.elf.has_init_p2m && r.elf.mod_start_pfn && r.elf.suspend_cancel);
    assert_string_equal(r.elf.guest_os, "linux");
    read_image_free(&r);

    image.at[image.size / 2] ^= 0x10;
    assert_int_equal(read_image(&r, image.at, image.size, KERNEL_IMAGE_UNPACKED_MAX),
                     READ_NOT_UNPACKED);
    read_image_free(&r);
    free_bytes(image);
}

static void test_debian_6_1(void **state)
{
    (void)state;
    check_debian(PAL_CACHE "/linux-6.1/vmlinuz", KERNEL_XZ);
}

static void test_debian_6_12(void **state)
{
    (void)state;
    check_debian(PAL_CACHE "/linux-6.12/vmlinuz", KERNEL_ZSTD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_packing),
        cmocka_unit_test(test_without_bzimage),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_stream_cut_anywhere),
        cmocka_unit_test(test_spoiled_anywhere),
        cmocka_unit_test(test_declared_size),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_lz4_blocks),
        cmocka_unit_test(test_debian_6_1),
        cmocka_unit_test(test_debian_6_12),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
