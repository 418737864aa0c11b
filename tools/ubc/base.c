/* SPDX-License-Identifier: MIT */
#include "base.h"

#include <errno.h>
#include <linux/fs.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"

/* A file's times advance in steps of some milliseconds. What was changed so lately could be changed once more without a
 * trace; it is not cached before it is older. */
#define SETTLED_SECONDS 2

static struct base *all;

static int identify(const struct base *b, struct base_identity *to)
{
    struct stat st;

    if (fstat(b->fd, &st))
        return -1;
    to->device = st.st_dev;
    to->inode = st.st_ino;
    to->generation = b->identity.generation;
    to->size = b->is_file ? (uint64_t)st.st_size : b->identity.size;
    to->changed_s = st.st_mtim.tv_sec;
    to->changed_ns = (uint32_t)st.st_mtim.tv_nsec;
    to->altered_s = st.st_ctim.tv_sec;
    to->altered_ns = (uint32_t)st.st_ctim.tv_nsec;
    return 0;
}

static bool is_settled(const struct base_identity *i)
{
    struct timespec now;
    int64_t age, other;

    clock_gettime(CLOCK_REALTIME, &now);
    age = (int64_t)now.tv_sec - i->changed_s;
    other = (int64_t)now.tv_sec - i->altered_s;
    /* A time to come is as good as one that is past: a change would set it to now. */
    return (age > SETTLED_SECONDS || age < -SETTLED_SECONDS) &&
           (other > SETTLED_SECONDS || other < -SETTLED_SECONDS);
}

struct base *base_get(int fd)
{
    struct stat st;
    struct base *b;
    long generation = 0;
    off_t end;

    if (fstat(fd, &st))
        return NULL;
    for (b = all; b; b = b->next) {
        if (b->identity.device == st.st_dev && b->identity.inode == st.st_ino) {
            close(fd);
            b->users++;
            return b;
        }
    }
    end = lseek(fd, 0, SEEK_END);
    b = end < 0 ? NULL : calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->fd = fd;
    b->users = 1;
    b->is_file = S_ISREG(st.st_mode);
    b->object = CACHE_NONE;
    if (b->is_file && !ioctl(fd, FS_IOC_GETVERSION, &generation))
        b->identity.generation = (uint64_t)generation & 0xffffffff;
    b->identity.size = (uint64_t)end;
    b->size = (uint64_t)end / 512 * 512;
    if (identify(b, &b->identity)) {
        free(b);
        return NULL;
    }
    b->next = all;
    all = b;
    return b;
}

void base_put(struct base *b)
{
    struct base **link = &all;

    if (--b->users)
        return;
    while (*link != b)
        link = &(*link)->next;
    *link = b->next;
    close(b->fd);
    free(b->readers);
    free(b);
}

bool base_add_reader(struct base *b, uint32_t domain)
{
    uint32_t *more = realloc(b->readers, (b->reader_count + 1) * sizeof(*more));

    if (!more)
        return false;
    b->readers = more;
    more[b->reader_count++] = domain;
    if (b->object != CACHE_NONE)
        cache_reader(b->object, domain, true);
    return true;
}

void base_drop_reader(struct base *b, uint32_t domain)
{
    bool dropped = false, more = false;

    for (unsigned i = 0; i < b->reader_count; i++) {
        if (b->readers[i] != domain)
            continue;
        if (dropped) {
            more = true;
        } else {
            b->readers[i--] = b->readers[--b->reader_count];
            dropped = true;
        }
    }
    if (dropped && !more && b->object != CACHE_NONE)
        cache_reader(b->object, domain, false);
}

static void enter(struct base *b)
{
    uint64_t name[2];

    crypto_generichash((unsigned char *)name, sizeof(name), (const unsigned char *)&b->identity,
                       sizeof(b->identity), NULL, 0);
    b->object = cache_object(name, (b->size + BASE_PAGE - 1) / BASE_PAGE);
    for (unsigned i = 0; b->object != CACHE_NONE && i < b->reader_count; i++)
        cache_reader(b->object, b->readers[i], true);
}

/* It is another content from now on; disks keep the size that they have. */
static void follow_change(struct base *b, const struct base_identity *now)
{
    if (!b->changed)
        fprintf(stderr,
                "pal-blkd: a base image (device %llx, inode %llu) was changed while in use\n",
                (unsigned long long)now->device, (unsigned long long)now->inode);
    b->changed = true;
    if (b->object != CACHE_NONE)
        cache_retire(b->object);
    b->object = CACHE_NONE;
    b->identity = *now;
}

uint32_t base_object(struct base *b)
{
    struct base_identity now;

    if (!b->is_file || !b->reader_count || identify(b, &now))
        return CACHE_NONE;
    if (memcmp(&now, &b->identity, sizeof(now))) {
        follow_change(b, &now);
        return CACHE_NONE;
    }
    if (b->object == CACHE_NONE && now.size >= b->size && is_settled(&now))
        enter(b);
    return b->object;
}

void base_cache_said(struct base *b, uint32_t object, int result)
{
    if (result == -ENOENT && b->object == object)
        b->object = CACHE_NONE;
}
