/* SPDX-License-Identifier: MIT */
#include "engine/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/suspend.h"
#include "image/format.h"
#include "libpal/record.h"

#define WAIT_SECONDS 120 /* for a guest that has taken the request and is slow */
#define STEP_NS      20000000

/* What the guard is told. Nothing more comes: this process has ended. */
struct word {
    enum { WORD_NONE, WORD_WHOLE, WORD_DONE } is;
    uint32_t domain;            /* with WORD_WHOLE: the number of what is restored, */
    xen_domain_handle_t handle; /* and its lasting handle */
};

/* What the lock's file holds. */
struct note {
    uint64_t id;
    char path[3072]; /* empty: a pipe, or nothing yet */
};

static void note_path(char path[256], uint32_t domain)
{
    char name[32];

    snprintf(name, sizeof(name), "%u.save", domain);
    pal_record_path(path, 256, name);
}

static int open_note(uint32_t domain, int flags)
{
    char path[256];

    note_path(path, domain);
    return open(path, flags | O_RDWR | O_CLOEXEC, 0600);
}

void guard_forget(uint32_t domain)
{
    char path[256];

    note_path(path, domain);
    unlink(path);
}

bool guard_is_busy(uint32_t domain)
{
    int fd = open_note(domain, 0);
    bool busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;

    if (fd >= 0)
        close(fd);
    return busy;
}

bool guard_is_complete(uint32_t domain)
{
    int fd = open_note(domain, 0), image = -1;
    struct image_header header;
    struct note n = {0};
    bool complete = false;

    if (fd < 0)
        return false;
    if (read(fd, &n, sizeof(n)) == sizeof(n) && memchr(n.path, '\0', sizeof(n.path)) && n.path[0])
        image = open(n.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (image >= 0) {
        complete = read(image, &header, sizeof(header)) == sizeof(header) &&
                   !memcmp(header.magic, IMAGE_MAGIC, sizeof(header.magic)) && header.id == n.id;
        close(image);
    }
    close(fd);
    return complete;
}

/* ---- the process that waits ---- */

static void settle_save(struct pal *p, const struct pal_domain *d)
{
    struct timespec t;
    time_t until;

    clock_gettime(CLOCK_MONOTONIC, &t);
    until = t.tv_sec + WAIT_SECONDS;
    while (t.tv_sec < until) {
        struct pal_error ignored = {0};

        if (guard_is_busy(d->id))
            return; /* another save has begun: it is its affair */
        if (suspend_look(p, d) == SUSPEND_STOPPED && guard_is_complete(d->id)) {
            pal_domain_end(p, d->id, &ignored);
            break;
        }
        if (!suspend_undo(p, d, &ignored))
            break;
        nanosleep(&(struct timespec){0, STEP_NS}, NULL);
        clock_gettime(CLOCK_MONOTONIC, &t);
    }
    guard_forget(d->id);
}

/*
 * What is being restored has a handle of its own until it is whole. Then it has its lasting one, and is still paused for a
 * moment: what never ran goes, too.
 */
static bool is_unfinished(const struct xen_domctl_getdomaininfo *i, const struct pal_domain *d,
                          const struct word *whole)
{
    if (!memcmp(i->handle, d->info.handle, sizeof(i->handle)))
        return true;
    return whole->is == WORD_WHOLE && i->domain == whole->domain && !i->cpu_time &&
           i->flags & XEN_DOMINF_paused && !memcmp(i->handle, whole->handle, sizeof(i->handle));
}

static void settle_restore(struct pal *p, const struct pal_domain *d, const struct word *whole)
{
    struct xen_domctl_getdomaininfo *list;
    struct pal_error ignored = {0};
    int count = pal_domain_list(&p->hv, &list, &ignored);

    for (int i = 0; i < count; i++) {
        if (is_unfinished(&list[i], d, whole))
            pal_domain_end(p, list[i].domain, &ignored);
    }
    if (count >= 0)
        free(list);
}

static void keep_only(int fd)
{
    int null = open("/dev/null", O_RDWR);

    dup2(fd, 3);
    for (int i = 0; null >= 0 && i < 3; i++)
        dup2(null, i);
    close_range(4, ~0u, 0);
}

static __attribute__((noreturn)) void wait_for_end(int fd, enum guard_task task,
                                                   const struct pal_domain *d)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    struct pal_error e = {0};
    struct word word, last = {.is = WORD_NONE};
    struct pal p;
    ssize_t n;

    setsid();
    prctl(PR_SET_NAME, "pal-guard");
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    keep_only(fd);
    while ((n = read(3, &word, sizeof(word))) > 0 || (n < 0 && errno == EINTR)) {
        if (n == sizeof(word))
            last = word;
    }
    if (last.is == WORD_DONE)
        _exit(0);
    if (!pal_open(&p, &e)) {
        if (task == GUARD_SAVE)
            settle_save(&p, d);
        else
            settle_restore(&p, d, &last);
    }
    _exit(0);
}

/* ---- this process ---- */

static int take_lock(struct guard *g, struct pal_error *e)
{
    struct note empty = {0};

    g->lock = open_note(g->domain, O_CREAT);
    if (g->lock < 0)
        return pal_fail(e, PAL_SYS_FAILED, "the lock of the save cannot be made: %s",
                        strerror(errno));
    if (flock(g->lock, LOCK_EX | LOCK_NB))
        return pal_fail(e, PAL_DOM_STATE, "it is being saved already");
    if (pwrite(g->lock, &empty, sizeof(empty), 0) != sizeof(empty))
        return pal_fail(e, PAL_SYS_FAILED, "the lock of the save cannot be written: %s",
                        strerror(errno));
    return 0;
}

int guard_begin(struct guard *g, enum guard_task task, const struct pal_domain *d,
                struct pal_error *e)
{
    int ends[2];

    *g = (struct guard){.socket = -1, .lock = -1, .pid = -1, .domain = d->id};
    if (task == GUARD_SAVE && take_lock(g, e))
        goto fail;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
        pal_fail(e, PAL_SYS_FAILED, "no sockets: %s", strerror(errno));
        goto fail;
    }
    g->pid = fork();
    if (g->pid == 0)
        wait_for_end(ends[0], task, d);
    close(ends[0]);
    g->socket = ends[1];
    if (g->pid > 0)
        return 0;
    pal_fail(e, PAL_SYS_FAILED, "no process: %s", strerror(errno));
    close(ends[1]);
fail:
    if (g->lock >= 0)
        close(g->lock);
    return -1;
}

int guard_image(struct guard *g, const char *path, uint64_t id, struct pal_error *e)
{
    struct note n = {.id = id};
    char *whole = realpath(path, NULL);

    /* The file need not be there yet: then its directory is made whole. */
    if (!whole) {
        char *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;
        char *directory;

        if (slash)
            *slash = '\0';
        directory = realpath(slash ? (slash == copy ? "/" : copy) : ".", NULL);
        if (directory)
            snprintf(n.path, sizeof(n.path), "%s/%s", directory,
                     slash ? path + (slash - copy) + 1 : path);
        free(directory);
        free(copy);
    } else {
        snprintf(n.path, sizeof(n.path), "%s", whole);
        free(whole);
    }
    if (pwrite(g->lock, &n, sizeof(n), 0) == sizeof(n))
        return 0;
    return pal_fail(e, PAL_SYS_FAILED, "the lock of the save cannot be written: %s",
                    strerror(errno));
}

/* False: the guard is gone. That must not end us by a signal. */
static bool tell(const struct guard *g, const struct word *w)
{
    return send(g->socket, w, sizeof(*w), MSG_NOSIGNAL) == sizeof(*w);
}

void guard_whole(struct guard *g, uint32_t domain, const uint8_t handle[16])
{
    struct word whole = {.is = WORD_WHOLE, .domain = domain};

    memcpy(whole.handle, handle, sizeof(whole.handle));
    tell(g, &whole); /* without a guard it goes on all the same */
}

void guard_end(struct guard *g, bool unsettled)
{
    struct word done = {.is = WORD_DONE};

    if (g->lock >= 0 && !unsettled)
        guard_forget(g->domain);
    if (g->lock >= 0)
        close(g->lock); /* given back before the guard looks */
    if (!unsettled && !tell(g, &done))
        unsettled = true;
    close(g->socket);
    if (!unsettled)
        waitpid(g->pid, NULL, 0);
}
