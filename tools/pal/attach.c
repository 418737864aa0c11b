/* SPDX-License-Identifier: MIT */
/*
 * xenconsoled keeps a pseudo-terminal for each domain and publishes its name as console/tty. The
 * node may only be written by domain 0, but its value is checked before it is opened all the same.
 * A guest that takes no input must not keep the user from leaving: what it does not take waits
 * here, and what does not fit is dropped.
 */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "libpal/daemon.h"
#include "libpal/interrupt.h"
#include "verb.h"

#define LEAVE        0x1d /* Ctrl-] */
#define WAIT_SECONDS 10
#define CHECK_MS     300
#define DRAIN_MS     200 /* what a domain has said last comes within that */

struct exchange {
    int terminal;
    bool is_tty, input;
    char waiting[4096];
    size_t size;
};

static int open_terminal(struct pal *p, uint32_t id, struct pal_error *e)
{
    double until = verb_now() + WAIT_SECONDS;

    for (;;) {
        char *path = pal_store_read(&p->store, "/local/domain/%u/console/tty", id);
        int fd = -1;

        if (path && !strncmp(path, "/dev/pts/", 9) && !strstr(path, ".."))
            fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        free(path);
        if (fd >= 0)
            return fd;
        if (pal_daemon_need_console(e) || pal_interrupt_check(e))
            return -1;
        if (verb_now() > until)
            return pal_fail(e, PAL_CON_ABSENT, "xenconsoled shows no terminal for domain %u", id);
        verb_sleep(0.05);
    }
}

static bool write_all(int fd, const char *data, ssize_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, (size_t)size);

        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (n > 0) {
            data += n;
            size -= n;
        }
    }
    return true;
}

/* From the user to those that wait. False: leave. */
static bool take_input(struct exchange *x, bool stay)
{
    char data[512], *leave;
    size_t room = sizeof(x->waiting) - x->size;
    ssize_t n = read(STDIN_FILENO, data, sizeof(data));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0) {
        x->input = false;
        return stay || x->size;
    }
    leave = x->is_tty ? memchr(data, LEAVE, (size_t)n) : NULL;
    if (leave)
        n = leave - data;
    if ((size_t)n < room)
        room = (size_t)n;
    memcpy(x->waiting + x->size, data, room);
    x->size += room;
    return !leave;
}

/* To the domain, as much as it takes. */
static bool give_input(struct exchange *x)
{
    ssize_t n = write(x->terminal, x->waiting, x->size);

    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    x->size -= (size_t)n;
    memmove(x->waiting, x->waiting + n, x->size);
    return true;
}

static bool show_output(const struct exchange *x)
{
    char data[4096];
    ssize_t n = read(x->terminal, data, sizeof(data));

    if (n <= 0)
        return n < 0 && (errno == EINTR || errno == EAGAIN);
    return write_all(STDOUT_FILENO, data, n);
}

static bool is_gone(struct pal *p, uint32_t id)
{
    struct xen_domctl_getdomaininfo info;
    struct pal_error ignored = {0};

    return pal_domain_info(&p->hv, id, &info, &ignored) || pal_domain_has_ended(&info);
}

/* What it has said before its end. */
static void drain(struct exchange *x)
{
    struct pollfd fd = {.fd = x->terminal, .events = POLLIN};

    while (poll(&fd, 1, DRAIN_MS) > 0 && fd.revents & POLLIN && show_output(x))
        ;
}

static enum attach_end exchange(struct exchange *x, struct pal *p, uint32_t id,
                                const struct attach *a)
{
    double look = verb_now();

    for (;;) {
        /* A file is read as fast as it is taken; a key must be seen at once. */
        bool may_read = x->input && (x->is_tty || !x->size);
        struct pollfd fds[2] = {
            {.fd = may_read ? STDIN_FILENO : -1, .events = POLLIN},
            {.fd = x->terminal, .events = (short)(POLLIN | (x->size ? POLLOUT : 0))}};
        int n = poll(fds, 2, CHECK_MS);

        if (pal_interrupt_signal())
            return ATTACH_SIGNAL;
        if (a->until > 0 && verb_now() > a->until)
            return ATTACH_LATE;
        if (n > 0 && fds[1].revents & ~POLLOUT && !show_output(x))
            return is_gone(p, id) ? ATTACH_ENDED : ATTACH_LOST;
        if (n > 0 && fds[1].revents & POLLOUT && !give_input(x))
            return is_gone(p, id) ? ATTACH_ENDED : ATTACH_LOST;
        if (n > 0 && fds[0].revents && !take_input(x, a->stay))
            return ATTACH_LEFT;
        if (!x->input && !x->size && !a->stay)
            return ATTACH_LEFT;
        if (verb_now() > look + CHECK_MS / 1e3) {
            look = verb_now();
            if (is_gone(p, id)) {
                drain(x);
                return ATTACH_ENDED;
            }
        }
    }
}

int attach_console(struct pal *p, uint32_t id, const struct attach *a, struct pal_error *e)
{
    struct exchange x = {
        .terminal = open_terminal(p, id, e), .is_tty = isatty(STDIN_FILENO), .input = true};
    struct termios old, raw;
    void (*pipe_signal)(int);
    enum attach_end end;

    if (x.terminal < 0)
        return -1;
    if (!tcgetattr(x.terminal, &raw)) { /* our end of the daemon's terminal: no echo, no cooking */
        cfmakeraw(&raw);
        tcsetattr(x.terminal, TCSANOW, &raw);
    }
    x.is_tty = x.is_tty && !tcgetattr(STDIN_FILENO, &old);
    if (x.is_tty) {
        raw = old;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
        fputs("Ctrl-] leaves the console.\r\n", stderr);
    }
    pipe_signal = signal(SIGPIPE, SIG_IGN); /* the terminal is to be given back first */
    end = exchange(&x, p, id, a);
    signal(SIGPIPE, pipe_signal);
    if (x.is_tty) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &old);
        fputc('\n', stderr);
    }
    close(x.terminal);
    return (int)end;
}
