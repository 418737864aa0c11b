/* SPDX-License-Identifier: MIT */
/* The old corners of the architecture that programs still reach: int 0x80, vsyscall, LDT, port
 * access, 32-bit code. */
#include "check.h"
#include <asm/ldt.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { KEYBOARD_STATUS = 0x64, NR32_GETPID = 20, LDT_SELECTOR = 7 /* entry 0, LDT, privilege 3 */ };

static sigjmp_buf back;

static void jump_back(int number)
{
    (void)number;
    siglongjmp(back, 1);
}

static void check_int80(void)
{
    long result, good = 0;

    for (int i = 0; i < 1000; i++) {
        asm volatile("int $0x80"
                     : "=a"(result)
                     : "0"(NR32_GETPID)
                     : "memory", "r8", "r9", "r10", "r11");
        good += result == getpid();
    }
    check("int80", good == 1000, "%ld of 1000", good);
}

static void check_vsyscall(void)
{
    int (*get_time)(struct timeval *, void *) =
        (int (*)(struct timeval *, void *))0xffffffffff600000;
    char mode[32] = "none";
    volatile int returned = 0;
    struct timeval there, here;

    check_option("vsyscall", mode, sizeof(mode));
    if (sigsetjmp(back, 1) == 0) {
        get_time(&there, NULL);
        returned = 1;
    }
    if (strcmp(mode, "none") == 0) {
        check("vsyscall", !returned, "refused, as the kernel is told");
        return;
    }
    gettimeofday(&here, NULL);
    check("vsyscall", returned && llabs((long long)(here.tv_sec - there.tv_sec)) <= 5,
          "mode %s, returned %d", mode, returned);
}

/* Reads the first word of the LDT segment, after a pause or none; 0 if loading or reading faults.
 */
static __attribute__((noinline)) uint32_t read_by_ldt(int pause)
{
    uint32_t got;

    if (sigsetjmp(back, 1))
        return 0;
    asm volatile("mov %0, %%gs" ::"r"(LDT_SELECTOR));
    if (pause)
        usleep(100); /* another context, another LDT, and back */
    asm volatile("movl %%gs:0, %0" : "=r"(got));
    asm volatile("mov %0, %%gs" ::"r"(0));
    return got;
}

static void check_ldt(void)
{
    uint32_t *cell =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    struct user_desc descriptor = {.entry_number = 0, .limit = 0xfff, .seg_32bit = 1, .useable = 1};
    int bad = 0, ok, status;
    pid_t pid;

    *cell = 0x600dbeef;
    descriptor.base_addr = (unsigned)(uintptr_t)cell;
    ok = syscall(SYS_modify_ldt, 1, &descriptor, sizeof(descriptor)) == 0;
    if (!check("ldt-write", ok, "%s", check_errno(ok)))
        return;
    for (int i = 0; i < 200; i++)
        bad += read_by_ldt(i & 1) != *cell;
    check("ldt-use", bad == 0, "%d of 200 wrong", bad);
    pid = fork(); /* inherits a copy */
    if (pid == 0)
        _exit(read_by_ldt(0) == *cell ? 0 : 1);
    waitpid(pid, &status, 0);
    check("ldt-fork", WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
    descriptor = (struct user_desc){.entry_number = 0, .read_exec_only = 1, .seg_not_present = 1};
    syscall(SYS_modify_ldt, 1, &descriptor, sizeof(descriptor));
    check("ldt-clear", read_by_ldt(0) == 0, "the selector is refused");
}

/* 1 if the port could be read. */
static int port_readable(unsigned short port)
{
    volatile int reached = 0;

    if (sigsetjmp(back, 1) == 0) {
        inb(port);
        reached = 1;
    }
    return reached;
}

/*
 * On the first CPU only: the 6.1 kernel, when paravirtual, does not set up the port bitmaps of the
 * others (they start out allowing everything), under whatever hypervisor.
 */
static void check_ports(void)
{
    int before, with, other, after;

    check_pin(0);
    before = port_readable(KEYBOARD_STATUS);
    ioperm(KEYBOARD_STATUS, 1, 1);
    with = port_readable(KEYBOARD_STATUS);
    usleep(1000);
    with &= port_readable(KEYBOARD_STATUS);
    other = port_readable(0x3f8);
    ioperm(KEYBOARD_STATUS, 1, 0);
    after = port_readable(KEYBOARD_STATUS);
    check("ioperm", !before && with && !other && !after,
          "before %d, with %d, another port %d, after %d", before, with, other, after);
    iopl(3);
    with = port_readable(KEYBOARD_STATUS);
    iopl(0);
    after = port_readable(KEYBOARD_STATUS);
    check("iopl", with && !after, "with %d, after %d", with, after);
}

static void check_32bit(void)
{
    static char *const argv[] = {"compat32", NULL};
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        execv("/checks/compat32", argv);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    check("32-bit", WIFEXITED(status) && WEXITSTATUS(status) == 32,
          "a 32-bit program ended with status %x", status);
}

/* In a process of its own: one part that goes astray must not spoil the next. */
static void isolated(const char *part, void (*run)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        run();
        _exit(check_status());
    }
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status))
        check(part, 0, "ended with status %x", status);
    else if (WEXITSTATUS(status))
        check_failures++;
}

int main(void)
{
    struct sigaction action = {.sa_handler = jump_back};

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    isolated("int80", check_int80);
    isolated("vsyscall", check_vsyscall);
    isolated("ldt", check_ldt);
    isolated("ports", check_ports);
    isolated("32-bit", check_32bit);
    return check_status();
}
