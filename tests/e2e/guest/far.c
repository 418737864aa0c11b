/* SPDX-License-Identifier: MIT */
/*
 * Far returns within user mode, 64-bit and 32-bit, by LRET and IRET in every width; also where the stack's page is
 * touched for the first time. Processors with SMAP have been seen to get them wrong (hv/x86/far_return.c).
 */
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

enum { ROUNDS = 300, STACK = 65536, STEPS_64 = 4, STEPS_32 = 5 };

/*
 * Each runs on the stack given, which lies below 4 GiB, as the program does, and returns how many steps went well.
 * Register use: ebx counts, r12 keeps the stack to come back to (compatibility mode does not reach it).
 */
uint64_t far_64(void *stack);
uint64_t far_32(void *stack);

/* clang-format off */
#define ENTER                                                                                      \
    "push %rbx\n push %rbp\n push %r12\n push %r13\n mov %rsp, %r12\n mov %rsp, far_saved\n"       \
    "xor %ebx, %ebx\n mov %rdi, %rsp\n mov %cs, %r13d\n mov %r13d, far_cs\n"
#define LEAVE                                                                                      \
    "mov far_saved, %rsp\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"

asm(".pushsection .data\n"
    "far_saved: .quad 0\n"
    "far_cs: .long 0\n"
    ".popsection\n"
    "far_64:\n" ENTER
    "mov %rsp, %rbp\n"
    "push %r13\n push $1f\n lretq\n ud2\n"                       /* 64-bit words */
    "1: cmp %rsp, %rbp\n jne 9f\n inc %ebx\n"
    "sub $8, %rsp\n movl $2f, (%rsp)\n mov %r13d, 4(%rsp)\n lretl\n ud2\n" /* 32-bit words */
    "2: cmp %rsp, %rbp\n jne 9f\n inc %ebx\n"
    "push $0\n push $0\n push %r13\n push $3f\n lretq $16\n ud2\n"
    "3: cmp %rsp, %rbp\n jne 9f\n inc %ebx\n"
    "lea -256(%rbp), %rsi\n"
    "mov %ss, %eax\n push %rax\n push %rsi\n pushfq\n orl $0x8c1, (%rsp)\n" /* CF ZF SF OF */
    "push %r13\n push $4f\n iretq\n ud2\n"
    "4: jnc 9f\n jnz 9f\n jns 9f\n jno 9f\n cmp %rsp, %rsi\n jne 9f\n inc %ebx\n"
    "9: mov %rbx, %rax\n" LEAVE
    "far_32:\n" ENTER
    "push $0x23\n push $1f\n lretq\n ud2\n"
    ".code32\n"
    "1: mov %esp, %ebp\n inc %ebx\n"
    "pushl $0x23\n pushl $2f\n lretl\n ud2\n"
    "2: cmp %esp, %ebp\n jne 8f\n inc %ebx\n"
    "pushl $7\n pushl $0x23\n pushl $3f\n lretl $4\n ud2\n"
    "3: cmp %esp, %ebp\n jne 8f\n inc %ebx\n"
    "pushfl\n orl $0x8c1, (%esp)\n pushl $0x23\n pushl $4f\n iretl\n ud2\n"
    "4: jnc 8f\n jnz 8f\n jns 8f\n jno 8f\n cmp %esp, %ebp\n jne 8f\n inc %ebx\n"
    "8: pushl far_cs\n pushl $9f\n lretl\n ud2\n"
    ".code64\n"
    "9: cmp %esp, %ebp\n jne 10f\n inc %ebx\n"
    "10: mov %rbx, %rax\n" LEAVE);
/* clang-format on */

static void *low_stack(void)
{
    char *base =
        mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    return base == MAP_FAILED ? NULL : base + STACK;
}

static void run(const char *part, uint64_t (*steps)(void *), uint64_t wanted)
{
    uint64_t worst = wanted;
    char *top = low_stack();

    for (int i = 0; top && i < ROUNDS; i++) {
        uint64_t got = steps(top - 512);

        worst = got < worst ? got : worst;
    }
    check(part, top && worst == wanted, "%llu of %llu kinds, %d rounds", (unsigned long long)worst,
          (unsigned long long)wanted, ROUNDS);
}

/* LRET takes its words from a page that was never touched: zeroes, and so a jump to the null selector. */
static sigjmp_buf back;

static void faulted(int number)
{
    siglongjmp(back, number);
}

static void check_fresh(void)
{
    char *top = low_stack();
    int signal_seen;

    signal_seen = sigsetjmp(back, 1);
    if (!signal_seen)
        asm volatile("mov %0, %%rsp\n lretq" : : "r"(top - 64) : "memory");
    check("fresh-stack", signal_seen == SIGSEGV, "signal %d", signal_seen);
}

static void on_other_stack(void)
{
    stack_t stack = {.ss_sp = (char *)low_stack() - STACK, .ss_size = STACK};
    struct sigaction action = {.sa_handler = faulted, .sa_flags = SA_ONSTACK};

    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
}

int main(void)
{
    run("64-bit", far_64, STEPS_64);
    run("32-bit", far_32, STEPS_32);
    on_other_stack();
    check_fresh();
    return check_status();
}
