/* SPDX-License-Identifier: MIT */
/*
 * xenconsoled keeps a pseudo-terminal for each domain and publishes its name as console/tty. The
 * node may only be written by domain 0, but its value is checked before it is opened all the same.
 */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "verb.h"

#define LEAVE        0x1d /* Ctrl-] */
#define WAIT_SECONDS 10
#define CHECK_MS     500

static int open_terminal(struct pal *p, uint32_t id, struct pal_error *e)
{
    double until = verb_now() + WAIT_SECONDS;

    for (;;) {
        char *path = pal_store_read(&p->store, "/local/domain/%u/console/tty", id);
        int fd = -1;

        if (path && !strncmp(path, "/dev/pts/", 9) && !strstr(path, ".."))
            fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        free(path);
        if (fd >= 0)
            return fd;
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

/* From the user to the domain. False: leave. */
static bool forward_input(int to)
{
    char data[512], *leave;
    ssize_t n = read(STDIN_FILENO, data, sizeof(data));

    if (n <= 0)
        return n < 0 && errno == EINTR;
    leave = memchr(data, LEAVE, (size_t)n);
    write_all(to, data, leave ? leave - data : n);
    return !leave;
}

static bool forward_output(int from)
{
    char data[4096];
    ssize_t n = read(from, data, sizeof(data));

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

static void exchange(struct pal *p, uint32_t id, int terminal)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                {.fd = terminal, .events = POLLIN}};
        int n = poll(fds, 2, CHECK_MS);

        if (n < 0 && errno != EINTR)
            return;
        if (n == 0 && is_gone(p, id))
            return;
        if (n > 0 && fds[1].revents && !forward_output(terminal))
            return;
        if (n > 0 && fds[0].revents && !forward_input(terminal))
            return;
    }
}

int attach_console(struct pal *p, uint32_t id, struct pal_error *e)
{
    int terminal = open_terminal(p, id, e);
    bool is_tty = isatty(STDIN_FILENO);
    struct termios old, raw;

    if (terminal < 0)
        return -1;
    if (!tcgetattr(terminal, &raw)) { /* our end of the daemon's terminal: no echo, no cooking */
        cfmakeraw(&raw);
        tcsetattr(terminal, TCSANOW, &raw);
    }
    if (is_tty && !tcgetattr(STDIN_FILENO, &old)) {
        raw = old;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
        fputs("Ctrl-] leaves the console.\r\n", stderr);
    }
    exchange(p, id, terminal);
    if (is_tty) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &old);
        fputc('\n', stderr);
    }
    close(terminal);
    return 0;
}
