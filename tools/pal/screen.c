/* SPDX-License-Identifier: MIT */
/* By the sequences that every terminal of today knows; it is not worth a library. */
#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "libpal/interrupt.h"
#include "verb.h"

#define OTHER_SCREEN "\033[?1049h\033[?25l" /* and no cursor */
#define OWN_SCREEN   "\033[?25h\033[?1049l"
#define TOP_LEFT     "\033[H"
#define END_OF_LINE  "\033[K\n"
#define CLEAR_REST   "\033[J"
#define REVERSE      "\033[7m"
#define PLAIN        "\033[0m"

static struct termios before;

bool screen_open(void)
{
    const char *name = getenv("TERM");
    struct termios raw;

    if (!name || !strcmp(name, "dumb") || tcgetattr(STDIN_FILENO, &before))
        return false;
    pal_interrupt_catch();
    raw = before;
    raw.c_cc[VSUSP] = _POSIX_VDISABLE; /* nobody would give the screen back */
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    fputs(OTHER_SCREEN, stdout);
    fflush(stdout);
    return true;
}

void screen_close(void)
{
    fputs(OWN_SCREEN, stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    pal_interrupt_release();
}

void screen_show(const char *head, const char *lines)
{
    struct winsize w = {0};
    unsigned rows = 24, columns = 80;

    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_row && w.ws_col) {
        rows = w.ws_row;
        columns = w.ws_col;
    }
    printf(TOP_LEFT "%.*s" END_OF_LINE, (int)columns, head);
    for (unsigned row = 1; row + 1 < rows && *lines; row++) {
        size_t length = strcspn(lines, "\n");
        int shown = (int)(length < columns ? length : columns);

        printf("%s%.*s%s" END_OF_LINE, row == 1 ? REVERSE : "", shown, lines,
               row == 1 ? PLAIN : "");
        lines += length + (lines[length] == '\n');
    }
    fputs(CLEAR_REST, stdout);
    fflush(stdout);
}

bool screen_wait(double seconds)
{
    double until = verb_now() + seconds;

    for (;;) {
        double left = until - verb_now();
        struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
        int n = left > 0 ? poll(&fd, 1, (int)(left * 1000) + 1) : 0;
        char key = 'q'; /* input that has ended is no reason to stay */

        if (pal_interrupt_signal())
            return false;
        if (n == 0)
            return true;
        if (n < 0) {
            if (errno == EINTR) /* the window has another size, too */
                return true;
            return false;
        }
        if (read(STDIN_FILENO, &key, 1) < 0 || key == 'q' || key == 'Q')
            return false;
        if (key == ' ')
            return true;
    }
}
