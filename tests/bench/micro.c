/* SPDX-License-Identifier: MIT */
/*
 * Micro-benchmark of what a guest's user space asks of its kernel, run as the first process.
 *
 * Under `-icount shift=0` one guest instruction is one nanosecond of guest time, so each figure is
 * a count of instructions (user, kernel and hypervisor together) and does not depend on the load of
 * the machine. One line a row: BENCH <row> <nanoseconds for one operation> Each row runs once to
 * warm up and then REPEATS times; the smallest is reported, since a timer tick in the middle only
 * ever adds.
 *
 * With `pal.boot` on the kernel's command line it reports that it runs and powers off: the boot
 * time is taken outside. With `pal.stay` it reports and waits to be ended.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum {
    REPEATS = 5,
    PAGE_SIZE_BYTES = 4096,
    TOUCH_BYTES = 32 << 20,
    MPROTECT_PAGES = 64,
};

static void end(const char *what)
{
    printf("BENCH-FAILED %s: %m\n", what);
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
    _exit(1);
}

/* Each row: does the operation `count` times; returns how many units that is (pages, say, instead
 * of sweeps). */

static uint64_t row_getppid(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        syscall(SYS_getppid);
    return count;
}

static uint64_t row_fork(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(0);
        if (pid < 0 || waitpid(pid, NULL, 0) != pid)
            end("fork");
    }
    return count;
}

/* Apart from its loop: the child of vfork runs on this very stack frame. */
static __attribute__((noinline)) void exec_once(void)
{
    static char *const argv[] = {"true", NULL};
    static char *const envp[] = {NULL};
    int status;
    pid_t pid = vfork();

    if (pid == 0) {
        execve("/bin/busybox", argv, envp);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        end("vfork and exec");
}

static uint64_t row_exec(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        exec_once();
    return count;
}

static uint64_t row_touch(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        volatile char *area =
            mmap(NULL, TOUCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (area == MAP_FAILED || madvise((void *)area, TOUCH_BYTES, MADV_NOHUGEPAGE))
            end("mmap");
        for (size_t at = 0; at < TOUCH_BYTES; at += PAGE_SIZE_BYTES)
            area[at] = 1;
        munmap((void *)area, TOUCH_BYTES);
    }
    return (uint64_t)count * (TOUCH_BYTES / PAGE_SIZE_BYTES);
}

static uint64_t row_mprotect(unsigned count)
{
    static char *area;
    size_t bytes = (size_t)MPROTECT_PAGES * PAGE_SIZE_BYTES;

    if (!area) {
        area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED || madvise(area, bytes, MADV_NOHUGEPAGE))
            end("mmap");
        memset(area, 1, bytes);
    }
    for (unsigned i = 0; i < count; i++) {
        if (mprotect(area, bytes, PROT_READ) || mprotect(area, bytes, PROT_READ | PROT_WRITE))
            end("mprotect");
    }
    return count;
}

static void echo_bytes(int from, int to)
{
    char byte;

    while (read(from, &byte, 1) == 1) {
        if (write(to, &byte, 1) != 1)
            _exit(1);
    }
    _exit(0);
}

static uint64_t row_pipe(unsigned count)
{
    static int there[2], back[2];
    char byte = 'x';

    if (there[1] == 0) {
        if (pipe(there) || pipe(back))
            end("pipe");
        if (fork() == 0) {
            close(there[1]); /* or the echo would hold its own input open */
            echo_bytes(there[0], back[1]);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            end("pipe round trip");
    }
    return count;
}

static uint64_t row_tmpfs(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int fd = open("/tmp/file", O_CREAT | O_EXCL | O_WRONLY, 0600);

        if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) || unlink("/tmp/file"))
            end("tmpfs");
    }
    return count;
}

static uint64_t row_clock(unsigned count)
{
    struct timespec t;

    for (unsigned i = 0; i < count; i++)
        clock_gettime(CLOCK_MONOTONIC, &t);
    return count;
}

static uint64_t row_nanosleep(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct timespec t = {.tv_nsec = 100000};

        nanosleep(&t, NULL);
    }
    return count;
}

/* The names are those of the table that run.py prints. */
static const struct row {
    const char *name;
    uint64_t (*run)(unsigned count);
    unsigned count;
} rows[] = {
    {"getppid", row_getppid, 10000},
    {"fork", row_fork, 60},
    {"exec", row_exec, 30},
    {"touch", row_touch, 1},
    {"mprotect", row_mprotect, 200},
    {"pipe", row_pipe, 1000},
    {"tmpfs", row_tmpfs, 500},
    {"clock_gettime", row_clock, 10000},
    {"nanosleep", row_nanosleep, 100},
};

static void measure(const struct row *row)
{
    uint64_t best = UINT64_MAX;

    row->run(row->count / 10 + 1);
    for (unsigned i = 0; i < REPEATS; i++) {
        uint64_t start = now_ns();
        uint64_t units = row->run(row->count);
        uint64_t each = (now_ns() - start + units / 2) / units;

        if (each < best)
            best = each;
    }
    printf("BENCH %s %llu\n", row->name, (unsigned long long)best);
    fflush(stdout);
}

static int command_line_has(const char *word)
{
    char line[4096];
    int fd = open("/proc/cmdline", O_RDONLY);
    ssize_t got = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

    if (fd >= 0)
        close(fd);
    if (got < 0)
        return 0;
    line[got] = '\0';
    return strstr(line, word) != NULL;
}

int main(void)
{
    printf("BENCH-INIT\n");
    fflush(stdout);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
    while (command_line_has("pal.stay"))
        pause();
    if (!command_line_has("pal.boot")) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            measure(&rows[i]);
        printf("BENCH-END\n");
        fflush(stdout);
    }
    reboot(RB_POWER_OFF);
    return 1;
}
