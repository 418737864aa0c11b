/* SPDX-License-Identifier: MIT */
/*
 * Invariant 38: the iret call grants nothing.
 *
 * run: smp=1 deadline=60
 * case 1: "iret frame .* cannot be read"
 * case 2: "iret frame .* cannot be read"
 * case 3: "iret frame .* cannot be read"
 */
#include <bare/test.h>

static uint64_t seen_cs, seen_ss, seen_flags;

__attribute__((naked)) static void landing(void)
{
    __asm__ volatile("mov %%cs, %%rax; mov %%rax, %0\n"
                     "mov %%ss, %%rax; mov %%rax, %1\n"
                     "pushfq; pop %2\n"
                     "ud2"
                     : "=m"(seen_cs), "=m"(seen_ss), "=m"(seen_flags));
}

static void go(void *arg)
{
    struct iret_context *c = arg;
    uint64_t sp;

    __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
    c->rsp = (sp - 2048) & ~15ul;
    c->rip = HC_ADDR(landing);
    user_iret(c);
}

static int kernel(uint64_t cs, uint64_t ss, uint64_t rflags)
{
    struct iret_context c = {.cs = cs, .ss = ss, .rflags = rflags};
    struct trap_fault f = {0};

    seen_cs = seen_ss = seen_flags = 0;
    return trap_run(go, &c, &f) ? (int)f.vector : -1;
}

/* (0xe020 is left out: it is the 32-bit segment, and its code would really run.)
 * Selectors that name inner rings, the hypervisor's segments, nothing. */
static void selectors(void)
{
    static const uint64_t list[] = {0,      8,      0x10,   0x18,   0x60,   0xe000,
                                    0xe008, 0xe010, 0xe018, 0xe030, 0xe031, 0xe032,
                                    0xfff8, 0x4,    0xc,    0x10008};

    for (unsigned int i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        int vector = kernel(list[i], FLAT_KERNEL_SS, 0x200);

        test_true("38a", "code selector: ring 3 or a fault",
                  vector != TRAP_UD || (seen_cs & 3) == 3);
        test_true("38a", "a fault that can be",
                  vector == TRAP_UD || vector == TRAP_GP || vector == TRAP_FAILSAFE ||
                      vector == TRAP_NP);
        vector = kernel(FLAT_KERNEL_CS & ~3ul, list[i], 0x200);
        test_true("38a", "stack selector: ring 3, null or a fault",
                  vector != TRAP_UD || (seen_ss & 3) == 3 || seen_ss == 0);
    }
}

static void flags(void)
{
    for (unsigned int bit = 0; bit < 65; bit++) {
        uint64_t f = bit < 64 ? 1ul << bit : ~0ul;
        int vector = kernel(FLAT_KERNEL_CS & ~3ul, FLAT_KERNEL_SS, f & ~0x100ul);

        test_true("38b", "it gets there", vector == TRAP_UD || vector == TRAP_AC);
        if (vector == TRAP_UD)
            test_eq("38b", "interrupts on, I/O privilege 0, no virtual mode",
                    (int64_t)(seen_flags & 0x23200), 0x200);
        event_deliver(true);
    }
}

/* Unmasking with an event pending: it comes once. */
static volatile unsigned int upcalls;

static void on_event(unsigned int port)
{
    (void)port;
    upcalls++;
}

static void pending_event(void)
{
    long port = event_bind_ipi(0);

    event_set_handler((unsigned int)port, on_event);
    for (int i = 0; i < 100; i++) {
        unsigned int before = upcalls;

        event_deliver(false);
        event_send((unsigned int)port);
        hc_version(XENVER_version, NULL);
        if (upcalls != before)
            test_eq("38c", "masked, yet delivered", upcalls, before);
        kernel(FLAT_KERNEL_CS & ~3ul, FLAT_KERNEL_SS, 0x200);
        if (upcalls != before + 1)
            test_eq("38c", "delivered by iret", upcalls, before + 1);
    }
    test_eq("38c", "one event each", upcalls, 100);
    event_deliver(false);
    event_send((unsigned int)port);
    kernel(FLAT_KERNEL_CS & ~3ul, FLAT_KERNEL_SS, 0);
    test_eq("38c", "iret that leaves them masked", upcalls, 100);
    event_deliver(true);
    test_eq("38c", "unmasked", upcalls, 101);
    event_close((unsigned int)port);
}

/* From user mode the instruction goes to the guest kernel, whatever the number. */
static void from_user_mode(void)
{
    static const unsigned char code[] = {0x0f, 0x05};
    struct user u;
    int odd = 0;

    user_make(&u, code, sizeof(code));
    for (uint64_t nr = 0; nr < 64; nr++) {
        struct trap_frame start = {.rax = nr, .rdi = 1, .rsi = 2, .rdx = 3, .r10 = 4, .r8 = 5}, out;

        user_run(&u, &start, &out, NULL);
        odd += out.vector != TRAP_SYSCALL || out.rax != nr || out.rdi != 1 || out.rsi != 2 ||
               out.rdx != 3 || out.r10 != 4 || out.r8 != 5;
    }
    test_eq("38d", "calls from user mode that went astray", odd, 0);
    user_free(&u);
}

int main(void)
{
    test_begin("iret");
    switch (test_case()) {
    case 1:
        user_iret((void *)0x300000000000); /* not mapped */
        test_survived("38e");
    case 2:
        user_iret((void *)0xffff830000000000); /* the hypervisor's */
        test_survived("38e");
    case 3:
        user_iret((void *)0x00007ffffffffff8); /* reaches beyond the canonical half */
        test_survived("38e");
    }
    selectors();
    flags();
    pending_event();
    from_user_mode();
    test_end();
}
