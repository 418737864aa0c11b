/* SPDX-License-Identifier: MIT */
/* make_overlay FILE: overlays for a small disk, for the fuzzer to begin with: an empty one, FILE.moved whose map is behind the data, FILE.spare
 * with a second header at its end. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "overlay_format.h"

static char why[OVERLAY_WHY];

static int make(const char *name, uint64_t size)
{
    struct stat base = {.st_size = (off_t)size};

    unlink(name);
    return overlay_create(name, "/base", &base, 0, why) ? -1 : open(name, O_RDWR);
}

static bool move(int fd, struct overlay_header *h)
{
    h->version = OVERLAY_MOVED_VERSION;
    h->map_offset = overlay_data_end(h);
    return !overlay_replace_header(fd, h, overlay_length(h), why);
}

static bool add_spare(int fd, const struct overlay_header *h)
{
    return pwrite(fd, h, sizeof(*h), (off_t)overlay_length(h)) == sizeof(*h);
}

int main(int count, char **word)
{
    struct overlay_header h;
    bool is_spare, good;
    char name[200];
    int fd;

    if (count != 2)
        return 2;
    good = make(word[1], 5 * 4096 + 512) >= 0;
    for (unsigned i = 0; good && i < 2; i++) {
        snprintf(name, sizeof(name), "%s.%s", word[1], i ? "spare" : "moved");
        fd = make(name, 4096);
        good = fd >= 0 && !overlay_read_header(fd, &h, &is_spare, why) &&
               (i ? add_spare(fd, &h) : move(fd, &h));
    }
    if (!good)
        fprintf(stderr, "%s: %s\n", word[1], why);
    return !good;
}
