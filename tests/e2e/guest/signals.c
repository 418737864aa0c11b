/* SPDX-License-Identifier: MIT */
/* Each exception reaches the program as the right signal with the right address, and the program
 * goes on after it. */
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile sig_atomic_t seen_signal, seen_code;
static void *volatile seen_address;
static volatile uint64_t seen_error;

static void jump_back(int number, siginfo_t *info, void *context)
{
    seen_signal = number;
    seen_code = info->si_code;
    seen_address = info->si_addr;
    seen_error = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR];
    siglongjmp(back, 1);
}

static void catch_signal(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    sigaction(number, &action, NULL);
}

/* Runs `fault` with every signal caught; the seen_ variables say what came. */
#define FAULT(statement)                                                                           \
    do {                                                                                           \
        seen_signal = 0;                                                                           \
        if (sigsetjmp(back, 1) == 0) {                                                             \
            statement;                                                                             \
        }                                                                                          \
    } while (0)

static void check_exceptions(void)
{
    volatile char *wild = (volatile char *)0x12345000;
    volatile char *kernel = (volatile char *)0xffff888000000000;
    volatile char *hypervisor = (volatile char *)0xffff830000000000;
    volatile char *crooked = (volatile char *)0x8000000000000000;
    static volatile int result __attribute__((unused));

    /* In assembly: for the compiler a division by zero cannot happen, so it need not divide. */
    FAULT(asm volatile("xor %%ecx, %%ecx\n mov $1, %%eax\n cltd\n idivl %%ecx" ::
                           : "rax", "rcx", "rdx", "cc"));
    check("divide", seen_signal == SIGFPE && seen_code == FPE_INTDIV, "signal %d code %d",
          seen_signal, seen_code);
    FAULT(asm volatile("ud2"));
    check("invalid-opcode", seen_signal == SIGILL, "signal %d", seen_signal);
    FAULT(asm volatile("int3"));
    check("int3", seen_signal == SIGTRAP, "signal %d", seen_signal);
    FAULT(*wild = 1);
    check("not-mapped",
          seen_signal == SIGSEGV && seen_code == SEGV_MAPERR && seen_address == wild &&
              (seen_error & 7) == 6,
          "signal %d address %p error %llx", seen_signal, seen_address,
          (unsigned long long)seen_error);
    FAULT(result = *kernel);
    check("kernel-half", seen_signal == SIGSEGV && seen_address == kernel, "signal %d address %p",
          seen_signal, seen_address);
    FAULT(result = *hypervisor);
    check("hypervisor-half", seen_signal == SIGSEGV && seen_address == hypervisor,
          "signal %d address %p", seen_signal, seen_address);
    FAULT(*hypervisor = 1);
    check("hypervisor-write", seen_signal == SIGSEGV && seen_address == hypervisor,
          "signal %d address %p", seen_signal, seen_address);
    FAULT(result = *crooked);
    check("non-canonical", seen_signal == SIGSEGV, "signal %d", seen_signal);
    FAULT(asm volatile("hlt"));
    check("privileged", seen_signal == SIGSEGV, "signal %d", seen_signal);
    FAULT(asm volatile("mov %%cr3, %%rax" ::: "rax"));
    check("control-register", seen_signal == SIGSEGV, "signal %d", seen_signal);
    FAULT(asm volatile("int $0x82"));
    check("hypercall-vector", seen_signal == SIGSEGV, "signal %d", seen_signal);
}

/* Read-only, nothing, read-write: each takes effect at once. A function of its own, for the sake of
 * siglongjmp. */
static __attribute__((noinline)) int protect_round(volatile unsigned char *page, unsigned char byte)
{
    static volatile unsigned char value __attribute__((unused));

    mprotect((void *)page, 4096, PROT_READ);
    FAULT(*page = 1);
    if (seen_signal != SIGSEGV || seen_code != SEGV_ACCERR || seen_address != page)
        return 0;
    mprotect((void *)page, 4096, PROT_NONE);
    FAULT(value = *page);
    if (seen_signal != SIGSEGV)
        return 0;
    mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
    FAULT(*page = byte);
    return seen_signal == 0 && *page == byte;
}

static void check_protection(void)
{
    unsigned char *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void (*volatile code)(void) = (void (*)(void))page;
    int good = 1;

    page[0] = 0xc3; /* ret */
    FAULT(code());
    check("no-execute", seen_signal == SIGSEGV && seen_address == page && (seen_error & 0x10),
          "signal %d error %llx", seen_signal, (unsigned long long)seen_error);
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    FAULT(code());
    check("execute", seen_signal == 0, "signal %d", seen_signal);
    for (int i = 0; i < 200 && good; i++)
        good = protect_round(page, (unsigned char)i);
    check("mprotect", good, "200 rounds");
}

/* A single step by the trap flag, set by the program itself: the CPU's debug exception on the way.
 */
static volatile sig_atomic_t steps;

static void count_step(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    steps++;
}

static void check_trap_flag(void)
{
    catch_signal(SIGTRAP, count_step, 0);
    steps = 0;
    asm volatile("pushfq\n orq $0x100, (%%rsp)\n popfq\n nop\n nop\n nop\n pushfq\n andq $~0x100, "
                 "(%%rsp)\n popfq\n" ::
                     : "memory", "cc");
    check("trap-flag", steps >= 5 && steps <= 7, "%d steps", (int)steps);
}

static volatile sig_atomic_t queued, in_order = 1, on_other_stack;
static char other_stack[65536];

static void count_queued(int number, siginfo_t *info, void *context)
{
    char here;

    (void)number;
    (void)context;
    in_order = in_order && info->si_value.sival_int == queued;
    on_other_stack = &here >= other_stack && &here < other_stack + sizeof(other_stack);
    queued++;
}

static void check_queue(void)
{
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof(other_stack)};
    sigset_t set, old;

    sigaltstack(&stack, NULL);
    catch_signal(SIGRTMIN, count_queued, SA_ONSTACK);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, &old);
    for (int i = 0; i < 100; i++)
        sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
    sigprocmask(SIG_SETMASK, &old, NULL);
    check("queue", queued == 100 && in_order && on_other_stack,
          "%d received, in order %d, on its stack %d", (int)queued, (int)in_order,
          (int)on_other_stack);
}

static void ignore(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
}

/* Two processes that signal each other; a lost one would leave both waiting, so there is an alarm.
 */
static void check_ping_pong(void)
{
    sigset_t set;
    int status, number, rounds = 2000, good = 0;
    pid_t child;

    catch_signal(SIGUSR1, ignore, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    child = fork();
    if (child == 0) {
        alarm(60);
        for (int i = 0; i < rounds; i++) {
            sigwait(&set, &number);
            kill(getppid(), SIGUSR1);
        }
        _exit(0);
    }
    for (int i = 0; i < rounds; i++) {
        struct timespec limit = {.tv_sec = 30};

        kill(child, SIGUSR1);
        if (sigtimedwait(&set, NULL, &limit) != SIGUSR1)
            break;
        good++;
    }
    waitpid(child, &status, 0);
    check("ping-pong", good == rounds && WIFEXITED(status), "%d of %d", good, rounds);
}

int main(void)
{
    for (size_t i = 0; i < 5; i++)
        catch_signal((const int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}[i], jump_back, 0);
    check_exceptions();
    check_protection();
    check_trap_flag();
    check_queue();
    check_ping_pong();
    return check_status();
}
