/* SPDX-License-Identifier: MIT */
/*
 * Moves data through a disk or a network and says what a page of it took: BENCH ROW nanoseconds.
 *
 *   transfer write|read ROW DEVICE      past the page cache, 1 MiB at a time
 *   transfer serve                      takes connections for ever; answers each byte stream's end with one byte
 *   transfer send ROW ADDRESS           one stream over TCP, until the other side has all of it
 *
 * Each is done once to warm up and then REPEATS times; the smallest figure counts.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "program.h"

enum {
    REPEATS = 3,
    PAGE = 4096,
    CHUNK = 1 << 20,
    DISK_BYTES = 32 << 20,
    NET_BYTES = 16 << 20,
    PORT = 7000
};

static char buffer[CHUNK] __attribute__((aligned(4096)));

static void report(const char *row, void (*once)(const char *), const char *where, uint64_t bytes)
{
    uint64_t best = UINT64_MAX;

    once(where);
    for (unsigned i = 0; i < REPEATS; i++) {
        uint64_t start = now_ns();
        uint64_t took;

        once(where);
        took = now_ns() - start;
        if (took < best)
            best = took;
    }
    printf("BENCH %s %llu\n", row, (unsigned long long)(best / (bytes / PAGE)));
}

static void disk(const char *device, int flags)
{
    int fd = open(device, flags | O_DIRECT);

    if (fd < 0)
        fail(device);
    for (int done = 0; done < DISK_BYTES; done += CHUNK) {
        ssize_t got = flags == O_RDONLY ? read(fd, buffer, CHUNK) : write(fd, buffer, CHUNK);

        if (got != CHUNK)
            fail("disk");
    }
    close(fd);
}

static void disk_write(const char *device)
{
    disk(device, O_WRONLY);
}

static void disk_read(const char *device)
{
    disk(device, O_RDONLY);
}

static struct sockaddr_in address(const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};

    if (inet_pton(AF_INET, text, &a.sin_addr) != 1)
        fail(text);
    return a;
}

static void send_stream(const char *to)
{
    struct sockaddr_in a = address(to);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
        fail(to);
    for (int done = 0; done < NET_BYTES;) {
        ssize_t sent = write(fd, buffer, CHUNK);

        if (sent <= 0)
            fail("send");
        done += (int)sent;
    }
    if (shutdown(fd, SHUT_WR) || read(fd, buffer, 1) != 1)
        fail("answer");
    close(fd);
}

static void serve(void)
{
    struct sockaddr_in a = address("0.0.0.0");
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
        bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 4))
        fail("serve");
    printf("BENCH-SERVES\n");
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0)
            fail("accept");
        while (read(fd, buffer, CHUNK) > 0)
            ;
        if (write(fd, "x", 1) != 1)
            fail("answer");
        close(fd);
    }
}

int main(int argc, char **argv)
{
    memset(buffer, 'x', sizeof(buffer));
    if (argc == 2 && !strcmp(argv[1], "serve"))
        serve();
    if (argc != 4)
        return 2;
    if (!strcmp(argv[1], "write"))
        report(argv[2], disk_write, argv[3], DISK_BYTES);
    else if (!strcmp(argv[1], "read"))
        report(argv[2], disk_read, argv[3], DISK_BYTES);
    else if (!strcmp(argv[1], "send"))
        report(argv[2], send_stream, argv[3], NET_BYTES);
    else
        return 2;
    return 0;
}
