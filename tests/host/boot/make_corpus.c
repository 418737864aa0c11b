/* SPDX-License-Identifier: MIT */
/* Writes the fuzzer's first inputs to a directory: a sound kernel in each packing, and the plain
 * ELF file. */
#include <stdio.h>

#include "make_image.h"

static int write_input(const char *directory, const char *kind, int number, int first,
                       struct bytes b)
{
    char path[512];
    FILE *f;
    int ok;

    snprintf(path, sizeof(path), "%s/%s-%d", directory, kind, number);
    f = fopen(path, "wb");
    if (!f)
        return 0;
    ok = fputc(first, f) == first && fwrite(b.at, 1, b.size, f) == b.size;
    return fclose(f) == 0 && ok;
}

int main(int argc, char **argv)
{
    struct notes n = {.size = 0};
    struct bytes elf;
    int ok = argc == 2;

    for (int p = 0; ok && p < PACKINGS; p++) {
        struct bytes image = make_kernel((enum packing)p);

        ok = write_input(argv[1], "bzimage", p, 0, image);
        free(image.at);
    }
    notes_usual(&n);
    elf = make_elf(&n);
    ok = ok && write_input(argv[1], "elf", 0, 1, elf);
    free(elf.at);
    return !ok;
}
