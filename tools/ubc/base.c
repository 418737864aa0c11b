/* SPDX-License-Identifier: MIT */
#include "base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache.h"

static struct base *all;

/* Of a block device the size is what it was found to be. */
static int identify(const struct base *b, struct identity *to)
{
    if (identity_of(b->fd, to))
        return -1;
    if (!b->is_file)
        to->size = b->identity.size;
    return 0;
}

struct base *base_get(int fd)
{
    struct stat st;
    struct base *b;
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

    identity_name(&b->identity, name);
    b->object = cache_object(name, (b->size + BASE_PAGE - 1) / BASE_PAGE);
    for (unsigned i = 0; b->object != CACHE_NONE && i < b->reader_count; i++)
        cache_reader(b->object, b->readers[i], true);
}

/* It is another content from now on; disks keep the size that they have. */
static void follow_change(struct base *b, const struct identity *now)
{
    if (!b->changes++)
        fprintf(stderr,
                "pal-blkd: a base image (device %llx, inode %llu) was changed while in use\n",
                (unsigned long long)now->device, (unsigned long long)now->inode);
    if (b->object != CACHE_NONE)
        cache_retire(b->object);
    b->object = CACHE_NONE;
    b->identity = *now;
}

uint32_t base_object(struct base *b)
{
    struct identity now;

    if (!b->is_file || !b->reader_count || identify(b, &now))
        return CACHE_NONE;
    if (memcmp(&now, &b->identity, sizeof(now))) {
        follow_change(b, &now);
        return CACHE_NONE;
    }
    if (b->object == CACHE_NONE && now.size >= b->size && identity_is_settled(&now))
        enter(b);
    return b->object;
}

void base_cache_said(struct base *b, uint32_t object, int result)
{
    if (result == -ENOENT && b->object == object)
        b->object = CACHE_NONE;
}
