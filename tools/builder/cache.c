/* SPDX-License-Identifier: MIT */
/*
 * Unpacked kernels by content: the file's name is the BLAKE2b hash of the packed bytes, its size
 * the unpacked size. A file appears under its name only when it is complete. The directory belongs to
 * root alone, so that nobody else can put a kernel in another's place.
 */
#include "builder/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#define KEEP_MOST 8 /* kernels; the one used longest ago goes first */
#define NAME_SIZE (2 * crypto_generichash_BYTES + 1)

const char *pal_cache_directory(void)
{
    const char *directory = getenv("PAL_CACHE_DIR");

    return directory ? directory : "/var/cache/pal";
}

static int open_directory(bool make)
{
    const char *path = pal_cache_directory();
    struct stat st;
    int fd;

    if (make)
        mkdir(path, 0700);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &st) || st.st_uid != geteuid() || st.st_mode & 022)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Most of the time that making a domain of a known kernel takes is spent here: hence the fast hash. */
static bool name_of(const void *packed, size_t size, char name[NAME_SIZE])
{
    uint8_t hash[crypto_generichash_BYTES];

    if (sodium_init() < 0 || crypto_generichash(hash, sizeof(hash), packed, size, NULL, 0))
        return false;
    sodium_bin2hex(name, NAME_SIZE, hash, sizeof(hash));
    return true;
}

void *pal_cache_find(const void *packed, size_t packed_size, size_t unpacked_size)
{
    char name[NAME_SIZE];
    int directory = open_directory(false), fd = -1;
    void *at = MAP_FAILED;
    struct stat st;

    if (directory < 0)
        return NULL;
    if (name_of(packed, packed_size, name))
        fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    close(directory);
    if (fd < 0)
        return NULL;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size == unpacked_size)
        at = mmap(NULL, unpacked_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (at != MAP_FAILED)
        futimens(fd, NULL); /* used now */
    close(fd);
    return at == MAP_FAILED ? NULL : at;
}

/* Remove the oldest until few enough are left. */
static void prune(int directory)
{
    for (;;) {
        char oldest[256] = "";
        struct timespec when = {0};
        unsigned count = 0;
        DIR *list = fdopendir(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        struct stat st;

        if (!list)
            return;
        for (struct dirent *d; (d = readdir(list));) {
            if (fstatat(directory, d->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
                continue;
            count++;
            if (!oldest[0] || st.st_mtim.tv_sec < when.tv_sec ||
                (st.st_mtim.tv_sec == when.tv_sec && st.st_mtim.tv_nsec < when.tv_nsec)) {
                snprintf(oldest, sizeof(oldest), "%s", d->d_name);
                when = st.st_mtim;
            }
        }
        closedir(list);
        if (count <= KEEP_MOST || unlinkat(directory, oldest, 0))
            return;
    }
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);

        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

void pal_cache_keep(const void *packed, size_t packed_size, const void *data, size_t size)
{
    char name[NAME_SIZE], partial[32];
    int directory = open_directory(true), fd = -1;

    if (directory < 0)
        return;
    snprintf(partial, sizeof(partial), ".part-%ld", (long)getpid());
    if (name_of(packed, packed_size, name))
        fd = openat(directory, partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        bool whole = write_all(fd, data, size);

        if (close(fd) || !whole || renameat(directory, partial, directory, name))
            unlinkat(directory, partial, 0);
        prune(directory);
    }
    close(directory);
}
