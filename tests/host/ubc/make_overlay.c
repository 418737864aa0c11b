/* SPDX-License-Identifier: MIT */
/* make_overlay FILE: an empty overlay for a small disk, for the fuzzer to begin with. */
#include <stdio.h>
#include <unistd.h>

#include "overlay.h"

int main(int count, char **word)
{
    struct stat base = {.st_size = 5 * 4096 + 512};
    char why[OVERLAY_WHY];

    if (count != 2)
        return 2;
    unlink(word[1]);
    if (!overlay_create(word[1], "/base", &base, 0, why))
        return 0;
    fprintf(stderr, "%s: %s\n", word[1], why);
    return 1;
}
