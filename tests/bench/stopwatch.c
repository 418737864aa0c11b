/* SPDX-License-Identifier: MIT */
/*
 * Times a command, and how long until a line appears in a file of the directory where the console daemon keeps its logs.
 *
 *   stopwatch COMMAND...                    BENCH-TOOK nanoseconds until the command ended well
 *                                           BENCH-MEMORY KiB that its largest process had at most
 *   stopwatch -f FILE TEXT COMMAND...       and BENCH-SEEN nanoseconds from its start until FILE holds TEXT
 *
 * FILE must not exist before. Waiting is by notification, so that it costs the one CPU nothing.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

enum { LIMIT_MS = 300000 };

static int watch(const char *file)
{
    char *copy = strdup(file);
    int fd = inotify_init1(IN_CLOEXEC);

    if (!copy || fd < 0 || inotify_add_watch(fd, dirname(copy), IN_MODIFY | IN_CREATE) < 0)
        fail(file);
    free(copy);
    return fd;
}

static int holds(const char *file, const char *text)
{
    static char content[1 << 16];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, content, sizeof(content) - 1);

    if (fd >= 0)
        close(fd);
    if (got < 0)
        return 0;
    content[got] = '\0';
    return strstr(content, text) != NULL;
}

static void wait_for(int events, const char *file, const char *text)
{
    char buffer[4096];
    struct pollfd poller = {.fd = events, .events = POLLIN};

    while (!holds(file, text)) {
        if (poll(&poller, 1, LIMIT_MS) != 1 || read(events, buffer, sizeof(buffer)) < 0)
            fail(text);
    }
}

/* The largest of the processes that were waited for. */
static long memory_kib(void)
{
    struct rusage r;

    return getrusage(RUSAGE_CHILDREN, &r) ? 0 : r.ru_maxrss;
}

static void run(char **command)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fail(command[0]);
}

int main(int argc, char **argv)
{
    const char *file = NULL, *text = NULL;
    uint64_t start;
    int events = -1;

    if (argc > 4 && !strcmp(argv[1], "-f")) {
        file = argv[2];
        text = argv[3];
        argv += 3;
        events = watch(file);
    } else if (argc < 2) {
        fprintf(stderr, "stopwatch: no command\n");
        return 2;
    }
    start = now_ns();
    run(argv + 1);
    printf("BENCH-TOOK %llu\n", (unsigned long long)(now_ns() - start));
    printf("BENCH-MEMORY %ld\n", memory_kib());
    if (file) {
        wait_for(events, file, text);
        printf("BENCH-SEEN %llu\n", (unsigned long long)(now_ns() - start));
    }
    return 0;
}
