/* SPDX-License-Identifier: MIT */
/* Any bytes as an overlay, with a header whose sum is right, or one that was to take its place: it is refused, or what it says can be used,
 * looked through and changed. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "overlay.h"

/* As pal disk does. */
static void change(int fd, bool grow)
{
    static const struct stat base = {.st_size = 4096};
    char why[OVERLAY_WHY] = "";
    struct overlay_survey s;
    struct overlay o;

    if (overlay_open_apart(fd, "/nowhere", OVERLAY_EXCLUSIVE, &o, why))
        abort(); /* it could be opened a moment ago */
    if (overlay_save(&o, why) || overlay_survey(&o, &s, NULL, NULL, why) || s.filled > s.own)
        abort();
    why[0] = 0;
    if (!grow) {
        if (overlay_rebase(&o, "/base", &base, why) ? !why[0] : !overlay_fits(&o, &base))
            abort();
    } else if (o.size <= 1 << 28) {
        uint64_t size = o.size / 512 * 512 + (1 << 27);

        if (overlay_grow(&o, size, why) || o.size != size || overlay_used(&o) != s.own)
            abort();
    }
    overlay_leave(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("overlay", 0), live = memfd_create("live", 0);
    char why[OVERLAY_WHY] = "";
    struct overlay o;
    uint32_t sum = (uint32_t)crc32(0, data, size < 4092 ? (unsigned)size : 4092);

    if (write(fd, data, size) < 0 || (size > 4096 && pwrite(fd, &sum, 4, 4092) != 4))
        abort();
    /* A large file of holes costs nothing. */
    if (size > 4096 && data[4096] & 1 && ftruncate(fd, 1 << 22))
        abort();
    if (size >= 16384 && size % 4096 == 0) { /* its last page as the spare of a damaged header */
        sum = (uint32_t)crc32(0, data + size - 4096, 4092);
        if (pwrite(fd, &sum, 4, (off_t)size - 4) != 4 ||
            (data[size - 1] & 1 && pwrite(fd, "damage", 6, 3000) != 6))
            abort();
    }
    if (overlay_look(fd, &o, why) == 0 && (o.map_pages > 1024 || o.map_offset > 1ull << 32)) {
        close(fd); /* a map of more than 4 MiB is only slow */
        close(live);
        return 0;
    }
    if (overlay_open(fd, size & 1 ? live : -1, &o, why)) {
        if (!why[0])
            abort();
    } else {
        uint64_t last = (o.size - 1) / OVERLAY_CLUSTER;

        if (overlay_used(&o) > last + 1)
            abort();
        overlay_mark(&o, last, 1);
        if (!overlay_has(&o, last))
            abort();
        overlay_close(&o, true);
        change(fd, size & 2);
    }
    close(fd);
    close(live);
    return 0;
}
