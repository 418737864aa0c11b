/* SPDX-License-Identifier: MIT */
/*
 * make_corpus DIRECTORY: small sound images for the fuzzer to start from, behind the byte that chooses.
 * make_corpus DIRECTORY plain: as they are, and beside each what was saved (see read_image.py).
 */
#include "world.h"

/* For each frame 0, or 1 + its type; then its canonical content. */
static void write_memory(struct world *w, const char *path)
{
    struct image_source source = world_source(w);
    FILE *f = fopen(path, "w");
    struct pal_error e = {0};

    assert_non_null(f);
    for (uint32_t gfn = 0; gfn < w->frames; gfn++) {
        const uint8_t *page = w->memory + (size_t)gfn * WORLD_PAGE;
        struct image_page as = {gfn, w->type[gfn]};
        uint8_t out[WORLD_PAGE];
        bool there = w->bitmap[gfn / 8] >> gfn % 8 & 1;

        if (there && as.type != IMAGE_NORMAL)
            assert_int_equal(source.canonical(w, &as, page, out, &e), 0);
        fputc(there ? 1 + as.type : 0, f);
        assert_int_equal(fwrite(as.type != IMAGE_NORMAL ? out : page, WORLD_PAGE, 1, f), 1);
    }
    assert_int_equal(fclose(f), 0);
}

static void put_choice_before(const char *path, uint8_t choice)
{
    size_t size;
    uint8_t *data = read_file(path, &size);

    data = realloc(data, size + 1);
    memmove(data + 1, data, size);
    data[0] = choice;
    write_file(path, data, size + 1);
    free(data);
}

int main(int argc, char **argv)
{
    static const uint8_t how[] = {0x07, 0x01, 0x17, 0x0f, 0x00};

    for (unsigned i = 0; argc >= 2 && i < 9; i++) {
        struct image_writer_options options = {.mode = (enum image_mode)(i % 3), .workers = 1};
        struct world *w = world_new(i < 6 ? 64 : 700, i);
        char path[300];

        w->small = true;
        for (uint32_t gfn = 16; gfn < w->frames; gfn++) /* few pages with content */
            if (gfn % (w->frames / 8))
                memset(w->memory + (size_t)gfn * WORLD_PAGE, gfn % 3 ? 0 : 0xcc, WORLD_PAGE);
        snprintf(path, sizeof(path), "%s/image-%u", argv[1], i);
        world_save(w, path, &options);
        if (argc == 2) {
            put_choice_before(path, how[i % sizeof(how)]);
        } else {
            snprintf(path, sizeof(path), "%s/memory-%u", argv[1], i);
            write_memory(w, path);
        }
        world_free(w);
    }
    return argc < 2;
}
