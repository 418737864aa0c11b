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
#include <sys/prctl.h>
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
#define SOON_MS    10
#define DEAF_TURNS 64    /* without an event */
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

/*
 * Linux may miss to tell of an event where several ports share a file: its interrupt looks whether all before it has been read,
 * and only then adds its own; a reader on another CPU may take the rest in between, and wait. From then on something
 * is unread, so that no later event is told of either. Asked anew, the file says what it has.
 */
static void ask_anew(int epoll, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &e))
        exit(complain("epoll"));
}

static void serve_for_ever(int epoll, int store, int events, int uring, int opener)
{
    for (unsigned deaf = 0;;) {
        struct epoll_event happened[8];
        int count, patience;

        disk_attend();
        patience = io_uring_kick() ? bus_patience() : SOON_MS;
        if (disk_is_waiting())
            patience = 0;
        count = epoll_wait(epoll, happened, 8, patience);
        if (count < 0 && errno != EINTR)
            exit(complain("waiting"));
        if ((patience && !count) || ++deaf == DEAF_TURNS) {
            ask_anew(epoll, events);
            deaf = 0;
        }
        bus_retry(); /* also while a disk keeps us busy */
        for (int i = 0; i < count; i++) {
            if (happened[i].data.fd == store) {
                bus_watch();
            } else if (happened[i].data.fd == events) {
                bus_event();
                deaf = 0;
            } else if (happened[i].data.fd == uring) {
                io_uring_reap();
            } else if (happened[i].data.fd == opener) {
                bus_opened();
            }
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

/* ---- the one that has images opened, and starts the other ---- */

static int lock = -1; /* this one's, and the server's as long as it has transfers under way */

static int lock_alone(void)
{
    mkdir("/run/pal", 0700);
    if (mkdir(OPENER_RUN, 0700) && errno != EEXIST)
        return complain(OPENER_RUN);
    lock = open(OPENER_RUN "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return complain(OPENER_RUN "/lock");
    if (flock(lock, LOCK_EX | LOCK_NB)) {
        fprintf(stderr, "pal-blkd: another one runs already\n");
        return 1;
    }
    return 0;
}

static pid_t start(int *opener, int signals, const sigset_t *before)
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
        _exit(serve(pair[1]));
    }
    close(pair[1]);
    *opener = pair[0];
    return child;
}

/* Has the next question answered, by a process that may hang for as long as a disk does. False: there will be none any more. */
static bool have_answered(int opener)
{
    struct opener_question q;
    pid_t child;

    if (!opener_take(opener, &q))
        return false;
    child = fork();
    if (child < 0)
        return opener_answer(opener, &q, NULL);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(lock); /* nobody is to wait for this one */
        _exit(opener_answer(opener, &q, xs_open(0)) ? 0 : 1);
    }
    return true;
}

/* Children that have ended. True: the server is among them. */
static bool reap(pid_t server)
{
    pid_t ended;
    int status;

    while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
        if (ended == server) {
            fprintf(stderr, "pal-blkd: the server has ended (%s %d); it is started again\n",
                    WIFSIGNALED(status) ? "signal" : "status",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            return true;
        }
        if (WIFSIGNALED(status))
            kill(server, SIGKILL); /* it waits for an answer; the next one asks again */
    }
    return false;
}

/* Until the server has ended, or we are to: then *stop is set. */
static void attend(pid_t server, int opener, int signals, bool *stop)
{
    struct pollfd wait[2] = {{opener, POLLIN, 0}, {signals, POLLIN, 0}};
    struct signalfd_siginfo info;

    for (;;) {
        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            exit(complain("waiting"));
        if (wait[1].revents && read(signals, &info, sizeof(info)) == sizeof(info) &&
            info.ssi_signo != SIGCHLD) {
            *stop = true;
            kill(server, SIGKILL);
            waitpid(server, NULL, 0);
            return;
        }
        if (reap(server))
            return;
        if (wait[0].revents && !have_answered(opener))
            wait[0].fd = -1; /* it is about to end */
    }
}

static int supervise(void)
{
    bool stop = false;
    sigset_t set, before;
    int signals;

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
        pid_t server = start(&opener, signals, &before);

        if (server < 0)
            return complain("a process");
        attend(server, opener, signals, &stop);
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
