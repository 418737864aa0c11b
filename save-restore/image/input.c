/* SPDX-License-Identifier: MIT */
#include "image/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int input_open(struct input *in, const char *path, int fd, const char *name)
{
    struct stat st;
    off_t here;

    *in = (struct input){.fd = fd, .owned = path != NULL, .name = strdup(name)};
    if (!in->name)
        return -1;
    if (path)
        in->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0 || fstat(in->fd, &st))
        return -1;
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    here = lseek(in->fd, 0, SEEK_CUR);
    in->file = here >= 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
    in->base = in->file ? (uint64_t)here : 0;
    if (in->file)
        posix_fadvise(in->fd, here, 0, POSIX_FADV_SEQUENTIAL);
    return 0;
}

void input_close(struct input *in)
{
    if (in->owned && in->fd >= 0)
        close(in->fd);
    free(in->name);
    *in = (struct input){.fd = -1};
}

/* Until there is something to read, or an end, or no patience any more. */
static int wait_input(const struct input *in)
{
    for (;;) {
        struct pollfd p = {.fd = in->fd, .events = POLLIN};
        int ready = poll(&p, 1, 100);

        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return -1;
        if (in->patience && !in->patience(in->context)) {
            errno = ECANCELED;
            return -1;
        }
    }
}

static ssize_t read_once(const struct input *in, uint64_t offset, void *to, size_t size)
{
    if (in->file)
        return pread(in->fd, to, size, (off_t)(in->base + offset));
    return wait_input(in) ? -1 : read(in->fd, to, size);
}

ssize_t input_read_at(const struct input *in, uint64_t offset, void *to, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = read_once(in, offset + done, (char *)to + done, size - done);

        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

ssize_t input_read(struct input *in, void *to, size_t size)
{
    ssize_t got = input_read_at(in, in->offset, to, size);

    if (got > 0)
        in->offset += (uint64_t)got;
    return got;
}

int64_t input_length(const struct input *in)
{
    off_t end = in->file ? lseek(in->fd, 0, SEEK_END) : -1;

    return end < 0 || (uint64_t)end < in->base ? -1 : (int64_t)((uint64_t)end - in->base);
}
