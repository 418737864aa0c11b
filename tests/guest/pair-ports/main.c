/* SPDX-License-Identifier: MIT */
/*
 * Invariants 57 and 59: string forms of port input and output, the bitmap of ports, user mode's rights, and the interrupt flag; each by
 * domain 0 and by an attacker. The port is one that the hypervisor keeps for itself, so both read ones. And no device is
 * given to any other domain: not to map, not by domain 0's commands.
 *
 * run: smp=2 guests=self deadline=120
 */
#define __XEN_TOOLS__ 1
#include <bare/pair.h>
#include <xen/domctl.h>
#include <xen/physdev.h>

#define PORT      0x40ul
#define FLAG_IF   (1ul << 9)
#define FLAG_IOPL (3ul << 12)
#define FLAG_DF   (1ul << 10)
#define LOW       0x10000000ul /* where 32-bit addresses reach */

/* ---- one instruction, and what it leaves in its registers ---- */

enum form {
    INS_B,
    INS_W,
    INS_D,
    OUTS_B,
    OUTS_D,
    INS_B_BACK,
    INS_B_32,
    OUTS_B_FS,
    INS_B_ONCE,
    FORMS
};

static struct {
    enum form form;
    uint64_t pointer, count;
} op;
static struct trap_fault how;
static bool faulted;

static bool keep_registers(struct trap_frame *f)
{
    op.pointer = op.form == OUTS_B || op.form == OUTS_D || op.form == OUTS_B_FS ? f->rsi : f->rdi;
    op.count = f->rcx;
    return false;
}

#define INS(text)                                                                                  \
    __asm__ volatile(text : "+D"(op.pointer), "+c"(op.count) : "d"(PORT) : "memory");              \
    break
#define OUTS(text)                                                                                 \
    __asm__ volatile(text : "+S"(op.pointer), "+c"(op.count) : "d"(PORT) : "memory");              \
    break

static void execute(void *unused)
{
    (void)unused;
    switch (op.form) {
    case INS_B:
        INS("rep insb");
    case INS_W:
        INS("rep insw");
    case INS_D:
        INS("rep insl");
    case INS_B_ONCE:
        INS("insb");
    case INS_B_BACK:
        INS("std; rep insb; cld");
    case INS_B_32:
        INS(".byte 0x67; rep insb");
    case OUTS_B:
        OUTS("rep outsb");
    case OUTS_D:
        OUTS("rep outsl");
    case OUTS_B_FS:
        OUTS(".byte 0x64; rep outsb");
    default:
        break;
    }
}

/* True: it came to its end. op then holds the registers, as also after a fault. */
static bool string(enum form form, uint64_t pointer, uint64_t count)
{
    op.form = form;
    op.pointer = pointer;
    op.count = count;
    how = (struct trap_fault){0};
    faulted = trap_run(execute, NULL, &how);
    return !faulted;
}

static bool left(uint64_t pointer, uint64_t count)
{
    return op.pointer == pointer && op.count == count;
}

static void level(unsigned int l)
{
    struct physdev_set_iopl s = {.iopl = l};

    test_eq("57b", "level",
            hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, HC_ADDR(&s), 0, 0, 0), 0);
}

/* ---- the buffer: a page between two that are not there ---- */

static uint64_t first; /* pfn of the three */
static uint8_t *page;

static void make_buffer(void)
{
    if (!first) {
        first = mm_alloc_run(3);
        page = mm_va(first + 1);
        mm_home(first, 0);
        mm_home(first + 2, 0);
    }
    memset(page, 0x11, MM_PAGE);
}

/* Ones from `from` to before `to`, the rest as it was. */
static bool ones(unsigned int from, unsigned int to)
{
    for (unsigned int i = 0; i < MM_PAGE; i++)
        if (page[i] != (i >= from && i < to ? 0xff : 0x11))
            return false;
    return true;
}

static void inside(void)
{
    uint64_t at = HC_ADDR(page);

    make_buffer();
    test_true("57b", "100 bytes",
              string(INS_B, at + 10, 100) && left(at + 110, 0) && ones(10, 110));
    make_buffer();
    test_true("57b", "double words", string(INS_D, at + 3, 7) && left(at + 31, 0) && ones(3, 31));
    make_buffer();
    test_true("57b", "once", string(INS_B_ONCE, at, 5) && left(at + 1, 5) && ones(0, 1));
    make_buffer();
    test_true("57b", "backwards",
              string(INS_B_BACK, at + 20, 5) && left(at + 15, 0) && ones(16, 21));
    test_true("57b", "out", string(OUTS_B, at, MM_PAGE) && left(at + MM_PAGE, 0));
    test_true("57b", "out, double words", string(OUTS_D, at + 4, 9) && left(at + 40, 0));
    make_buffer();
    test_true("57b", "none, from nowhere",
              string(INS_B, 0x5555000000000000, 0) && left(0x5555000000000000, 0) && ones(0, 0));
}

/* What is moved before the fault is moved, what is beyond it is not: not a byte of an element. */
static void to_the_edge(void)
{
    uint64_t at = HC_ADDR(page), end = at + MM_PAGE;

    make_buffer();
    test_true("57b", "over the end",
              !string(INS_D, end - 12, 10) && how.vector == TRAP_PF && how.address == end &&
                  left(end, 7) && ones(MM_PAGE - 12, MM_PAGE));
    make_buffer();
    test_true("57b", "an element across it",
              !string(INS_D, end - 2, 3) && how.vector == TRAP_PF && how.address == end &&
                  left(end - 2, 3) && ones(0, 0));
    test_true("57b", "out, across it",
              !string(OUTS_D, end - 2, 3) && how.vector == TRAP_PF && how.address == end &&
                  left(end - 2, 3));
    test_true("57b", "an endless count",
              !string(INS_B, at, ~0ul) && how.vector == TRAP_PF && left(end, ~0ul - MM_PAGE) &&
                  ones(0, MM_PAGE));
    test_true("57b", "an endless count out",
              !string(OUTS_B, at, ~0ul) && how.vector == TRAP_PF && left(end, ~0ul - MM_PAGE));
    make_buffer();
    test_true("57b", "over the beginning",
              !string(INS_B_BACK, at + 5, 10) && how.vector == TRAP_PF && how.address == at - 1 &&
                  left(at - 1, 4) && ones(0, 6));
    make_buffer();
    mm_home(first + 1, PTE_RO);
    test_true("57b", "into a read-only page",
              !string(INS_B, at + 8, 4) && how.vector == TRAP_PF && left(at + 8, 4) && ones(0, 0));
    mm_home(first + 1, PTE_RW);
}

static void elsewhere(void)
{
    static const uint64_t bad[] = {0,
                                   0x7ffffffffffffffe,
                                   0x0000800000000000,
                                   HYPERVISOR_VIRT_START,
                                   HYPERVISOR_VIRT_START + 0x12345678,
                                   HYPERVISOR_VIRT_END - 8,
                                   ~0ul - 1};
    uint64_t root = HC_ADDR(mm_va(mm_root())), was = *(uint64_t *)root;

    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        for (enum form f = INS_B; f <= OUTS_D; f++) {
            bool over = string(f, bad[i], 3);

            if (!test_true("57b", "no such memory",
                           !over && (how.vector == TRAP_PF || how.vector == TRAP_GP) &&
                               left(bad[i], 3)))
                test_note("form %d at %lx: vector %lu", f, bad[i], how.vector);
        }
    test_true("57b", "into a page table", !string(INS_D, root, 2) && *(uint64_t *)root == was);
}

static void addresses(void)
{
    uint64_t at = HC_ADDR(page);

    make_buffer();
    if (!mm_map(mm_root(), LOW, mm_entry(first + 1, PTE_RW))) {
        test_true("57b", "32-bit addresses",
                  string(INS_B_32, 0xdead000000000000 | LOW | 0x20, 0xbeef000000000005) &&
                      left(LOW | 0x25, 0) && ones(0x20, 0x25));
        mm_map(mm_root(), LOW, 0);
    }
    hypercall(__HYPERVISOR_set_segment_base, SEGBASE_FS, at - 0x1000, 0, 0, 0);
    test_true("57b", "a segment's base", string(OUTS_B_FS, 0x1000, 5) && left(0x1005, 0));
    test_true("57b", "a base without memory",
              !string(OUTS_B_FS, 0x2000, 5) && how.vector == TRAP_PF &&
                  how.address == at + MM_PAGE && left(0x2000, 5));
    test_true("57b", "a base that leads to no address",
              !string(OUTS_B_FS, 0x4000000000000000, 5) && left(0x4000000000000000, 5));
    hypercall(__HYPERVISOR_set_segment_base, SEGBASE_FS, 0, 0, 0, 0);
}

static void without_right(void)
{
    uint64_t at = HC_ADDR(page);

    make_buffer();
    for (enum form f = 0; f < FORMS; f++)
        test_true("57b", "without the right",
                  !string(f, at + 64, 3) && how.vector == TRAP_GP && left(at + 64, 3) &&
                      ones(0, 0));
}

/* ---- the bitmap ---- */

static long bitmap(const void *bits, uint32_t ports)
{
    struct physdev_set_iobitmap b = {.nr_ports = ports};

    set_xen_guest_handle(b.bitmap, (uint8_t *)bits);
    return hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iobitmap, HC_ADDR(&b), 0, 0, 0);
}

static void in_byte(void *port)
{
    __asm__ volatile("inb %w0, %%al" : : "d"(HC_ADDR(port)) : "rax");
}

static void in_word(void *port)
{
    __asm__ volatile("inw %w0, %%ax" : : "d"(HC_ADDR(port)) : "rax");
}

static bool may(void (*in)(void *), uint64_t port)
{
    return !trap_run(in, (void *)port, &how) || how.vector != TRAP_GP;
}

static void bitmaps(void)
{
    static const uint64_t nowhere[] = {8,
                                       0x00007ffffffff000,
                                       0x0000800000000000,
                                       HYPERVISOR_VIRT_START,
                                       HYPERVISOR_VIRT_END - 16,
                                       ~0ul};

    make_buffer();
    memset(page, 0, MM_PAGE);
    test_eq("57c", "a port too many", bitmap(page, 65537), -XEN_EINVAL);
    test_eq("57c", "all numbers", bitmap(page, ~0u), -XEN_EINVAL);
    test_true("57c", "neither was taken", !may(in_byte, PORT));
    for (unsigned int i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        long ret = bitmap((void *)nowhere[i], 65536);

        test_true("57c", "a bitmap nowhere", (!ret || ret == -XEN_EFAULT) && !may(in_byte, PORT));
    }
    test_eq("57c", "256 ports", bitmap(page, 256), 0);
    test_true("57c", "allowed", may(in_byte, PORT) && may(in_word, 0x80) && may(in_byte, 0xff));
    test_true("57c", "string forms, too",
              string(INS_B, HC_ADDR(page) + 512, 9) && page[520] == 0xff);
    test_true("57c", "beyond the limit",
              !may(in_word, 0xff) && !may(in_byte, 0x100) && !may(in_byte, 0xffff));
    page[PORT / 8] = 2; /* the next port is not allowed */
    test_true("57c", "half of a word", may(in_byte, PORT) && !may(in_word, PORT));
    mm_home(first + 1, 0);
    test_true("57c", "a bitmap that went away", !may(in_byte, PORT) && !may(in_word, 0x80));
    mm_home(first + 1, PTE_RW);
    test_eq("57c", "no ports", bitmap(page, 0), 0);
    test_true("57c", "none allowed", !may(in_byte, PORT));
}

/* ---- user mode ---- */

/* in $PORT, %al; mov $7, %eax; syscall */
static const uint8_t user_in[] = {0xe4, PORT, 0xb8, 7, 0, 0, 0, 0x0f, 0x05};
static const uint8_t user_cli[] = {0xfa, 0xb8, 7, 0, 0, 0, 0x0f, 0x05};

/* True: user mode got behind the instruction. */
static bool user_may(const uint8_t *code, size_t size)
{
    struct trap_frame out;
    struct user u;

    user_make(&u, code, size);
    user_run(&u, NULL, &out, NULL);
    user_free(&u);
    return out.vector == TRAP_SYSCALL && out.rax == 7;
}

static void user_mode(void)
{
    static const bool allowed[] = {false, false, false, true};

    for (unsigned int l = 0; l < 4; l++) {
        level(l);
        test_eq("57d", "a port in user mode", user_may(user_in, sizeof(user_in)), allowed[l]);
        test_true("57d", "and in kernel mode", may(in_byte, PORT) == (l > 0));
    }
    level(0);
    memset(page, 0, MM_PAGE);
    test_eq("57d", "a bitmap", bitmap(page, 256), 0);
    test_true("57d", "is for user mode, too", user_may(user_in, sizeof(user_in)));
    test_eq("57d", "none", bitmap(page, 0), 0);
    test_true("57d", "no more", !user_may(user_in, sizeof(user_in)));
}

/* ---- the interrupt flag ---- */

static uint64_t flags(void)
{
    uint64_t f;

    __asm__ volatile("pushf; pop %0" : "=r"(f));
    return f;
}

static void cli(void *unused)
{
    (void)unused;
    __asm__ volatile("cli");
}

static void popf(void *unused)
{
    (void)unused;
    __asm__ volatile("pushf; andq %0, (%%rsp); orq %1, (%%rsp); popf"
                     :
                     : "r"(~FLAG_IF), "r"(FLAG_IOPL)
                     : "memory", "cc");
}

static void interrupt_flag(void)
{
    for (unsigned int l = 0; l < 4; l++) {
        uint64_t until;

        level(l);
        trap_run(cli, NULL, NULL);
        test_eq("57e", "the flag after cli", flags() & (FLAG_IF | FLAG_IOPL), FLAG_IF);
        trap_run(popf, NULL, NULL);
        test_eq("57e", "and after popf", flags() & (FLAG_IF | FLAG_IOPL), FLAG_IF);
        test_true("57e", "none in user mode", !user_may(user_cli, sizeof(user_cli)));
        until = event_now() + 1000000; /* ticks of others would not come */
        while (event_now() < until)
            ;
    }
    level(0);
}

/* ---- device memory ---- */

static int64_t device_memory(uint64_t arg)
{
    static const uint64_t at[] = {0xa0000,    0xb8000,    0xf0000,    0xfd000000, 0xfebf0000,
                                  0xfec00000, 0xfed00000, 0xfee00000, 0x200000000};

    (void)arg;
    for (unsigned int i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        test_refused("59a", "device memory", mm_map(mm_root(), LOW, at[i] | PTE_RW));
        test_refused("59a", "to look at", mm_map(mm_root(), LOW, at[i] | PTE_RO));
    }
    return 0;
}

/* All that would give a device: nothing of it is there, for whoever asks. */
static void devices_are_not_given(void)
{
    static const uint32_t commands[] = {XEN_DOMCTL_irq_permission,    XEN_DOMCTL_iomem_permission,
                                        XEN_DOMCTL_ioport_permission, XEN_DOMCTL_memory_mapping,
                                        XEN_DOMCTL_ioport_mapping,    XEN_DOMCTL_assign_device,
                                        XEN_DOMCTL_bind_pt_irq};
    struct xen_domctl op = {.interface_version = XEN_DOMCTL_INTERFACE_VERSION,
                            .domain = (domid_t)pair_id(pair_attacker)};

    for (unsigned int i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        op.cmd = commands[i];
        memset(&op.u, 0x01, sizeof(op.u));
        test_refused("59b", "a device for another domain",
                     hypercall(__HYPERVISOR_domctl, HC_ADDR(&op), 0, 0, 0, 0));
    }
}

static int64_t all(uint64_t arg)
{
    (void)arg;
    trap_set_hook(TRAP_PF, keep_registers);
    trap_set_hook(TRAP_GP, keep_registers);
    make_buffer();
    level(0);
    without_right();
    level(1);
    inside();
    to_the_edge();
    elsewhere();
    addresses();
    level(0);
    bitmaps();
    user_mode();
    interrupt_flag();
    trap_set_hook(TRAP_PF, NULL);
    trap_set_hook(TRAP_GP, NULL);
    return 0;
}

static void story(void)
{
    pair_begin(1);
    pair_new_attacker(1);
    pair_attack("57b", all, 0);
    pair_attack("59a", device_memory, 0);
    devices_are_not_given();
    pair_attack("59a", device_memory, 0);
    test_eq("57b", "domain 0 as well", all(0), 0);
    pair_check("57b");
    pair_end_attacker("57b");
}

int main(void)
{
    return pair_main("pair-ports", story);
}
