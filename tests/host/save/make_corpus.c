/* SPDX-License-Identifier: MIT */
/* make_corpus DIRECTORY: small sound images for the fuzzer to start from, behind the byte that chooses. */
#include "world.h"

int main(int argc, char **argv)
{
    static const uint8_t how[] = {0x07, 0x01, 0x17, 0x0f, 0x00};

    for (unsigned i = 0; argc == 2 && i < 9; i++) {
        struct image_writer_options options = {.mode = (enum image_mode)(i % 3), .workers = 1};
        struct world *w = world_new(i < 6 ? 64 : 300, i);
        char path[300];
        uint8_t *data;
        size_t size;

        w->small = true;
        for (uint32_t gfn = 16; gfn < w->frames; gfn++) /* few pages with content */
            if (gfn % 20)
                memset(w->memory + (size_t)gfn * WORLD_PAGE, gfn % 3 ? 0 : 0xcc, WORLD_PAGE);
        snprintf(path, sizeof(path), "%s/image-%u", argv[1], i);
        world_save(w, path, &options);
        data = read_file(path, &size);
        data = realloc(data, size + 1);
        memmove(data + 1, data, size);
        data[0] = how[i % sizeof(how)];
        write_file(path, data, size + 1);
        free(data);
        world_free(w);
    }
    return argc != 2;
}
