/* SPDX-License-Identifier: MIT */
/*
 * Uses a region as any program of a stock kernel can, by /dev/xen/gntdev and /dev/xen/privcmd alone.
 *
 *   share SLOT PAGES rw|ro fill|check|hold|cycle|time [N]
 *   share make NAME PAGES | allow SLOT DOMAIN 0|1|2 | destroy SLOT      as a guest, by our own hypercall
 *
 * Prints one line beginning with SHARE-; 0 when it is good.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <xen/xen.h>

#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>

#include "abi/pal.h"

#define PAGE     4096u
#define AT_ONCE  65536u /* the module's usual limit */
#define FIRST_OF 0x9e3779b97f4a7c15ull

static sigjmp_buf out;

static void on_bus(int signal)
{
    (void)signal;
    siglongjmp(out, 1);
}

static int fail(const char *what)
{
    printf("SHARE-FAILED %s: %s\n", what, strerror(errno));
    return 1;
}

/* ---- our own hypercall ---- */

static long pal_op(unsigned cmd, const void *arg, size_t size)
{
    void *page =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    struct privcmd_hypercall call = {.op = __HYPERVISOR_pal_op, .arg = {cmd, (uintptr_t)page}};
    long rc;

    if (page == MAP_FAILED || fd < 0)
        return fail("privcmd"), -1000;
    memcpy(page, arg, size);
    rc = ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call);
    if (rc < 0)
        rc = -errno;
    close(fd);
    munmap(page, PAGE);
    return rc;
}

static int control(char **word)
{
    long rc;

    if (!strcmp(word[1], "make")) {
        struct pal_region_create c = {.pages = strtoull(word[3], NULL, 0)};

        strncpy(c.name, word[2], sizeof(c.name) - 1);
        rc = pal_op(PALOP_region_create, &c, sizeof(c));
    } else if (!strcmp(word[1], "allow")) {
        struct pal_region_allow a = {.slot = (uint32_t)strtoul(word[2], NULL, 0),
                                     .domain = (uint32_t)strtoul(word[3], NULL, 0),
                                     .access = (uint32_t)strtoul(word[4], NULL, 0)};
        rc = pal_op(PALOP_region_allow, &a, sizeof(a));
    } else {
        struct pal_region_destroy d = {.slot = (uint32_t)strtoul(word[2], NULL, 0)};

        rc = pal_op(PALOP_region_destroy, &d, sizeof(d));
    }
    printf("SHARE-CALL %ld\n", rc);
    return rc < 0;
}

/* ---- mapping ---- */

struct mapped {
    int fd;
    uint32_t pages;
    char *at;
};

static int map_some(struct mapped *m, unsigned slot, uint32_t first, uint32_t count, int protection)
{
    size_t size =
        sizeof(struct ioctl_gntdev_map_grant_ref) + count * sizeof(struct ioctl_gntdev_grant_ref);
    struct ioctl_gntdev_map_grant_ref *op = calloc(1, size);
    int rc;

    op->count = count;
    for (uint32_t i = 0; i < count; i++)
        op->refs[i] =
            (struct ioctl_gntdev_grant_ref){PAL_DOMID_REGION, PAL_REGION_REF(slot, first + i)};
    rc = ioctl(m->fd, IOCTL_GNTDEV_MAP_GRANT_REF, op);
    if (!rc && mmap(m->at + (size_t)first * PAGE, (size_t)count * PAGE, protection,
                    MAP_SHARED | MAP_FIXED, m->fd, (off_t)op->index) == MAP_FAILED)
        rc = -1;
    free(op);
    return rc;
}

static int map(struct mapped *m, unsigned slot, uint32_t pages, int protection)
{
    m->pages = pages;
    m->fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
    m->at = mmap(NULL, (size_t)pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m->fd < 0 || m->at == MAP_FAILED)
        return -1;
    for (uint32_t first = 0; first < pages; first += AT_ONCE) {
        uint32_t count = pages - first < AT_ONCE ? pages - first : AT_ONCE;

        if (map_some(m, slot, first, count, protection))
            return -1;
    }
    return 0;
}

static void unmap(struct mapped *m)
{
    munmap(m->at, (size_t)m->pages * PAGE);
    close(m->fd);
}

/* ---- what is done with it ---- */

static volatile uint64_t *word_of(const struct mapped *m, uint32_t page)
{
    return (volatile uint64_t *)(m->at + (size_t)page * PAGE + page % 512 * 8);
}

static int fill(struct mapped *m, uint64_t seed)
{
    for (uint32_t page = 0; page < m->pages; page++)
        *word_of(m, page) = (seed + page) * FIRST_OF;
    return 0;
}

static int check(struct mapped *m, uint64_t seed)
{
    for (uint32_t page = 0; page < m->pages; page++) {
        uint64_t want = seed ? (seed + page) * FIRST_OF : 0;

        if (*word_of(m, page) != want) {
            printf("SHARE-BAD page %u: %lx\n", page, (unsigned long)*word_of(m, page));
            return 1;
        }
    }
    return 0;
}

/* Touches all of it again and again until it is taken away. */
static int hold(struct mapped *m)
{
    volatile uint64_t sum = 0;

    printf("SHARE-HOLDS\n");
    fflush(stdout);
    for (uint32_t page = 0;; page = (page + 1) % m->pages)
        sum += *word_of(m, page);
    return sum != 0;
}

static int act(struct mapped *m, const char *what, uint64_t n)
{
    volatile int rc = 1;

    signal(SIGBUS, on_bus);
    if (sigsetjmp(out, 1)) {
        printf("SHARE-LOST\n");
        unmap(m);
        return 3;
    }
    if (!strcmp(what, "fill"))
        rc = fill(m, n);
    else if (!strcmp(what, "check"))
        rc = check(m, n);
    else if (!strcmp(what, "hold"))
        rc = hold(m);
    else if (!strcmp(what, "cycle") || !strcmp(what, "time"))
        rc = 0;
    unmap(m);
    if (!rc)
        printf("SHARE-GOOD %s\n", what);
    return rc;
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **word)
{
    struct mapped m;
    unsigned slot;
    uint64_t pages, n, start;
    bool writable;

    if (argc >= 3 &&
        (!strcmp(word[1], "make") || !strcmp(word[1], "allow") || !strcmp(word[1], "destroy")))
        return control(word);
    if (argc < 5)
        return 2;
    slot = (unsigned)strtoul(word[1], NULL, 0);
    pages = strtoull(word[2], NULL, 0);
    writable = !strcmp(word[3], "rw");
    n = argc > 5 ? strtoull(word[5], NULL, 0) : 1;
    for (uint64_t i = !strcmp(word[4], "cycle") ? n : 1; i > 1; i--) {
        if (map(&m, slot, (uint32_t)pages, PROT_READ | (writable ? PROT_WRITE : 0)))
            return fail("map");
        unmap(&m);
    }
    start = now();
    if (map(&m, slot, (uint32_t)pages, PROT_READ | (writable ? PROT_WRITE : 0)))
        return fail("map");
    if (!strcmp(word[4], "time")) {
        uint64_t mapped = now();

        unmap(&m);
        printf("SHARE-TIME map %lu unmap %lu\n", (mapped - start) / pages,
               (now() - mapped) / pages);
        return 0;
    }
    return act(&m, word[4], n);
}
