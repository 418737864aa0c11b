/* SPDX-License-Identifier: MIT */
/*
 * Invariant 36: debug state cannot bite the hypervisor.
 *
 * run: smp=2 deadline=90
 */
#include <bare/test.h>

#define RW1(n, len) (2ul << (2 * (n)) | 3ul << (16 + 4 * (n)) | (len) << (18 + 4 * (n)))
#define EXEC(n)     (2ul << (2 * (n)))
#define LEN8        2ul

static volatile unsigned int hits;
static uint64_t last_rip;

static long set_dr(unsigned int n, uint64_t v)
{
    return hypercall(__HYPERVISOR_set_debugreg, n, v, 0, 0, 0);
}

static uint64_t get_dr(unsigned int n)
{
    return (uint64_t)hypercall(__HYPERVISOR_get_debugreg, n, 0, 0, 0, 0);
}

static bool on_debug(struct trap_frame *f)
{
    hits++;
    last_rip = f->rip;
    f->rflags = (f->rflags | 0x10000) & ~0x100ul; /* go on behind a breakpoint; no more steps */
    if (hits > 1000)
        set_dr(7, 0);
    return true;
}

static bool on_breakpoint(struct trap_frame *f)
{
    (void)f;
    return true;
}

static void registers(void)
{
    static const uint64_t hv[] = {0xffff800000000000, 0xffff82d080200000, 0xffff830000000000,
                                  0xffff87ffffffffff, 0xffff87fffffffff8};
    static const uint64_t odd[] = {0x0000800000000000, 0xffff7fffffffffff, 1ul << 63};

    for (unsigned int r = 0; r < 4; r++) {
        for (unsigned int i = 0; i < 5; i++)
            test_eq("36a", "address in the hypervisor", set_dr(r, hv[i]), -XEN_EPERM);
        for (unsigned int i = 0; i < 3; i++)
            test_refused("36a", "address not canonical", set_dr(r, odd[i]));
        test_eq("36a", "unchanged", (int64_t)get_dr(r), 0);
    }
    test_refused("36b", "control: upper bits", set_dr(7, 1ul << 32));
    test_refused("36b", "control: all ones", set_dr(7, ~0ul));
    test_eq("36b", "control: general detect", set_dr(7, 1ul << 13), -XEN_EPERM);
    test_refused("36b", "status: upper bits", set_dr(6, 1ul << 32));
    test_refused("36b", "no register 8", set_dr(8, 0));
    test_refused("36b", "no register 2^31", set_dr(1u << 31, 0));
}

/* An address just outside, with a length that would reach in, and masks that widen it. */
static void adjacent(void)
{
    test_true("36c", "last address below", set_dr(0, 0x00007fffffffffff) <= 0);
    test_true("36c", "last eight bytes below", set_dr(0, 0x00007ffffffffff8) <= 0);
    test_true("36c", "first address above", set_dr(0, 0xffff880000000000) <= 0);
    test_true("36c", "armed", set_dr(7, RW1(0, LEN8)) <= 0);
    test_eq("36c", "the hypervisor goes on", hc_version(XENVER_version, NULL), 0x40011);
    set_dr(7, 0);
    set_dr(0, 0);
}

static volatile uint64_t watched;

static void data_breakpoint(void)
{
    test_eq("36d", "address", set_dr(0, HC_ADDR(&watched)), 0);
    test_eq("36d", "armed", set_dr(7, RW1(0, LEN8)), 0);
    hits = 0;
    watched = 1;
    test_eq("36d", "one debug exception", hits, 1);
    test_true("36d", "status says which", get_dr(6) & 1);
    set_dr(6, 0);
    /* The hypervisor's own access to it is not ours to see, nor is it a loop. */
    hits = 0;
    hc_version(XENVER_extraversion, (void *)(HC_ADDR(&watched) & ~15ul));
    test_true("36d", "an output over it", hits <= 1);
    set_dr(7, 0);
}

/*
 * SYSENTER is not among these: it saves no stack pointer, so in the kernel it is the end of
 * the domain by right. `vectors` has it in user mode.
 *
 * A stack-segment load delays the exception into the instruction behind it.
 */
static uint32_t ss_cell[4];

#define DELAYED(name, behind)                                                                      \
    static void name(void *arg)                                                                    \
    {                                                                                              \
        __asm__ volatile("mov (%1), %%ss\n" behind                                                 \
                         : "+a"(arg)                                                               \
                         : "b"(ss_cell), "D"(0ul), "S"(0ul)                                        \
                         : "rcx", "rdx", "r8", "r10", "r11", "memory");                            \
    }

DELAYED(delayed_syscall, "syscall")
DELAYED(delayed_int3, "int3")
DELAYED(delayed_int80, "int $0x80")
DELAYED(delayed_int33, "int $33")
DELAYED(delayed_icebp, ".byte 0xf1")
DELAYED(delayed_ud2, "ud2")
DELAYED(delayed_nop, "nop")

static bool skip_int(struct trap_frame *f)
{
    (void)f;
    return true; /* rip is behind a software interrupt already */
}

static void delayed(void)
{
    static const struct {
        const char *name;
        void (*fn)(void *);
    } forms[] = {{"syscall", delayed_syscall}, {"int3", delayed_int3},
                 {"int 0x80", delayed_int80},  {"int 33", delayed_int33},
                 {"icebp", delayed_icebp},     {"ud2", delayed_ud2},
                 {"nop", delayed_nop}};

    __asm__ volatile("mov %%ss, %0" : "=r"(ss_cell[0]));
    test_eq("36e", "watch the selector", set_dr(1, HC_ADDR(ss_cell)), 0);
    trap_set_hook(0x80, skip_int);
    for (unsigned int i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        for (int round = 0; round < 20; round++) {
            hits = 0;
            set_dr(6, 0);
            set_dr(7, RW1(1, 3ul));
            trap_run(forms[i].fn, (void *)(uintptr_t)__HYPERVISOR_xen_version, NULL);
            set_dr(7, 0);
            if (round == 0)
                test_true("36e", forms[i].name, hits <= 2);
        }
    test_eq("36e", "the hypervisor goes on", hc_version(XENVER_version, NULL), 0x40011);
}

/* Single steps across calls, faults and returns. */
static void step_over(void *arg)
{
    unsigned long nr = __HYPERVISOR_xen_version;

    (void)arg;
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq\n"
                     "syscall\n"
                     "nop"
                     : "+a"(nr)
                     : "D"(0ul), "S"(0ul)
                     : "rcx", "r11", "memory");
}

static void single_step(void)
{
    hits = 0;
    trap_run(step_over, NULL, NULL);
    test_true("36f", "steps are few", hits >= 1 && hits <= 4);
    test_note("%u steps across a call", hits);
}

/* Breakpoints on our own entry points and on the stack. */
extern const char entry_event[], entry_vectors[];

static void on_entries(void)
{
    uint64_t here;

    hits = 0;
    set_dr(0, HC_ADDR(entry_event));
    set_dr(1, HC_ADDR(entry_vectors) + 16 * TRAP_UD);
    set_dr(2, (HC_ADDR(&here) & ~7ul) - 256);
    set_dr(3, start_info->pt_base);
    set_dr(7, EXEC(0) | EXEC(1) | RW1(2, LEN8) | RW1(3, LEN8));
    event_heartbeat(1000000);
    for (int i = 0; i < 200 && hits < 900; i++) {
        delayed_nop((void *)0);
        trap_run(delayed_ud2, NULL, NULL);
        vcpu_yield();
    }
    event_heartbeat(0);
    set_dr(7, 0);
    for (unsigned int r = 0; r < 4; r++)
        set_dr(r, 0);
    test_true("36g", "entries with breakpoints survived", true);
    test_note("%u debug exceptions", hits);
}

/* The other vCPU's registers are its own. */
static uint64_t theirs[8];

static void other(void *arg)
{
    (void)arg;
    for (unsigned int r = 0; r < 4; r++)
        theirs[r] = get_dr(r);
    theirs[7] = get_dr(7);
}

static void not_shared(void)
{
    set_dr(0, 0x123456);
    set_dr(7, EXEC(0));
    vcpu_run(1, other, NULL);
    vcpu_join(1);
    test_eq("36h", "address on the other vCPU", (int64_t)theirs[0], 0);
    test_eq("36h", "control on the other vCPU", (int64_t)(theirs[7] & 0xff), 0);
    test_eq("36h", "ours is kept", (int64_t)get_dr(0), 0x123456);
    set_dr(7, 0);
    set_dr(0, 0);
}

int main(void)
{
    test_begin("debug");
    trap_set_hook(TRAP_DB, on_debug);
    trap_set_hook(TRAP_BP, on_breakpoint);
    registers();
    adjacent();
    data_breakpoint();
    delayed();
    single_step();
    on_entries();
    not_shared();
    test_end();
}
