/* SPDX-License-Identifier: MIT */
/* pal-blkd: guests' disks, served from images through the buffer cache. One process for all of them, so that they share what is being read. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <poll.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>
#include <xenevtchn.h>
#include <xenstore.h>

#include "bus.h"
#include "confine.h"
#include "disk.h"
#include "io_uring.h"
#include "machine.h"
#include "opener.h"
#include "version.h"

#define FILES_MOST 65536u
#define NOBODYS    64535 /* a number that nothing else has, where there is no user pal-blkd */

static struct {
    uid_t user;
    gid_t group;
} options = {NOBODYS, NOBODYS};

static int complain(const char *what)
{
    fprintf(stderr, "pal-blkd: %s: %s\n", what, strerror(errno));
    return 1;
}

/* ---- the one that serves ---- */

static int watch_for_input(int epoll, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

static void serve_for_ever(int epoll, int store, int events, int uring, int opener)
{
    for (;;) {
        struct epoll_event happened[8];
        int count, patience;

        disk_attend();
        io_uring_kick();
        patience = disk_is_waiting() ? 0 : bus_patience();
        count = epoll_wait(epoll, happened, 8, patience);
        if (count < 0 && errno != EINTR)
            exit(complain("waiting"));
        if (patience > 0)
            bus_retry();
        for (int i = 0; i < count; i++) {
            if (happened[i].data.fd == store)
                bus_watch();
            else if (happened[i].data.fd == events)
                bus_event();
            else if (happened[i].data.fd == uring)
                io_uring_reap();
            else if (happened[i].data.fd == opener)
                exit(0); /* it says nothing unless it is asked: it is gone */
        }
    }
}

static int serve(int opener)
{
    struct xs_handle *store = xs_open(0);
    xenevtchn_handle *events = xenevtchn_open(NULL, 0);
    int uring = io_uring_open(), epoll = epoll_create1(EPOLL_CLOEXEC);

    if (!store || xs_fileno(store) < 0) /* which makes a pipe, later not allowed */
        return complain("the store");
    if (!events)
        return complain("event channels");
    if (uring < 0)
        return complain("io_uring");
    if (grant_open())
        return complain("granted memory");
    if (cache_open())
        return complain("hypercalls");
    if (confine(options.user, options.group))
        return 1;
    if (bus_open(store, events, opener))
        return complain("a watch on the store");
    if (epoll < 0 || watch_for_input(epoll, xs_fileno(store)) ||
        watch_for_input(epoll, xenevtchn_fd(events)) || watch_for_input(epoll, uring) ||
        watch_for_input(epoll, opener))
        return complain("epoll");
    serve_for_ever(epoll, xs_fileno(store), xenevtchn_fd(events), uring, opener);
    return 0;
}

/* ---- the one that opens, and starts the other ---- */

static int lock_alone(void)
{
    int fd;

    mkdir("/run/pal", 0700);
    if (mkdir(OPENER_RUN, 0700) && errno != EEXIST)
        return complain(OPENER_RUN);
    fd = open(OPENER_RUN "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return complain(OPENER_RUN "/lock");
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        fprintf(stderr, "pal-blkd: another one runs already\n");
        return 1;
    }
    return 0; /* kept open */
}

static pid_t start(int *opener, int signals, const sigset_t *before, struct xs_handle *store)
{
    int pair[2];
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return -1;
    child = fork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, before, NULL);
        close(pair[0]);
        close(signals);
        xs_daemon_close(store); /* the other's */
        _exit(serve(pair[1]));
    }
    close(pair[1]);
    *opener = pair[0];
    return child;
}

/* Until the child has ended, or we are to: then *stop is set. */
static void answer_child(pid_t child, int opener, int signals, struct xs_handle *store, bool *stop)
{
    struct pollfd wait[2] = {{opener, POLLIN, 0}, {signals, POLLIN, 0}};
    struct signalfd_siginfo info;
    int status;

    for (;;) {
        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            exit(complain("waiting"));
        if (wait[1].revents && read(signals, &info, sizeof(info)) == sizeof(info) &&
            info.ssi_signo != SIGCHLD) {
            *stop = true;
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return;
        }
        if (waitpid(child, &status, WNOHANG) == child) {
            fprintf(stderr, "pal-blkd: the server has ended (%s %d); it is started again\n",
                    WIFSIGNALED(status) ? "signal" : "status",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            return;
        }
        if (wait[0].revents && !opener_serve(opener, store))
            wait[0].fd = -1; /* it is about to end */
    }
}

static int supervise(void)
{
    struct xs_handle *store = xs_open(0);
    bool stop = false;
    sigset_t set, before;
    int signals;

    if (!store)
        return complain("the store");
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, &before);
    signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (signals < 0)
        return complain("signals");
    while (!stop) {
        struct timespec pause = {1, 0};
        time_t begun = time(NULL);
        int opener;
        pid_t child = start(&opener, signals, &before, store);

        if (child < 0)
            return complain("a process");
        answer_child(child, opener, signals, store, &stop);
        close(opener);
        if (!stop &&
            time(NULL) - begun < 2) /* one that ends at once must not keep the machine busy */
            nanosleep(&pause, NULL);
    }
    return 0;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct passwd *user;

    if (key != 'u')
        return key == ARGP_KEY_ARG ? ARGP_ERR_UNKNOWN : 0;
    user = getpwnam(argument);
    if (!user)
        argp_error(state, "there is no user \"%s\"", argument);
    options.user = user->pw_uid;
    options.group = user->pw_gid;
    return 0;
}

int main(int count, char **arguments)
{
    static const struct argp_option list[] = {
        {"user", 'u', "NAME", 0, "serve as this user (pal-blkd)", 0}, {0}};
    static const struct argp argp = {
        .options = list,
        .parser = parse,
        .doc = "Serves the disks of guests that `pal` gives to it. Runs in the foreground."};
    struct rlimit files = {FILES_MOST, FILES_MOST};
    struct passwd *user = getpwnam("pal-blkd");

    argp_program_version = "pal-blkd " PAL_VERSION;
    if (user) {
        options.user = user->pw_uid;
        options.group = user->pw_gid;
    }
    argp_parse(&argp, count, arguments, 0, NULL, NULL);
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_NOFILE, &files);
    if (sodium_init() < 0)
        return complain("libsodium");
    return lock_alone() ? 1 : supervise();
}
