/* SPDX-License-Identifier: MIT */
#include "opener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <xenstore.h>

#include "overlay.h"

#define PROBE 512u

/* ---- the wire: one datagram each way ---- */

static bool send_answer(int socket, const struct opener_answer *a, const int files[OPENER_FILES])
{
    union {
        char room[CMSG_SPACE(sizeof(int) * OPENER_FILES)];
        struct cmsghdr align;
    } control = {0};
    struct iovec data = {(void *)a, sizeof(*a)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    int list[OPENER_FILES];
    unsigned count = 0;

    for (unsigned i = 0; i < OPENER_FILES; i++) {
        if (a->has >> i & 1)
            list[count++] = files[i];
    }
    if (count) {
        struct cmsghdr *head = &control.align;

        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(head), list, sizeof(int) * count);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) == sizeof(*a);
}

bool opener_ask(int socket, const struct opener_question *q)
{
    return send(socket, q, sizeof(*q), MSG_NOSIGNAL) == sizeof(*q);
}

bool opener_hear(int socket, struct opener_answer *a, int files[OPENER_FILES])
{
    union {
        char room[CMSG_SPACE(sizeof(int) * OPENER_FILES)];
        struct cmsghdr align;
    } control = {0};
    struct iovec data = {a, sizeof(*a)};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    int list[OPENER_FILES];
    unsigned got = 0, next = 0;
    struct cmsghdr *head;

    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != sizeof(*a))
        return false;
    head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_RIGHTS) {
        got = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(list, CMSG_DATA(head), got * sizeof(int));
    }
    for (unsigned i = 0; i < OPENER_FILES; i++)
        files[i] = a->has >> i & 1 && next < got ? list[next++] : -1;
    return true;
}

/* ---- opening ---- */

static int refuse(struct opener_answer *a, int error, const char *why, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(struct opener_answer *a, int error, const char *why, ...)
{
    va_list list;

    va_start(list, why);
    vsnprintf(a->why, sizeof(a->why), why, list);
    va_end(list);
    a->error = error;
    return -1;
}

static char *read_node(struct xs_handle *xs, const struct opener_question *q, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), OPENER_BACKEND "/%u/%u/%s", q->domain, q->number, name);
    return xs_read(xs, XBT_NULL, path, NULL);
}

/* Direct transfers, where the file system has them for single sectors. */
static bool is_direct(int fd)
{
    void *sector = aligned_alloc(4096, 4096);
    bool good = sector && pread(fd, sector, PROBE, 0) >= 0;

    free(sector);
    return good;
}

/* Is it what the disk was checked as? Somebody may have put another file there since. */
static bool is_same(int fd, const char *identity)
{
    unsigned long long device, inode;
    struct stat st;

    return identity && sscanf(identity, "%llx:%llx", &device, &inode) == 2 && !fstat(fd, &st) &&
           (S_ISBLK(st.st_mode) ? device == st.st_rdev && inode == 0
                                : device == st.st_dev && inode == st.st_ino);
}

static int open_image(struct opener_answer *a, const char *path, bool write, const char *identity)
{
    int flags = (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
    int fd = open(path, flags | O_DIRECT);

    if (fd >= 0 && !is_direct(fd)) {
        close(fd);
        fd = -1;
        errno = EINVAL;
    }
    if (fd < 0 && errno == EINVAL)
        fd = open(path, flags);
    if (fd < 0)
        return refuse(a, errno, "%s: %s", path, strerror(errno));
    /* That was for opening, should it be a pipe. With it the kernel would refuse a transfer that it cannot begin at once. */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    if (!is_same(fd, identity)) {
        close(fd);
        return refuse(a, ESTALE, "%s is another file than a moment ago", path);
    }
    /* Transfers of a server that was killed may still be on their way: the lock goes with the last of them. */
    if (flock(fd, (write ? LOCK_EX : LOCK_SH) | LOCK_NB)) {
        close(fd);
        return refuse(a, EAGAIN, "%s is in use", path);
    }
    return fd;
}

static int open_live(struct opener_answer *a, const char *path, const struct overlay *o)
{
    int fd = overlay_live(o, OPENER_RUN, O_RDWR | O_CREAT);

    if (fd < 0)
        return refuse(a, errno, "the live map of %s: %s", path, strerror(errno));
    /* Otherwise a copy would begin with the map of the one that it was made of, and the other way round. Who has it may also be a server
     * that is just ending. */
    if (!flock(fd, LOCK_EX | LOCK_NB))
        return fd;
    close(fd);
    return refuse(a, EBUSY, "%s is a copy of an overlay in use; make it another: `pal disk rebase`",
                  path);
}

/* Its live map belongs to it on return; all that is read and written for that is done here. */
static int begin_use(struct opener_answer *a, const char *path, const int files[OPENER_FILES])
{
    char why[OVERLAY_WHY];
    struct overlay o;

    if (overlay_open(files[OPENER_OWN], files[OPENER_LIVE], &o, why))
        return refuse(a, EINVAL, "the overlay %s: %s", path, why);
    overlay_tell(&o, &a->overlay);
    overlay_close(&o, false);
    return 0;
}

/* The base's nodes; the overlay is open. */
static int open_lower(struct xs_handle *xs, const struct opener_question *q, const char *path,
                      struct opener_answer *a, int files[OPENER_FILES])
{
    char *base = read_node(xs, q, "base"), *identity = read_node(xs, q, "base-identity");
    char why[OVERLAY_WHY];
    struct overlay o;
    struct stat st;
    int rc = -1;

    if (overlay_look(files[OPENER_OWN], &o, why)) {
        refuse(a, EINVAL, "%s: %s", path, why);
    } else if (!base) {
        refuse(a, EINVAL, "%s: its base is not named", path);
    } else {
        files[OPENER_BASE] = open_image(a, base, false, identity);
        if (files[OPENER_BASE] >= 0 && !fstat(files[OPENER_BASE], &st) && S_ISREG(st.st_mode) &&
            !overlay_fits(&o, &st))
            refuse(a, ESTALE, "%s was changed after %s was made over it; see `pal disk rebase`",
                   base, path);
        else if (files[OPENER_BASE] >= 0)
            files[OPENER_LIVE] = open_live(a, path, &o);
        rc = files[OPENER_LIVE] >= 0 ? begin_use(a, path, files) : -1;
    }
    free(base);
    free(identity);
    return rc;
}

static bool node_is(struct xs_handle *xs, const struct opener_question *q, const char *name,
                    const char *value)
{
    char *text = read_node(xs, q, name);
    bool same = text && !strcmp(text, value);

    free(text);
    return same;
}

static void open_device(struct xs_handle *xs, const struct opener_question *q,
                        struct opener_answer *a, int files[OPENER_FILES])
{
    char *path = read_node(xs, q, "params"), *identity = read_node(xs, q, "identity");
    bool overlay = node_is(xs, q, "format", "cow");
    int first;

    a->read_only = !node_is(xs, q, "mode", "w");
    a->cached = !node_is(xs, q, "cache", "none");
    a->write_through = node_is(xs, q, "cache", "writethrough");
    if (!path) {
        refuse(a, EBUSY, "the store does not say what the disk is"); /* it may be on its way out */
    } else {
        /* An overlay keeps its book even for a guest that only reads. */
        first = overlay || !a->read_only ? OPENER_OWN : OPENER_BASE;
        files[first] = open_image(a, path, first == OPENER_OWN, identity);
        if (files[first] >= 0 && overlay)
            open_lower(xs, q, path, a, files);
    }
    free(path);
    free(identity);
}

bool opener_take(int socket, struct opener_question *q)
{
    return recv(socket, q, sizeof(*q), 0) == sizeof(*q);
}

bool opener_answer(int socket, const struct opener_question *q, struct xs_handle *xs)
{
    int files[OPENER_FILES] = {-1, -1, -1};
    struct opener_answer a = {.question = *q};
    bool good;

    if (xs)
        open_device(xs, q, &a, files);
    else
        refuse(&a, EAGAIN, "no process or no connection to the store to open it");
    for (unsigned i = 0; i < OPENER_FILES; i++)
        a.has |= a.error || files[i] < 0 ? 0u : 1u << i;
    good = send_answer(socket, &a, files);
    for (unsigned i = 0; i < OPENER_FILES; i++) {
        if (files[i] >= 0)
            close(files[i]);
    }
    return good;
}
