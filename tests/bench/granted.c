/* SPDX-License-Identifier: MIT */
/*
 * Maps many pages through /dev/xen/gntdev in a stock guest, and prints what a page took: a region's, if the guest is on the
 * list of one; otherwise its own, granted to itself through /dev/xen/gntalloc, which is as far as grants go.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/xen.h>

#include <xen/sys/gntalloc.h>
#include <xen/sys/gntdev.h>

#include "abi/pal.h"
#include "program.h"

#define PAGE    4096u
#define SOME    8192u
#define MANY    65536u /* 256 MiB: as many as the module takes at once */
#define REPEATS 3

static uint32_t refs[MANY], domain;

/* Map the first `count`, touch them if told, unmap them: nanoseconds for that, without the making of what they are mapped
 * over. 0: refused. */
static uint64_t map_and_unmap(uint32_t count)
{
    struct ioctl_gntdev_map_grant_ref *op =
        calloc(1, sizeof(*op) + count * sizeof(struct ioctl_gntdev_grant_ref));
    int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
    uint64_t start, took = 0;
    char *at;

    op->count = count;
    for (uint32_t i = 0; i < count; i++)
        op->refs[i] = (struct ioctl_gntdev_grant_ref){domain, refs[i]};
    if (fd >= 0 && !ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, op)) {
        start = now_ns();
        at = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                  (off_t)op->index);
        if (at != MAP_FAILED) {
            *(volatile char *)at = 1;
            munmap(at, (size_t)count * PAGE);
            took = now_ns() - start;
        }
    }
    close(fd);
    free(op);
    return took;
}

static int find_region(void)
{
    domain = PAL_DOMID_REGION;
    for (uint32_t slot = 0; slot < PAL_REGION_SLOTS; slot++) {
        refs[0] = PAL_REGION_REF(slot, 0);
        if (!map_and_unmap(1))
            continue;
        for (uint32_t i = 0; i < MANY; i++)
            refs[i] = PAL_REGION_REF(slot, i);
        return 1;
    }
    return 0;
}

static int grant_one(int fd, uint16_t to, uint32_t *ref)
{
    struct ioctl_gntalloc_alloc_gref a = {.domid = to, .flags = GNTALLOC_FLAG_WRITABLE, .count = 1};

    if (ioctl(fd, IOCTL_GNTALLOC_ALLOC_GREF, &a))
        return -1;
    *ref = a.gref_ids[0];
    return 0;
}

/* Our own number is the one whose grant to itself can be mapped. */
static int grant_to_ourselves(void)
{
    int fd = open("/dev/xen/gntalloc", O_RDWR | O_CLOEXEC);

    for (domain = 1; domain < 200; domain++) {
        if (grant_one(fd, (uint16_t)domain, &refs[0]))
            return 0;
        if (map_and_unmap(1))
            break;
    }
    for (uint32_t i = 1; i < SOME; i++)
        if (grant_one(fd, (uint16_t)domain, &refs[i]))
            return 0;
    return 1;
}

static void measure(const char *row, uint32_t count)
{
    uint64_t best = ~0ull;

    for (int i = 0; i < REPEATS; i++) {
        uint64_t took = map_and_unmap(count);

        if (took && took < best)
            best = took;
    }
    printf(best == ~0ull ? "BENCH-FAILED %s\n" : "BENCH %s %lu\n", row,
           (unsigned long)(best / count));
}

int main(void)
{
    int region = find_region();

    if (!region && !grant_to_ourselves()) {
        printf("BENCH-FAILED nothing to map\n");
        return 1;
    }
    measure("region_gntdev", SOME);
    if (region)
        measure("region_gntdev_many", MANY);
    return 0;
}
