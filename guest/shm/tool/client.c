/* SPDX-License-Identifier: MIT */
/*
 * get, copy, ls PATH: the clients of palshm serve. Files are written under a name of their own beside the one they are to have, and
 * get it when all of their data came and the hash agrees. Nothing is written outside of the directory named.
 */
#include "client.h"
#include "proto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PART ".palshm-part"

struct receiver {
    int top;          /* directory to write below, -1: to standard output */
    const char *name; /* the one file's name there; NULL: as the server says */
    int parent, fd;   /* of the file that is being written */
    char file[256];   /* its name in its directory */
    char path[PROTO_PATH];
    mode_t mode;
    time_t mtime;
    uint64_t bytes, files, skipped;
};

static ssize_t read_channel(void *from, void *to, size_t n)
{
    return palshm_read(from, to, n);
}

/* What a name says to a terminal is the server's word: only what can be seen is shown. */
static void put_path(FILE *to, const char *path)
{
    for (; *path; path++)
        fputc((unsigned char)*path < 32 || *path == 127 ? '?' : *path, to);
}

static void left_out(const char *path, const char *why)
{
    fputs("palshm: ", stderr);
    put_path(stderr, path);
    fprintf(stderr, ": %s\n", why);
}

static int open_parent(struct receiver *r, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    const char *slash = strrchr(path, '/');
    char parent[PROTO_PATH];

    snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    snprintf(r->file, sizeof(r->file), "%s", slash ? slash + 1 : path);
    return (int)syscall(SYS_openat2, r->top, parent, &how, sizeof(how));
}

static int begin_file(struct receiver *r, const char *path)
{
    char part[300];

    r->parent = open_parent(r, path);
    if (r->parent < 0)
        return -1;
    snprintf(part, sizeof(part), "%.200s" PART, r->file);
    unlinkat(r->parent, part, 0);
    r->fd = openat(r->parent, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return r->fd < 0 ? -1 : 0;
}

static int take_entry(void *to, const struct proto_entry *e, const char *path)
{
    struct receiver *r = to;

    if (e->error || e->kind == PROTO_OTHER) {
        left_out(path, e->error ? strerror((int)e->error) : "neither file nor directory, left out");
        r->skipped++;
        return 0;
    }
    if (e->kind == PROTO_DIRECTORY) {
        int parent = r->name ? -1 : open_parent(r, path), result;

        if (r->name || parent < 0)
            return errno = r->name ? EISDIR : errno, -1;
        result = mkdirat(parent, r->file, 0700 | (e->mode & 0777)) && errno != EEXIST ? -1 : 0;
        close(parent);
        return result;
    }
    if (r->name && r->files) { /* several where one was asked for: the server's directory */
        errno = EISDIR;
        return -1;
    }
    snprintf(r->path, sizeof(r->path), "%s", path);
    r->mode = e->mode & 0777;
    r->mtime = (time_t)e->mtime;
    return r->top < 0 ? 0 : begin_file(r, r->name ? r->name : path);
}

static int take_data(void *to, const void *bytes, size_t n)
{
    struct receiver *r = to;

    r->bytes += n;
    return write_all(r->top < 0 ? 1 : r->fd, bytes, n) ? 0 : -1;
}

static int end_file(struct receiver *r, bool good)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = r->mtime}};
    char part[300];
    int result = 0;

    snprintf(part, sizeof(part), "%.200s" PART, r->file);
    if (good && (fchmod(r->fd, r->mode) || futimens(r->fd, times)))
        result = -1;
    if (close(r->fd) || (good && !result && renameat(r->parent, part, r->parent, r->file)))
        result = -1;
    if (!good || result)
        unlinkat(r->parent, part, 0);
    close(r->parent);
    r->fd = r->parent = -1;
    return result;
}

static int take_end(void *to, bool good, int error)
{
    struct receiver *r = to;
    int result = r->top < 0 ? 0 : end_file(r, good);

    if (good) {
        r->files++;
        return result;
    }
    left_out(r->path, error ? strerror(error) : "its checksum does not agree");
    r->skipped++;
    return result;
}

static int ask(palshm_channel *c, int operation, const char *path)
{
    struct proto_request request = {.magic = PROTO_MAGIC, .operation = (uint16_t)operation};

    while (*path == '/')
        path++;
    request.path = (uint16_t)strlen(path);
    while (request.path && path[request.path - 1] == '/')
        request.path--;
    if (!proto_path_is_good(path, request.path, true)) {
        errno = EINVAL;
        return -1;
    }
    return palshm_write(c, &request, sizeof(request)) < 0 || palshm_write(c, path, request.path) < 0
               ? -1
               : 0;
}

/* A whole exchange. errno's words are the library's when the channel failed, else the server's or this kernel's. */
static int exchange(const struct options *o, int operation, const char *path,
                    const struct proto_sink *sink, bool rate, struct receiver *r)
{
    struct session s;
    int status = session_open(&s, o);
    palshm_link *k;
    palshm_channel *c;
    double began;

    if (status)
        return status;
    catch_revocation();
    k = palshm_connect(s.r, o->domain, o->service ? o->service : "files", o->size, o->wait_ms);
    if (!k) {
        status = complain(s.p, "no server");
        session_close(&s);
        return status;
    }
    c = palshm_channel_new(k);
    struct proto_source source = {read_channel, c};

    began = seconds_now();
    errno = 0;
    if (ask(c, operation, path) || proto_read_answer(&source, sink, operation == PROTO_GET)) {
        bool channel =
            errno == ECONNRESET || errno == ENODEV || errno == EPIPE || errno == ETIMEDOUT;

        status = complain(channel ? s.p : NULL, "%s from domain %u", path, palshm_link_peer(k));
    } else if (rate) {
        fprintf(stderr, "%llu files, ", (unsigned long long)r->files);
        say_rate("checksums agree", r->bytes, seconds_now() - began);
    }
    if (!status && r && r->skipped)
        status = 1;
    palshm_channel_close(c);
    session_close(&s);
    return status;
}

static int fetch(const struct options *o, const char *path, struct receiver *r)
{
    struct proto_sink sink = {take_entry, take_data, take_end, r};
    int status;

    r->fd = r->parent = -1;
    status = exchange(o, PROTO_GET, path, &sink, true, r);
    if (r->fd >= 0) /* broken off */
        (void)end_file(r, false);
    if (r->top >= 0)
        close(r->top);
    return status;
}

int verb_get(const struct options *o, int argc, char **argv)
{
    struct receiver r = {.top = -1};
    const char *base = strrchr(argv[0], '/'), *file = argc > 1 ? argv[1]
                                                      : base   ? base + 1
                                                               : argv[0];
    char parent[PROTO_PATH];
    const char *slash = strrchr(file, '/');

    if (strcmp(file, "-")) {
        snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - file) + 1 : 1,
                 slash ? file : ".");
        r.top = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r.name = slash ? slash + 1 : file;
        if (r.top < 0)
            return complain(NULL, "directory %s", parent);
        if (!proto_path_is_good(r.name, strlen(r.name), false)) {
            complain_text("\"%s\" is no name for a file", file);
            return EXIT_USAGE;
        }
    }
    return fetch(o, argv[0], &r);
}

int verb_copy(const struct options *o, int argc, char **argv)
{
    struct receiver r = {0};

    (void)argc;
    if (mkdir(argv[1], 0777) && errno != EEXIST)
        return complain(NULL, "directory %s", argv[1]);
    r.top = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r.top < 0)
        return complain(NULL, "directory %s", argv[1]);
    return fetch(o, argv[0], &r);
}

static int show_entry(void *to, const struct proto_entry *e, const char *path)
{
    static const char kinds[] = "?-d?";
    char when[32];
    time_t t = (time_t)e->mtime;
    struct tm tm;

    (void)to;
    if (e->error) {
        left_out(path, strerror((int)e->error));
        return 0;
    }
    if (!gmtime_r(&t, &tm) || !strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm))
        snprintf(when, sizeof(when), "?");
    printf("%c%03o %12llu %s ", kinds[e->kind], e->mode & 0777, (unsigned long long)e->size, when);
    put_path(stdout, path);
    putchar('\n');
    return 0;
}

int client_list(const struct options *o, const char *path)
{
    struct proto_sink sink = {.entry = show_entry};

    return exchange(o, PROTO_LIST, path, &sink, false, NULL);
}
