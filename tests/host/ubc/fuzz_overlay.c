/* SPDX-License-Identifier: MIT */
/* Any bytes as an overlay, with a header whose sum is right: it is refused, or what it says can be used. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "overlay.h"

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
    if (overlay_look(fd, &o, why) == 0 && o.map_pages > 1024) {
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
    }
    close(fd);
    close(live);
    return 0;
}
