/* SPDX-License-Identifier: MIT */
/*
 * Disks keep what is written to them. For each disk named by pal.disk=vda,sda (they are scratch!) a
 * pattern is written past the page cache, read back, and read back again through it; then a file
 * system lives there for a while.
 */
#include "check.h"
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <linux/fs.h>

enum { BLOCK = 1 << 17, BLOCKS = 192, WAIT_MS = 20000 };

static uint64_t *buffer;

static void fill(unsigned number)
{
    uint64_t seed = (uint64_t)number * 7919 + 1;

    for (size_t i = 0; i < BLOCK / 8; i++)
        buffer[i] = check_random(&seed);
}

static int holds(unsigned number)
{
    uint64_t seed = (uint64_t)number * 7919 + 1;

    for (size_t i = 0; i < BLOCK / 8; i++) {
        if (buffer[i] != check_random(&seed))
            return 0;
    }
    return 1;
}

/* Writes (or reads and compares) all blocks, in an order that jumps; the number of good ones. */
static int pass(const char *path, int flags)
{
    int writing = (flags & O_ACCMODE) == O_WRONLY, good = 0, fd = open(path, flags | O_CLOEXEC);

    for (unsigned i = 0; fd >= 0 && i < BLOCKS; i++) {
        unsigned number = i * 37 % BLOCKS;
        off_t at = (off_t)number * BLOCK;

        if (writing) {
            fill(number);
            good += pwrite(fd, buffer, BLOCK, at) == BLOCK;
        } else {
            memset(buffer, 0, BLOCK);
            good += pread(fd, buffer, BLOCK, at) == BLOCK && holds(number);
        }
    }
    if (fd >= 0 && (fsync(fd) || close(fd)))
        return -1;
    return good;
}

static int run(const char *command)
{
    int status = system(command);

    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A file system made, filled by several writers, unmounted, mounted again and compared. */
static void check_files(const char *name)
{
    char command[1000], part[64];

    snprintf(
        command, sizeof(command),
        "d=/dev/%s; mke2fs $d >/dev/null 2>&1 && mkdir -p /mnt/d && modprobe -q ext4; "
        "mount -t ext4 $d /mnt/d && cd /mnt/d || exit 1; "
        "for i in 1 2 3 4; do (dd if=/dev/urandom of=f$i bs=64k count=48 2>/dev/null; cp f$i g$i) "
        "& done; wait; "
        "md5sum f* >sums; sync; cd /; umount /mnt/d || exit 2; echo 3 >/proc/sys/vm/drop_caches; "
        "mount -t ext4 $d /mnt/d && cd /mnt/d && md5sum -c sums >/dev/null || exit 3; "
        "for i in 1 2 3 4; do cmp f$i g$i || exit 4; done; cd /; umount /mnt/d",
        name);
    snprintf(part, sizeof(part), "%s-files", name);
    check(part, run(command), "file system with four writers");
}

static void check_disk(const char *name)
{
    char path[64], part[64];
    struct stat status;
    int written, direct, cached, fd;

    snprintf(path, sizeof(path), "/dev/%s", name);
    for (int waited = 0; waited < WAIT_MS && stat(path, &status); waited += 50)
        usleep(50000);
    snprintf(part, sizeof(part), "%s-there", name);
    if (!check(part, stat(path, &status) == 0 && S_ISBLK(status.st_mode), "%s", path))
        return;
    written = pass(path, O_WRONLY | O_DIRECT);
    fd = open(path, O_RDONLY);
    ioctl(fd, BLKFLSBUF, 0);
    close(fd);
    direct = pass(path, O_RDONLY | O_DIRECT);
    cached = pass(path, O_RDONLY);
    snprintf(part, sizeof(part), "%s-blocks", name);
    check(part, written == BLOCKS && direct == BLOCKS && cached == BLOCKS,
          "%d written, %d and %d read back, of %d", written, direct, cached, BLOCKS);
    check_files(name);
}

int main(void)
{
    char names[256], *state;

    if (!check("named", check_option("pal.disk", names, sizeof(names)),
               "pal.disk= names the disks"))
        return check_status();
    buffer = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (char *name = strtok_r(names, ",", &state); name; name = strtok_r(NULL, ",", &state))
        check_disk(name);
    return check_status();
}
