/* SPDX-License-Identifier: MIT */
/* ptrace: single steps, the debug registers for execution and for writes, registers of a stopped
 * program. */
#include "check.h"
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

static volatile uint64_t watched;
static volatile int rounds_done;

static __attribute__((noinline)) void landmark(void)
{
    asm volatile("" ::: "memory");
}

static void child(void)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    for (int i = 0; i < 5; i++) {
        landmark();
        sched_yield();
        watched = (uint64_t)i + 1;
        rounds_done = i + 1;
    }
    _exit(9);
}

static pid_t start_child(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        child();
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        return -1;
    return pid;
}

/* Goes on by one request; the stop signal, or 0 when the child has ended with status 9, or -1. */
static int resume(pid_t pid, enum __ptrace_request request)
{
    int status;

    if (ptrace(request, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid)
        return -1;
    if (WIFSTOPPED(status))
        return WSTOPSIG(status);
    return WIFEXITED(status) && WEXITSTATUS(status) == 9 ? 0 : -1;
}

static long set_debug(pid_t pid, int index, uint64_t value)
{
    return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg) + (size_t)index * 8,
                  value);
}

static uint64_t get_debug(pid_t pid, int index)
{
    return (uint64_t)ptrace(PTRACE_PEEKUSER, pid,
                            offsetof(struct user, u_debugreg) + (size_t)index * 8, NULL);
}

static void check_steps(void)
{
    struct user_regs_struct registers;
    unsigned long long last = 0;
    pid_t pid = start_child();
    int steps = 0, moved = 0, stop;

    while ((stop = resume(pid, PTRACE_SINGLESTEP)) == SIGTRAP && steps < 20000) {
        ptrace(PTRACE_GETREGS, pid, NULL, &registers);
        moved += registers.rip != last;
        last = registers.rip;
        steps++;
    }
    check("single-step", stop == 0 && steps > 50 && moved == steps,
          "%d steps, %d of them moved, last stop %d", steps, moved, stop);
}

static void check_breakpoint(void)
{
    struct user_regs_struct registers;
    pid_t pid = start_child();
    int hits = 0, right = 0, ok, stop;

    ok = set_debug(pid, 0, (uint64_t)(uintptr_t)landmark) == 0 && set_debug(pid, 7, 0x1) == 0;
    if (!check("set-breakpoint", ok, "%s", check_errno(ok)))
        return;
    while ((stop = resume(pid, PTRACE_CONT)) == SIGTRAP && hits < 10) {
        ptrace(PTRACE_GETREGS, pid, NULL, &registers);
        right += registers.rip == (uint64_t)(uintptr_t)landmark && (get_debug(pid, 6) & 0xf) == 1;
        hits++;
    }
    check("breakpoint", stop == 0 && hits == 5 && right == 5,
          "%d hits, %d at the right place, last stop %d", hits, right, stop);
}

static void check_watchpoint(void)
{
    pid_t pid = start_child();
    int hits = 0, right = 0, ok, stop;

    /* Slot 1: enabled, on writes, eight bytes. */
    ok = set_debug(pid, 1, (uint64_t)(uintptr_t)&watched) == 0 && set_debug(pid, 7, 0x900004) == 0;
    if (!check("set-watchpoint", ok, "%s", check_errno(ok)))
        return;
    while ((stop = resume(pid, PTRACE_CONT)) == SIGTRAP && hits < 10) {
        hits++;
        right +=
            ptrace(PTRACE_PEEKDATA, pid, &watched, NULL) == hits && (get_debug(pid, 6) & 0xf) == 2;
    }
    check("watchpoint", stop == 0 && hits == 5 && right == 5,
          "%d hits, %d with the value written, last stop %d", hits, right, stop);
}

static void check_kernel_address(void)
{
    pid_t pid = start_child();
    long result = set_debug(pid, 0, 0xffff830000000000);

    check("refuse-kernel-address", result != 0, "result %ld", result);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Two traced programs at once, each with its own debug registers, taking turns on the CPUs. */
static void check_two(void)
{
    pid_t one = start_child(), two = start_child();
    int hits[2] = {0, 0};

    set_debug(one, 0, (uint64_t)(uintptr_t)landmark);
    set_debug(one, 7, 0x1);
    for (int i = 0; i < 6; i++) {
        hits[0] += resume(one, PTRACE_CONT) == SIGTRAP;
        if (i == 0)
            hits[1] += resume(two, PTRACE_CONT) == SIGTRAP;
    }
    check("per-process", hits[0] == 5 && hits[1] == 0, "%d stops of the one, %d of the other",
          hits[0], hits[1]);
}

int main(void)
{
    check_steps();
    check_breakpoint();
    check_watchpoint();
    check_kernel_address();
    check_two();
    return check_status();
}
