/* SPDX-License-Identifier: MIT */
/*
 * A file is first one without any name (O_TMPFILE), so that not even a kill leaves something
 * behind; it is linked and then renamed over the target, which replaces an older file in one step. Where
 * the file system cannot do so, it begins under a temporary name beside the target. Until the directory
 * is synced an older file has a second, temporary name, by which it comes back if that fails.
 */
#include "image/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FLUSH_STEP (8u << 20)
#define ATTEMPTS   100
#define PIPE_ROOM  (1 << 20)

static const char *shown(const struct output *o)
{
    return o->path ? o->path : "the output";
}

static int fail(const struct output *o, const char *doing, struct pal_error *e)
{
    return pal_fail(e, PAL_SAVE_WRITE, "%s %s: %s (after %llu bytes)", doing, shown(o),
                    strerror(errno), (unsigned long long)o->offset);
}

/* The directory is opened once: what happens later happens there, whatever becomes of its path. */
static int open_directory(struct output *o, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = NULL;
    int error;

    o->path = strdup(path);
    if (slash)
        directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!o->path || (slash && !directory)) {
        free(directory);
        return -1;
    }
    o->name = slash ? o->path + (slash - path) + 1 : o->path;
    o->directory = open(directory ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    error = errno;
    free(directory);
    errno = error;
    return o->directory < 0 ? -1 : 0;
}

/* ".NAME.0123456789abcdef.part": a new one each time. */
static char *temporary_name(const struct output *o)
{
    uint64_t number = 0;
    char *text = NULL;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return NULL;
    if (asprintf(&text, ".%.200s.%016llx.part", o->name, (unsigned long long)number) < 0)
        return NULL;
    return text;
}

/* Do something with temporary names until one is not taken; that one is kept in *kept. */
static int with_new_name(struct output *o, char **kept,
                         int (*make)(struct output *o, const char *name))
{
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        char *name = temporary_name(o);
        int error;

        if (!name)
            return -1;
        if (make(o, name) == 0) {
            *kept = name;
            return 0;
        }
        error = errno;
        free(name);
        errno = error;
        if (error != EEXIST)
            return -1;
    }
    return -1;
}

static int open_named(struct output *o, const char *name)
{
    o->fd = openat(o->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return o->fd < 0 ? -1 : 0;
}

/* What stands under the name may be replaced only if it is an ordinary file. */
static int check_target(const struct output *o)
{
    struct stat st;

    if (!o->name[0]) {
        errno = EISDIR;
        return -1;
    }
    if (fstatat(o->directory, o->name, &st, 0) || S_ISREG(st.st_mode))
        return 0;
    errno = S_ISDIR(st.st_mode) ? EISDIR : EEXIST;
    return -1;
}

int output_create(struct output *o, const char *path, struct pal_error *e)
{
    *o = (struct output){.fd = -1, .directory = -1};
    if (open_directory(o, path) || check_target(o))
        return fail(o, "creating", e);
    o->fd = openat(o->directory, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (o->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL))
        with_new_name(o, &o->temporary, open_named);
    return o->fd < 0 ? fail(o, "creating", e) : 0;
}

/*
 * A pipe is opened a second time, since "do not block" would be seen by all who have the first opening. Where
 * that is not possible it is written to in pieces that do not block.
 */
static void open_pipe_again(struct output *o)
{
    char self[40];
    int fd;

    fcntl(o->fd, F_SETPIPE_SZ, PIPE_ROOM); /* fewer turns; it may be refused */
    snprintf(self, sizeof(self), "/proc/self/fd/%d", o->fd);
    fd = open(self, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    o->fd = fd;
    o->owned = true;
}

int output_stream(struct output *o, int fd, struct pal_error *e)
{
    struct stat st;

    *o = (struct output){.fd = fd, .directory = -1};
    if (fstat(fd, &st))
        return fail(o, "writing to", e);
    o->waits = S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode);
    if (S_ISFIFO(st.st_mode))
        open_pipe_again(o);
    return 0;
}

/* Wait until something can be written; a pipe then takes PIPE_BUF bytes without blocking. */
static int wait_room(struct output *o, struct pal_error *e)
{
    for (;;) {
        struct pollfd p = {.fd = o->fd, .events = POLLOUT};
        int ready = poll(&p, 1, 100);

        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return fail(o, "writing", e);
        if (o->patience && !o->patience(o->context))
            return pal_fail(e, PAL_SAVE_STOPPED, "stopped while waiting for the reader of %s",
                            shown(o));
    }
}

/* One write; SIGPIPE becomes an error of this call instead of the program's end. */
static ssize_t write_quietly(const struct output *o, const struct iovec *parts, unsigned count)
{
    struct timespec now = {0, 0};
    sigset_t pipe, old, pending;
    ssize_t done;
    int error;

    if (!o->waits)
        return writev(o->fd, parts, (int)(count < IOV_MAX ? count : IOV_MAX));
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &old);
    if (o->owned)
        done = writev(o->fd, parts, (int)(count < IOV_MAX ? count : IOV_MAX));
    else
        done = write(o->fd, parts->iov_base, parts->iov_len < PIPE_BUF ? parts->iov_len : PIPE_BUF);
    error = errno;
    if (done < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return done;
}

static unsigned advance(struct iovec **parts, unsigned count, size_t by)
{
    while (count > 0 && by >= (*parts)->iov_len) {
        by -= (*parts)->iov_len;
        ++*parts;
        count--;
    }
    if (count > 0) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + by;
        (*parts)->iov_len -= by;
    }
    return count;
}

/* Let the disk begin early, so that the sync at the end finds little to do. */
static void flush_early(struct output *o)
{
    if (!o->path || o->offset - o->flushed < FLUSH_STEP)
        return;
    sync_file_range(o->fd, (off_t)o->flushed, (off_t)(o->offset - o->flushed),
                    SYNC_FILE_RANGE_WRITE);
    o->flushed = o->offset;
}

int output_write(struct output *o, struct iovec *parts, unsigned count, struct pal_error *e)
{
    count = advance(&parts, count, 0);
    while (count > 0) {
        ssize_t done;

        if (o->waits && wait_room(o, e))
            return -1;
        done = write_quietly(o, parts, count);
        if (done < 0 && (errno == EINTR || (errno == EAGAIN && o->waits)))
            continue;
        if (done == 0)
            errno = ENOSPC;
        if (done <= 0)
            return fail(o, "writing", e);
        o->offset += (uint64_t)done;
        count = advance(&parts, count, (size_t)done);
    }
    flush_early(o);
    return 0;
}

int output_sync(struct output *o, struct pal_error *e)
{
    return o->path && fsync(o->fd) ? fail(o, "syncing", e) : 0;
}

static int link_named(struct output *o, const char *name)
{
    char self[40];

    snprintf(self, sizeof(self), "/proc/self/fd/%d", o->fd);
    return linkat(AT_FDCWD, self, o->directory, name, AT_SYMLINK_FOLLOW);
}

static int link_older(struct output *o, const char *name)
{
    return linkat(o->directory, o->name, o->directory, name, 0);
}

/* A power cut might undo it: better now than unnoticed. */
static void take_back(struct output *o, const char *older)
{
    if (older)
        renameat(o->directory, older, o->directory, o->name);
    else
        unlinkat(o->directory, o->name, 0);
    fsync(o->directory);
}

/* older: the older file's second name; NULL if there is no older file, or no second name can be had here. */
static int rename_it(struct output *o, const char *older, struct pal_error *e)
{
    if (renameat(o->directory, o->temporary, o->directory, o->name))
        return fail(o, "naming", e);
    free(o->temporary);
    o->temporary = NULL;
    if (fsync(o->directory) == 0 || errno == EINVAL) /* there are file systems without */
        return 0;
    fail(o, "syncing the directory of", e);
    take_back(o, older);
    return -1;
}

int output_publish(struct output *o, struct pal_error *e)
{
    char *older = NULL;
    int rc;

    if (!o->path)
        return 0;
    if (!o->temporary && with_new_name(o, &o->temporary, link_named))
        return fail(o, "naming", e);
    with_new_name(o, &older, link_older);
    rc = rename_it(o, older, e);
    if (older)
        unlinkat(o->directory, older, 0); /* gone already, if it came back */
    free(older);
    return rc;
}

void output_close(struct output *o)
{
    if (o->temporary)
        unlinkat(o->directory, o->temporary, 0);
    if ((o->path || o->owned) && o->fd >= 0)
        close(o->fd);
    if (o->directory >= 0)
        close(o->directory);
    free(o->temporary);
    free(o->path);
    *o = (struct output){.fd = -1, .directory = -1};
}
