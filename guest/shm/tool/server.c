/* SPDX-License-Identifier: MIT */
/*
 * palshm serve: files of one directory, to read, for many clients at once. Each client is served by a process of its own, so that one that
 * misbehaves, dies or has the region taken from it ends that process and nothing else. Paths are resolved by the kernel so that they
 * cannot leave the directory (openat2, RESOLVE_BENEATH).
 */
#include "tool.h"
#include "proto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CLIENTS 128
#define DEPTH   64
#define PIECE   65536

struct server {
    palshm_channel *c;
    int top;
    bool data;
    uint64_t bytes;
};

static ssize_t read_channel(void *from, void *to, size_t n)
{
    return palshm_read(from, to, n);
}

/* Below `at`, whatever links say; never a device or pipe that would make us wait. */
static int open_beneath(int at, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, at, *path ? path : ".", &how, sizeof(how));
}

static int put(struct server *s, const void *from, size_t n)
{
    return palshm_write(s->c, from, n) < 0 ? -1 : 0;
}

static int put_entry(struct server *s, int kind, const struct stat *st, int error, const char *path)
{
    struct proto_entry e = {.magic = PROTO_MAGIC,
                            .kind = (uint16_t)kind,
                            .path = (uint16_t)strlen(path),
                            .error = (uint32_t)error};

    if (st) {
        e.mode = st->st_mode & 07777;
        e.size = (uint64_t)st->st_size;
        e.mtime = st->st_mtime;
    }
    return put(s, &e, sizeof(e)) || put(s, path, e.path) ? -1 : 0;
}

/* One chunk, straight into the ring where it has room in one piece. 1: more; 0: that was the end; -1: the channel's error. */
static int put_chunk(struct server *s, int fd, XXH3_state_t *hash, int *error)
{
    static char piece[PIECE + sizeof(uint32_t)];
    void *at;
    ssize_t room = palshm_write_begin(s->c, &at), got;
    bool direct = room >= PIECE;
    uint32_t length;
    char *to = direct ? at : piece;

    if (room < 0)
        return -1;
    if (!direct)
        room = PIECE + sizeof(length);
    else if (room > 4 * PIECE)
        room = 4 * PIECE;
    got = read(fd, to + sizeof(length), (size_t)room - sizeof(length));
    if (got < 0) {
        *error = errno;
        return 0;
    }
    if (got == 0)
        return 0;
    length = (uint32_t)got;
    memcpy(to, &length, sizeof(length));
    XXH3_64bits_update(hash, to + sizeof(length), (size_t)got);
    s->bytes += (uint64_t)got;
    if (direct)
        return palshm_write_end(s->c, sizeof(length) + (size_t)got) ? -1 : 1;
    return put(s, piece, sizeof(length) + (size_t)got) ? -1 : 1;
}

static int put_data(struct server *s, int fd)
{
    struct proto_tail tail = {0};
    const uint32_t end = 0;
    XXH3_state_t hash;
    int more, error = 0;

    XXH3_64bits_reset(&hash);
    while ((more = put_chunk(s, fd, &hash, &error)) > 0)
        ;
    tail.error = (uint32_t)error;
    tail.hash = XXH3_64bits_digest(&hash);
    return more < 0 || put(s, &end, sizeof(end)) || put(s, &tail, sizeof(tail)) ? -1 : 0;
}

static int put_directory(struct server *s, int fd, const char *path, int depth);

/* What is open there, under that name. Takes fd. */
static int put_open(struct server *s, int fd, const char *path, int depth)
{
    struct stat st;
    int result = 0;

    if (fstat(fd, &st)) {
        result = put_entry(s, PROTO_OTHER, NULL, errno, path);
    } else if (S_ISREG(st.st_mode)) {
        result = put_entry(s, PROTO_FILE, &st, 0, path);
        if (!result && s->data)
            result = put_data(s, fd);
    } else if (!S_ISDIR(st.st_mode)) {
        result = put_entry(s, PROTO_OTHER, &st, 0, path);
    } else {
        if (*path)
            result = put_entry(s, PROTO_DIRECTORY, &st, 0, path);
        if (!result && (!*path || s->data))
            return put_directory(s, fd, path, depth); /* takes fd */
    }
    close(fd);
    return result;
}

/* Takes fd. */
static int put_directory(struct server *s, int fd, const char *path, int depth)
{
    char below[PROTO_PATH];
    struct dirent *d;
    int result = 0;
    DIR *dir = depth < DEPTH ? fdopendir(fd) : NULL;

    if (!dir) {
        close(fd);
        return put_entry(s, PROTO_OTHER, NULL, depth < DEPTH ? errno : ELOOP, *path ? path : "?");
    }
    while (!result && (d = readdir(dir))) {
        int child;

        if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
            continue;
        if (snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", d->d_name) >=
            (int)sizeof(below))
            continue;
        /* A link that stands in a tree is followed only when it is asked for by its own name. */
        child = openat(dirfd(dir), d->d_name,
                       O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
        result = child < 0 ? put_entry(s, PROTO_OTHER, NULL, errno, below)
                           : put_open(s, child, below, depth + 1);
    }
    closedir(dir);
    return result;
}

static int answer(struct server *s, const struct proto_request *r, const char *path)
{
    const char *name = strrchr(path, '/');
    int fd = open_beneath(s->top, path), result = 0, error = fd < 0 ? errno : 0;
    struct stat st;

    s->data = r->operation == PROTO_GET;
    name = name ? name + 1 : path;
    if (fd >= 0) {
        bool directory = !fstat(fd, &st) && S_ISDIR(st.st_mode);

        result = put_open(s, fd, directory ? "" : name, 0);
    }
    return result ? result : put_entry(s, PROTO_END, NULL, error, "");
}

/* One client, in a process of its own: the exit code. */
static int serve_client(const struct options *o, const char *region, const struct palshm_call *call,
                        int top)
{
    struct options own = *o;
    struct server s = {.top = top};
    struct proto_request request;
    char path[PROTO_PATH];
    struct session session;
    palshm_link *k;
    int got;

    own.region = region;
    if (session_open(&session, &own))
        return 1;
    catch_revocation();
    k = palshm_accept(session.r, call);
    if (!k)
        return complain(session.p, "client in domain %u", call->domain);
    s.c = palshm_channel_new(k);
    struct proto_source source = {read_channel, s.c};

    while ((got = proto_read_request(&source, &request, path)) > 0) {
        double began = seconds_now();

        s.bytes = 0;
        if (answer(&s, &request, path)) {
            got = -1;
            break;
        }
        if (o->verbose) {
            fprintf(stderr, "domain %u %s /%s, ", call->domain,
                    request.operation == PROTO_GET ? "got" : "listed", path);
            say_rate("sent", s.bytes, seconds_now() - began);
        }
    }
    if (got < 0 && o->verbose)
        complain(errno == EPROTO ? NULL : session.p, "client in domain %u", call->domain);
    palshm_channel_close(s.c);
    session_close(&session);
    return got < 0;
}

struct client {
    pid_t pid;
    struct palshm_call call;
};
static struct client clients[CLIENTS];

static void reap(palshm_listener *l)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (int i = 0; i < CLIENTS; i++)
            if (clients[i].pid == pid) {
                palshm_listener_free(l, &clients[i].call);
                clients[i].pid = 0;
            }
}

static void take_call(const struct options *o, struct session *s, palshm_listener *l,
                      const struct palshm_call *call, int top)
{
    struct client *c = clients;
    sigset_t none;

    while (c < clients + CLIENTS && c->pid)
        c++;
    if (c == clients + CLIENTS) {
        palshm_listener_free(l, call);
        return;
    }
    c->call = *call;
    fflush(NULL);
    c->pid = fork();
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        _exit(serve_client(o, palshm_region_info(s->r)->name, call, top));
    }
    if (c->pid < 0) {
        c->pid = 0;
        palshm_listener_free(l, call);
    }
}

/* Until a signal or the region's end. */
static int loop(const struct options *o, struct session *s, palshm_listener *l, int top)
{
    sigset_t set;
    int signals, status = 0;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    for (;;) {
        struct pollfd fds[2] = {{.fd = palshm_fd(s->p), .events = POLLIN},
                                {.fd = signals, .events = POLLIN}};
        struct signalfd_siginfo info;
        struct palshm_call call;
        int got;

        while ((got = palshm_listener_next(l, &call, 0)) > 0)
            take_call(o, s, l, &call, top);
        if (got < 0) {
            status = complain(s->p, "serving");
            break;
        }
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            status = complain(NULL, "serving");
            break;
        }
        while (read(signals, &info, sizeof(info)) == sizeof(info))
            if (info.ssi_signo != SIGCHLD) {
                close(signals);
                return 0;
            }
        reap(l);
    }
    close(signals);
    return status;
}

static void end_clients(palshm_listener *l)
{
    for (int i = 0; i < CLIENTS; i++)
        if (clients[i].pid) {
            kill(clients[i].pid, SIGTERM);
            waitpid(clients[i].pid, NULL, 0);
            palshm_listener_free(l, &clients[i].call);
        }
}

int verb_serve(const struct options *o, int argc, char **argv)
{
    int top = open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC), status;
    palshm_listener *l;
    struct session s;

    (void)argc;
    if (top < 0)
        return complain(NULL, "directory %s", argv[0]);
    if ((status = session_open(&s, o)))
        return status;
    l = palshm_listen(s.r, o->service ? o->service : "files", 0, 0, false);
    if (!l) {
        status = complain(s.p, "cannot serve");
        session_close(&s);
        return status;
    }
    fprintf(stderr, "serving %s in region %s\n", argv[0], palshm_region_info(s.r)->name);
    status = loop(o, &s, l, top);
    end_clients(l);
    palshm_listener_close(l);
    session_close(&s);
    close(top);
    return status;
}
