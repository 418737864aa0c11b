/* SPDX-License-Identifier: MIT */
/*
 * Invariant 37: any register state may be resumed.
 *
 * run: smp=2 deadline=90
 */
#include <bare/test.h>

static struct user u;
static const unsigned char call[] = {0x0f, 0x05, 0xeb, 0xfc}; /* syscall; again */

static struct trap_frame plain(void)
{
    return (struct trap_frame){.rip = USER_CODE,
                               .cs = FLAT_USER_CS64,
                               .ss = FLAT_USER_SS64,
                               .rsp = USER_STACK,
                               .rflags = 0x200};
}

/* Enter, come back somehow. The interrupt flag in a frame is the event mask's, not the real one. */
static uint64_t enter(const struct trap_frame *start, uint64_t flags, struct trap_frame *out)
{
    memset(out, 0, sizeof(*out));
    user_enter(start, flags, out, NULL);
    event_deliver(true);
    if (out->rflags & 0x23000)
        test_eq("37", "privilege in flags from user mode", (int64_t)out->rflags, 0x200);
    return out->vector;
}

static const uint64_t strange[] = {0,
                                   1,
                                   0x00007fffffffffff,
                                   0x00007ffffffffff8,
                                   0x0000800000000000,
                                   0x0000800000000001,
                                   0x7fffffffffffffff,
                                   0x8000000000000000,
                                   0xffff7fffffffffff,
                                   0xffff800000000000,
                                   0xffff82d080200000,
                                   0xffff87ffffffffff,
                                   0xffff880000000000,
                                   START_VIRT_BASE,
                                   ~0ul};

static void instruction_pointers(void)
{
    for (unsigned int i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
        for (unsigned int k = 0; k < 2; k++) {
            struct trap_frame start = plain(), out;
            uint64_t vector;

            start.rip = strange[i];
            /* By iret, and by the fast return. */
            vector = enter(&start, k ? VGCF_in_syscall : 0, &out);
            if (!test_true("37a", "strange instruction pointer",
                           vector == TRAP_GP || vector == TRAP_PF || vector == TRAP_FAILSAFE))
                test_note("rip %lx: vector %lu", strange[i], (unsigned long)vector);
        }
}

static void stack_pointers(void)
{
    for (unsigned int i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
        for (unsigned int k = 0; k < 2; k++) {
            struct trap_frame start = plain(), out;

            start.rsp = strange[i];
            test_eq("37b", "strange stack pointer",
                    (int64_t)enter(&start, k ? VGCF_in_syscall : 0, &out), TRAP_SYSCALL);
            if (out.rsp != strange[i])
                test_eq("37b", "kept", (int64_t)out.rsp, (int64_t)strange[i]);
        }
}

/* Every flag alone, all, none; trap, resume, nested task, alignment, virtual 8086, privilege. */
static void flags(void)
{
    static const unsigned char look[] = {0x9c, 0x5b, 0x0f, 0x05}; /* pushf; pop %rbx; syscall */

    memcpy(mm_va(u.code), look, sizeof(look));
    for (unsigned int bit = 0; bit < 66; bit++)
        for (unsigned int k = 0; k < 2; k++) {
            struct trap_frame start = plain(), out;
            uint64_t vector;

            start.rflags = bit < 64 ? 1ul << bit : bit == 64 ? 0 : ~0ul;
            vector = enter(&start, k ? VGCF_in_syscall : 0, &out);
            if (!test_true("37c", "flag",
                           vector == TRAP_SYSCALL || vector == TRAP_DB || vector == TRAP_GP ||
                               vector == TRAP_AC || vector == TRAP_FAILSAFE))
                test_note("bit %u: vector %lu", bit, (unsigned long)vector);
            /* What user mode itself reads: interrupts on, I/O privilege 0. */
            if (vector == TRAP_SYSCALL && (out.rbx & 0x23200) != 0x200)
                test_eq("37c", "real flags", (int64_t)out.rbx, 0x200);
        }
    memcpy(mm_va(u.code), call, sizeof(call));
}

static void selectors(void)
{
    static const uint64_t list[] = {3,      0x0b,   0x13,   0x1b,   0x23,    0x2b,
                                    0x33,   0x3b,   0x7,    0xf,    0xe003,  0xe00b,
                                    0xe013, 0xe01b, 0xe023, 0xe02b, 0xe03b,  0xe043,
                                    0xfff3, 0xfffb, 0xffff, 0xdffb, 0x10003, 0xffffffffffff0003};

    for (unsigned int i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct trap_frame start = plain(), out;
        uint64_t vector;

        start.cs = list[i];
        vector = enter(&start, 0, &out);
        test_true("37d", "code selector", vector < 261 && (out.cs & 3) == 3);
        start = plain();
        start.ss = list[i];
        vector = enter(&start, 0, &out);
        test_true("37d", "stack selector", vector < 261);
    }
}

/* The last instruction below 2^47 is a system call: it returns to where nothing is. */
static void last_instruction(void)
{
    uint64_t pfn = mm_alloc();
    struct trap_frame start = plain(), out;

    memcpy((char *)mm_va(pfn) + MM_PAGE - 2, call, 2);
    test_eq("37e", "the last page", mm_map(u.root, 0x00007ffffffff000, mm_entry(pfn, PTE_RO)), 0);
    start.rip = 0x00007ffffffffffe;
    test_eq("37e", "call from its end", (int64_t)enter(&start, 0, &out), TRAP_SYSCALL);
    test_eq("37e", "return address", (int64_t)out.rip, 0x0000800000000000);
    for (unsigned int k = 0; k < 2; k++) {
        uint64_t vector = enter(&out, k ? VGCF_in_syscall : 0, &start);

        test_true("37e", "resumed there",
                  vector == TRAP_GP || vector == TRAP_PF || vector == TRAP_FAILSAFE);
        out.rip = 0x0000800000000000;
        out.cs = FLAT_USER_CS64;
        out.ss = FLAT_USER_SS64;
        out.rsp = USER_STACK;
        out.rflags = 0x200;
    }
    mm_set(mm_walk(u.root, 0x00007ffffffff000, 1, NULL), 0);
    mm_free(pfn);
}

/* The kernel itself resumed at strange places: it gets its own fault. */
static void resume_kernel(void *arg)
{
    struct iret_context *c = arg;
    uint64_t sp;

    __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
    c->rsp = (sp - 2048) & ~15ul;
    user_iret(c);
}

static void in_the_kernel(void)
{
    for (unsigned int i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        struct iret_context c = {
            .rip = strange[i], .cs = FLAT_KERNEL_CS & ~3ul, .rflags = 0x200, .ss = FLAT_KERNEL_SS};
        struct trap_fault f = {0};

        if (strange[i] == START_VIRT_BASE)
            continue; /* zeroes that can be executed */
        test_true("37f", "kernel at a strange place faults", trap_run(resume_kernel, &c, &f));
        test_true("37f", "as a page or protection fault, or failsafe",
                  f.vector == TRAP_GP || f.vector == TRAP_PF || f.vector == TRAP_FAILSAFE);
    }
}

static void jump(void *arg)
{
    __asm__ volatile("jmp *%0" : : "r"(arg));
}

static void jumps(void)
{
    for (unsigned int i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        struct trap_fault f = {0};

        if (strange[i] == START_VIRT_BASE)
            continue;
        test_true("37g", "a jump there faults", trap_run(jump, (void *)strange[i], &f));
    }
}

int main(void)
{
    test_begin("resume-state");
    user_make(&u, call, sizeof(call));
    hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, mm_mfn(u.root));
    instruction_pointers();
    stack_pointers();
    flags();
    selectors();
    last_instruction();
    in_the_kernel();
    jumps();
    test_end();
}
