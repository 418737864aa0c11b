/* SPDX-License-Identifier: MIT */
/* Processes by the hundred from every CPU at once: fork with copied pages, exec, vfork, orphans. */
#include "check.h"
#include <sys/mman.h>
#include <sys/wait.h>

enum { ROUNDS = 60, PAGES = 64, PAGE = 4096 };

/* The child must see the parent's pages as they were and keep its own changes to itself. */
static int copied_pages(unsigned round)
{
    static volatile unsigned char *pages;
    int status;
    pid_t pid;

    if (!pages) {
        void *area =
            mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (area == MAP_FAILED)
            return 0;
        pages = area;
    }
    for (int i = 0; i < PAGES; i++)
        pages[i * PAGE] = (unsigned char)(round + (unsigned)i);
    pid = fork();
    if (pid == 0) {
        for (int i = 0; i < PAGES; i++) {
            if (pages[i * PAGE] != (unsigned char)(round + (unsigned)i))
                _exit(3);
            pages[i * PAGE] = 0xee;
        }
        _exit((int)(round & 0x3f));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) != (int)(round & 0x3f))
        return 0;
    for (int i = 0; i < PAGES; i++) {
        if (pages[i * PAGE] != (unsigned char)(round + (unsigned)i))
            return 0;
    }
    return 1;
}

/* Apart from the loop: the child of vfork runs on this frame. */
static __attribute__((noinline)) int exec_busybox(int with_vfork)
{
    static char *const argv[] = {"sh", "-c", "exit 7", NULL};
    static char *const envp[] = {NULL};
    int status;
    pid_t pid = with_vfork ? vfork() : fork();

    if (pid == 0) {
        execve("/bin/busybox", argv, envp);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 7;
}

/* Runs on each CPU; the exit status says which step went wrong. */
static int storm(int cpu)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        /* Half of the rounds pinned, half wherever the scheduler likes. */
        if (round == 0 && check_pin(cpu))
            return 10;
        if (round == ROUNDS / 2) {
            cpu_set_t all;

            memset(&all, 0xff, sizeof(all));
            if (sched_setaffinity(0, sizeof(all), &all))
                return 11;
        }
        if (!copied_pages(round))
            return 12;
        if (!exec_busybox(round & 1))
            return 13;
    }
    return 0;
}

static int crowd(int count)
{
    int good = 0;

    for (int i = 0; i < count; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            usleep(1000);
            _exit(5);
        }
        if (pid < 0)
            break;
    }
    for (int status; wait(&status) > 0;)
        good += WIFEXITED(status) && WEXITSTATUS(status) == 5;
    return good;
}

int main(void)
{
    int cpus = check_cpus(), worst = 0, good;

    for (int cpu = 0; cpu < cpus; cpu++) {
        if (fork() == 0)
            _exit(storm(cpu));
    }
    for (int status; wait(&status) > 0;) {
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);

        if (code > worst)
            worst = code;
    }
    check("storm", worst == 0, "%d workers of %d rounds, worst status %d", cpus, ROUNDS, worst);
    good = crowd(300);
    check("crowd", good == 300, "%d of 300 processes at once ended well", good);
    return check_status();
}
