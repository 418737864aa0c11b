/* SPDX-License-Identifier: MIT */
/*
 * Invariant 40: every vector with no, or a bad, handler.
 *
 * run: smp=1 deadline=60
 * case 1: "no handler for exception"
 * case 2: "no handler for exception"
 */
#include <bare/test.h>
#include <xen/callback.h>

static long set_table(const struct trap_info *t)
{
    return hypercall(__HYPERVISOR_set_trap_table, HC_ADDR(t), 0, 0, 0, 0);
}

/* No handlers at all: the first exception is the end. */
static void no_handlers(unsigned int which)
{
    if (set_table(NULL))
        console_panic("clearing the table");
    if (which == 1)
        __asm__ volatile("ud2");
    else
        __asm__ volatile("movl $0, 0x10" : : : "memory");
    test_survived("40a");
}

/*
 * Is this how INT n must end where no handler allows it? The error code names the vector;
 * QEMU's emulation doubles it in 64-bit mode (vector * 16 + 2), which may also hand us the
 * handler of 2n when that one is open.
 */
static bool refused_interrupt(unsigned int n, uint64_t vector, uint64_t error, uint64_t offset)
{
    unsigned int twice = 2 * n & 255;

    if (vector == TRAP_GP)
        return (error == (n << 3 | 2) || error == (n << 4 | 2)) && offset == 0;
    return (twice == 3 || twice == 4 || twice == 0x80) && vector == twice && offset == 2;
}

/* INT n in the kernel: a handler that allows it, or one protection fault at the instruction. */
static void soft_interrupts(bool registered)
{
    unsigned char *code = mm_alloc_page();
    int odd = 0;

    for (unsigned int n = 0; n < 256; n++) {
        struct trap_fault f = {0};
        bool open = n == 3 || n == 4 || n == 0x80;
        int vector;

        code[0] = 0xcd;
        code[1] = (unsigned char)n;
        code[2] = 0xc3;
        vector = trap_exec(code, &f);
        if (open && registered && vector == (int)n && f.rip == HC_ADDR(code) + 2)
            continue;
        if (vector >= 0 && refused_interrupt(n, f.vector, f.error, f.rip - HC_ADDR(code)))
            continue;
        test_note("int %u: vector %d error %lx at +%lx", n, vector, f.error, f.rip - HC_ADDR(code));
        odd++;
    }
    test_eq("40b", "INT 0 to 255 in the kernel", odd, 0);
}

static void soft_interrupts_in_user_mode(void)
{
    struct user u;
    unsigned char code[2] = {0xcd, 0};
    int odd = 0;

    user_make(&u, code, 2);
    for (unsigned int n = 0; n < 256; n++) {
        struct trap_frame out;
        bool open = n == 3 || n == 4 || n == 0x80;

        ((unsigned char *)mm_va(u.code))[1] = (unsigned char)n;
        user_run(&u, NULL, &out, NULL);
        if (open && out.vector == n && out.rip == USER_CODE + 2)
            continue;
        if (refused_interrupt(n, out.vector, out.error, out.rip - USER_CODE))
            continue;
        test_note("int %u: vector %lu error %lx at %lx", n, (unsigned long)out.vector, out.error,
                  out.rip);
        odd++;
    }
    test_eq("40c", "INT 0 to 255 in user mode", odd, 0);
    user_free(&u);
}

/*
 * User mode calls the vectors whose gates are open in the hardware too, and its kernel has no handler for
 * them, or one for itself only: a protection fault, and not the end of the domain.
 */
static void open_gates_without_handlers(void)
{
    static const struct {
        unsigned int vector;
        unsigned char code[2];
    } calls[] = {{0x80, {0xcd, 0x80}}, {3, {0xcc}}, {4, {0xce}}};
    static struct trap_info t[257];

    for (unsigned int i = 0; i < 3; i++)
        for (unsigned int closed = 0; closed < 2; closed++) {
            struct trap_frame start = {.cs = FLAT_USER_CS32,
                                       .ss = FLAT_USER_SS32,
                                       .rip = USER_CODE,
                                       .rsp = USER_STACK - 64,
                                       .rflags = 0xa00},
                              out = {0};
            struct user u;
            unsigned int n = 0;

            trap_fill_table(t);
            for (unsigned int k = 0; k < 256; k++) {
                if (t[k].vector == calls[i].vector && closed)
                    t[k].flags = (uint8_t)(t[k].flags & ~3);
                if (t[k].vector != calls[i].vector || closed)
                    t[n++] = t[k];
            }
            t[n].address = 0;
            set_table(NULL);
            set_table(t);
            user_make(&u, calls[i].code, 2);
            hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, mm_mfn(u.root));
            user_enter(&start, 0, &out, NULL);
            test_eq("40g", "an open gate that the kernel closed", (int64_t)out.vector, TRAP_GP);
            test_eq("40g", "at the instruction", (int64_t)(out.rip - USER_CODE), 0);
            test_eq("40g", "naming the vector", (int64_t)out.error, calls[i].vector << 3 | 2);
            user_free(&u);
        }
    set_table(NULL);
    trap_init();
}

/* Real exceptions, in both modes: the right vector, the right address. */
static const struct {
    const char *name;
    unsigned char code[8];
    uint64_t vector;
    unsigned int behind; /* where the instruction pointer is */
} causes[] = {
    {"divide", {0x31, 0xc9, 0xf7, 0xf1}, TRAP_DE, 2},
    {"int3", {0xcc}, TRAP_BP, 1},
    {"undefined", {0x0f, 0x0b}, TRAP_UD, 0},
    {"into, not in 64-bit", {0xce}, TRAP_UD, 0},
    {"hlt", {0xf4}, TRAP_GP, 0},
    {"page fault", {0x8a, 0x04, 0x25, 0x10, 0, 0, 0}, TRAP_PF, 0},
    {"non-canonical", {0x48, 0xb8, 0, 0, 0, 0, 0, 0x90}, TRAP_GP, 10},
    {"lock without memory", {0xf0, 0x90}, TRAP_UD, 0},
};

static void exceptions(void)
{
    unsigned char *page = mm_alloc_page();
    struct user u;

    user_make(&u, causes[0].code, 1);
    for (unsigned int i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        struct trap_fault f = {0};
        struct trap_frame out;

        memset(page, 0, 32);
        memcpy(page, causes[i].code, 8);
        if (causes[i].behind == 10) /* mov $0x9000....,%rax; mov (%rax),%al */
            memcpy(page + 7, (unsigned char[]){0x90, 0x80, 0x00, 0x8a, 0x00, 0xc3}, 6);
        else
            page[7] = 0xc3;
        if (causes[i].code[0] == 0xf4)
            memset(page + 1, 0x90, 6); /* should it go on */
        /* In the kernel a halt may also be emulated, as blocking: give it an end. */
        if (causes[i].code[0] == 0xf4) {
            event_heartbeat(5000000);
            test_either("40d", "halt in the kernel", trap_exec(page, &f), TRAP_GP, -1);
            event_heartbeat(0);
        } else {
            test_eq("40d", causes[i].name, trap_exec(page, &f), (int64_t)causes[i].vector);
            test_eq("40d", "in the kernel, at", (int64_t)(f.rip - HC_ADDR(page)), causes[i].behind);
        }
        memcpy(mm_va(u.code), page, 32);
        user_run(&u, NULL, &out, NULL);
        test_eq("40d", causes[i].name, (int64_t)out.vector, (int64_t)causes[i].vector);
        test_eq("40d", "in user mode, at", (int64_t)(out.rip - USER_CODE), causes[i].behind);
    }
    user_free(&u);
}

/* Compatibility mode: each way to call, with every flag set. */
static void compatibility_mode(void)
{
    static const struct {
        const char *name;
        unsigned char code[4];
    } ways[] = {{"int 0x80", {0xcd, 0x80}}, {"syscall", {0x0f, 0x05}}, {"sysenter", {0x0f, 0x34}},
                {"into", {0xce}},           {"int 3", {0xcd, 0x03}},   {"undefined", {0x0f, 0x0b}},
                {"far call", {0x9a}}};
    struct user u;

    user_make(&u, ways[0].code, 2);
    for (unsigned int i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        for (unsigned int k = 0; k < 4; k++) {
            struct trap_frame start = {.rip = USER_CODE,
                                       .cs = k & 1 ? FLAT_USER_CS32 : FLAT_USER_CS64,
                                       .ss = k & 1 ? FLAT_USER_SS32 : FLAT_USER_SS64,
                                       .rsp = USER_STACK - 64,
                                       .rflags = k & 2 ? 0x254ed7ul : 0x200,
                                       .rax = 23},
                              out = {0};

            memset(mm_va(u.code), 0, 64);
            memcpy(mm_va(u.code), ways[i].code, 4);
            hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, mm_mfn(u.root));
            user_enter(&start, 0, &out, NULL);
            if (!test_true("40e", ways[i].name,
                           out.vector < 261 && out.vector != TRAP_EVENT &&
                               (out.rflags & 0x23200) == 0x200))
                test_note("mode %u: vector %lu flags %lx", k, (unsigned long)out.vector,
                          out.rflags);
        }
    test_eq("40e", "the hypervisor goes on", hc_version(XENVER_version, NULL), 0x40011);
    user_free(&u);
}

static long callback(unsigned int type, uint64_t address)
{
    struct callback_register c = {.type = (uint16_t)type, .address = address};

    return hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, HC_ADDR(&c), 0, 0, 0);
}

/* Addresses that are not canonical are refused; selectors are forced to our level. */
static volatile uint64_t handler_cs;

static bool note_cs(struct trap_frame *f)
{
    uint64_t cs;

    (void)f;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    handler_cs = cs;
    return true;
}

extern const char entry_vectors[256][16];

static void addresses_and_selectors(void)
{
    static const uint64_t bad[] = {0x0000800000000000, 0xffff7fffffffffff, 1ul << 63};
    static const uint16_t cs[] = {0, 8, 0xe008, 0xe030, 0xe033, 0xffff};
    unsigned char *code = mm_alloc_page();

    for (unsigned int i = 0; i < 3; i++) {
        struct trap_info t[2] = {{.vector = 0xc1, .cs = FLAT_KERNEL_CS, .address = bad[i]}};

        test_eq("40f", "handler not canonical", set_table(t), -XEN_EINVAL);
        for (unsigned int type = 0; type <= 7; type++)
            if (type != 3 && type != 6)
                test_eq("40f", "callback not canonical", callback(type, bad[i]), -XEN_EINVAL);
        test_eq_ours("40f", "callbacks not canonical",
                     hypercall(__HYPERVISOR_set_callbacks, bad[i], bad[i], bad[i], 0, 0),
                     -XEN_EINVAL);
    }
    memcpy(code, (unsigned char[]){0xcd, 0xc1, 0xc3}, 3);
    trap_set_hook(0xc1, note_cs);
    for (unsigned int i = 0; i < 6; i++) {
        struct trap_info t[2] = {
            {.vector = 0xc1, .flags = 3, .cs = cs[i], .address = HC_ADDR(entry_vectors[0xc1])}};
        int vector;

        handler_cs = 0;
        if (set_table(t))
            continue;
        vector = trap_exec(code, NULL);
        test_true("40f", "handler runs in ring 3, or not at all",
                  (vector == -1 && (handler_cs & 3) == 3) || vector == TRAP_GP ||
                      vector == TRAP_FAILSAFE);
    }
    trap_init();
}

int main(void)
{
    test_begin("vectors");
    if (test_case())
        no_handlers(test_case());
    soft_interrupts(true);
    soft_interrupts_in_user_mode();
    open_gates_without_handlers();
    exceptions();
    compatibility_mode();
    addresses_and_selectors();
    /* A table that is set, cleared, and set again is as good as new. */
    set_table(NULL);
    trap_init();
    soft_interrupts(true);
    test_end();
}
