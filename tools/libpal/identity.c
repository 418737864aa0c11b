/* SPDX-License-Identifier: MIT */
#include "libpal/identity.h"

#include <linux/fs.h>
#include <sodium.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#define SETTLED_SECONDS 2

int identity_of(int fd, struct identity *i)
{
    struct stat st;
    long generation = 0;

    if (fstat(fd, &st))
        return -1;
    if (!S_ISREG(st.st_mode) || ioctl(fd, FS_IOC_GETVERSION, &generation))
        generation = 0;
    *i = (struct identity){
        .device = st.st_dev,
        .inode = st.st_ino,
        .generation = (uint64_t)generation & 0xffffffff,
        .size = (uint64_t)st.st_size,
        .changed_s = st.st_mtim.tv_sec,
        .changed_ns = (uint32_t)st.st_mtim.tv_nsec,
        .altered_s = st.st_ctim.tv_sec,
        .altered_ns = (uint32_t)st.st_ctim.tv_nsec,
    };
    return 0;
}

/* A time to come is as good as one that is past: a change would set it to now. */
static bool is_old(int64_t seconds)
{
    struct timespec now;
    int64_t age;

    clock_gettime(CLOCK_REALTIME, &now);
    age = (int64_t)now.tv_sec - seconds;
    return age > SETTLED_SECONDS || age < -SETTLED_SECONDS;
}

bool identity_is_settled(const struct identity *i)
{
    return is_old(i->changed_s) && is_old(i->altered_s);
}

void identity_name(const struct identity *i, uint64_t name[2])
{
    crypto_generichash((unsigned char *)name, 2 * sizeof(*name), (const unsigned char *)i,
                       sizeof(*i), NULL, 0);
}
