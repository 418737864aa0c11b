/* SPDX-License-Identifier: MIT */
/*
 * What a disk must hold, sector by sector. Each sector says which step of a run wrote it (0: the base image), and its
 * bytes follow from seed, sector and step; the steps of a run follow from its seed. So whoever comes later, after a
 * power cut too, knows what may be there.
 *
 *   blkcheck make FILE SECTORS SEED          a base image
 *   blkcheck read DEVICE SEED                all of it is the base
 *   blkcheck churn DEVICE SEED STEPS         write, read back, flush; says "FLUSHED n" when all up to step n is durable
 *   blkcheck verify DEVICE SEED FLUSHED STEPS  after an end at any moment: what was flushed is there, the rest is old or new
 *   blkcheck error DEVICE read|write SECTOR COUNT   it fails, and with EIO
 *   blkcheck sync DEVICE SECTOR              write it as step 1 would and make it durable; says "sync done", or what failed
 *   blkcheck zero DEVICE SECTOR COUNT        the kernel is asked to zero these sectors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <unistd.h>

#define SECTOR 512u
#define MOST   256u /* sectors of one transfer */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static void fill(uint64_t *to, uint64_t seed, uint64_t sector, uint64_t step)
{
    uint64_t state = mix(seed * 0x9e3779b97f4a7c15ull + sector) ^ mix(step + 1);

    to[0] = sector;
    to[1] = step;
    for (unsigned i = 2; i < SECTOR / 8; i++)
        to[i] = state = mix(state + i);
}

static bool is(const uint64_t *what, uint64_t seed, uint64_t sector, uint64_t step)
{
    uint64_t want[SECTOR / 8];

    fill(want, seed, sector, step);
    return !memcmp(what, want, SECTOR);
}

struct step {
    uint64_t first;
    unsigned count;
    bool flush;
};

/* The base's seed is that of all; each run's is its own. */
static struct step step_of(uint64_t seed, uint64_t number, uint64_t sectors)
{
    uint64_t a = mix(seed * 977 + number * 2), b = mix(seed * 977 + number * 2 + 1);
    struct step s = {.first = a % sectors, .count = 1 + (unsigned)(b % MOST)};

    if (b >> 40 & 1) { /* as file systems do it: whole blocks */
        s.first -= s.first % 8;
        s.count = (s.count + 7) / 8 * 8;
    } else {
        s.count = 1 + s.count % 20;
    }
    if (s.count > sectors - s.first)
        s.count = (unsigned)(sectors - s.first);
    s.flush = number % 7 == 0;
    return s;
}

static void die(const char *what)
{
    printf("DISK bad: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_device(const char *path, int flags, uint64_t *sectors)
{
    int fd = open(path, flags | O_DIRECT);
    off_t end;

    if (fd < 0)
        fd = open(path, flags);
    end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (end < 0)
        die(path);
    *sectors = (uint64_t)end / SECTOR;
    return fd;
}

static uint64_t *buffer(void)
{
    void *b = NULL;

    if (posix_memalign(&b, 4096, MOST * SECTOR))
        die("memory");
    return b;
}

static void transfer(int fd, bool write, uint64_t first, unsigned count, uint64_t *data)
{
    ssize_t bytes = (ssize_t)count * SECTOR;
    ssize_t got = write ? pwrite(fd, data, (size_t)bytes, (off_t)(first * SECTOR))
                        : pread(fd, data, (size_t)bytes, (off_t)(first * SECTOR));

    if (got != bytes)
        die(write ? "write" : "read");
}

static int make(const char *path, uint64_t sectors, uint64_t seed)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    uint64_t *data = buffer();

    if (fd < 0)
        die(path);
    for (uint64_t s = 0; s < sectors; s++) {
        fill(data, seed, s, 0);
        transfer(fd, true, s, 1, data);
    }
    return 0;
}

static int read_all(const char *path, uint64_t seed)
{
    uint64_t sectors, *data = buffer();
    int fd = open_device(path, O_RDONLY, &sectors);

    for (uint64_t s = 0; s < sectors; s += MOST) {
        unsigned count = sectors - s < MOST ? (unsigned)(sectors - s) : MOST;

        transfer(fd, false, s, count, data);
        for (unsigned i = 0; i < count; i++) {
            if (!is(data + i * SECTOR / 8, seed, s + i, 0)) {
                printf("DISK bad: sector %llu is not the base's\n", (unsigned long long)(s + i));
                return 1;
            }
        }
    }
    printf("DISK read ok %llu\n", (unsigned long long)sectors);
    return 0;
}

static int churn(const char *path, uint64_t seed, uint64_t steps)
{
    uint64_t sectors, *data = buffer(), base = seed % 1000;
    int fd = open_device(path, O_RDWR, &sectors);
    uint64_t *last = calloc(sectors, sizeof(*last));

    if (!last)
        die("memory");
    for (uint64_t n = 1; n <= steps; n++) {
        struct step s = step_of(seed, n, sectors), look = step_of(seed + 17, n, sectors);

        for (unsigned i = 0; i < s.count; i++) {
            fill(data + i * SECTOR / 8, base, s.first + i, n);
            last[s.first + i] = n;
        }
        transfer(fd, true, s.first, s.count, data);
        if (s.flush) {
            if (fsync(fd))
                die("fsync");
            printf("FLUSHED %llu\n", (unsigned long long)n);
            fflush(stdout);
        }
        if (n % 3 == 0)
            look = step_of(seed, 1 + mix(n) % n, sectors);
        transfer(fd, false, look.first, look.count, data);
        for (unsigned i = 0; i < look.count; i++) {
            uint64_t at = look.first + i;

            if (!is(data + i * SECTOR / 8, base, at, last[at])) {
                printf("DISK bad: step %llu: sector %llu is of step %llu, not %llu\n",
                       (unsigned long long)n, (unsigned long long)at,
                       (unsigned long long)data[i * SECTOR / 8 + 1], (unsigned long long)last[at]);
                return 1;
            }
        }
    }
    if (fsync(fd))
        die("fsync");
    printf("DISK churn ok %llu\n", (unsigned long long)steps);
    return 0;
}

/* Did step n write this sector? */
static bool wrote(uint64_t seed, uint64_t n, uint64_t sectors, uint64_t sector)
{
    struct step s = step_of(seed, n, sectors);

    return sector >= s.first && sector < s.first + s.count;
}

static int verify(const char *path, uint64_t seed, uint64_t flushed, uint64_t steps)
{
    uint64_t sectors, *data = buffer(), base = seed % 1000;
    int fd = open_device(path, O_RDONLY, &sectors);
    uint64_t *least = calloc(sectors, sizeof(*least)), newer = 0;

    if (!least)
        die("memory");
    for (uint64_t n = 1; n <= flushed; n++) {
        struct step s = step_of(seed, n, sectors);

        for (unsigned i = 0; i < s.count; i++)
            least[s.first + i] = n;
    }
    for (uint64_t s = 0; s < sectors; s++) {
        uint64_t *at = data + s % MOST * SECTOR / 8, n;

        if (s % MOST == 0)
            transfer(fd, false, s, sectors - s < MOST ? (unsigned)(sectors - s) : MOST, data);
        n = at[1];
        newer += n > flushed;
        if (n < least[s] || n > steps || (n && !wrote(seed, n, sectors, s)) ||
            !is(at, base, s, n)) {
            printf("DISK bad: sector %llu is of step %llu, at least %llu was flushed\n",
                   (unsigned long long)s, (unsigned long long)n, (unsigned long long)least[s]);
            return 1;
        }
    }
    printf("DISK verify ok, %llu of later steps\n", (unsigned long long)newer);
    return 0;
}

static int expect_error(const char *path, bool write, uint64_t sector, unsigned count)
{
    uint64_t sectors, *data = buffer();
    int fd = open_device(path, write ? O_RDWR : O_RDONLY, &sectors);
    size_t bytes = count * SECTOR;
    ssize_t got = write ? pwrite(fd, data, bytes, (off_t)(sector * SECTOR))
                        : pread(fd, data, bytes, (off_t)(sector * SECTOR));

    printf("DISK %s: %s\n", got == (ssize_t)bytes ? "bad" : "error ok",
           got < 0 ? strerror(errno) : "done");
    return got == (ssize_t)bytes;
}

static int sync_one(const char *path, uint64_t sector)
{
    uint64_t sectors, *data = buffer();
    int fd = open_device(path, O_RDWR, &sectors);

    fill(data, 0, sector, 1);
    if (pwrite(fd, data, SECTOR, (off_t)(sector * SECTOR)) != SECTOR)
        printf("DISK sync no write: %s\n", strerror(errno));
    else if (fsync(fd))
        printf("DISK sync no flush: %s\n", strerror(errno));
    else
        printf("DISK sync done\n");
    return 0;
}

static int zero(const char *path, uint64_t sector, uint64_t count)
{
    uint64_t sectors, range[2] = {sector * SECTOR, count * SECTOR};
    int fd = open_device(path, O_RDWR, &sectors);

    if (ioctl(fd, BLKZEROOUT, range) || fsync(fd))
        die("zeroes");
    return 0;
}

int main(int count, char **word)
{
#define NUMBER(i) strtoull(word[i], NULL, 10)
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count == 5 && !strcmp(word[1], "make"))
        return make(word[2], NUMBER(3), NUMBER(4));
    if (count == 4 && !strcmp(word[1], "read"))
        return read_all(word[2], NUMBER(3));
    if (count == 5 && !strcmp(word[1], "churn"))
        return churn(word[2], NUMBER(3), NUMBER(4));
    if (count == 6 && !strcmp(word[1], "verify"))
        return verify(word[2], NUMBER(3), NUMBER(4), NUMBER(5));
    if (count == 6 && !strcmp(word[1], "error"))
        return expect_error(word[2], word[3][0] == 'w', NUMBER(4), (unsigned)NUMBER(5));
    if (count == 4 && !strcmp(word[1], "sync"))
        return sync_one(word[2], NUMBER(3));
    if (count == 5 && !strcmp(word[1], "zero"))
        return zero(word[2], NUMBER(3), NUMBER(4));
    return 2;
}
