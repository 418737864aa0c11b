/* SPDX-License-Identifier: MIT */
/*
 * Invariant 34: segment bases and selectors cannot hurt a context switch.
 *
 * run: smp=2 deadline=60
 */
#include <bare/test.h>

#define DATA32 0x00cff3000000fffful

static const uint64_t not_canonical[] = {0x0000800000000000, 0x8000000000000000, 0xffff7fffffffffff,
                                         0x7fffffffffffffff, 0x0001000000000000};

static long set_base(unsigned int which, uint64_t base)
{
    return hypercall(__HYPERVISOR_set_segment_base, which, base, 0, 0, 0);
}

static uint64_t read_fs(void)
{
    uint64_t v;

    __asm__ volatile("mov %%fs:0, %0" : "=r"(v));
    return v;
}

static uint64_t read_gs(void)
{
    uint64_t v;

    __asm__ volatile("mov %%gs:0, %0" : "=r"(v));
    return v;
}

struct msr {
    uint32_t number;
    uint64_t value;
};

static void do_wrmsr(void *arg)
{
    struct msr *m = arg;

    __asm__ volatile("wrmsr"
                     :
                     : "c"(m->number), "a"((uint32_t)m->value), "d"((uint32_t)(m->value >> 32)));
}

static int wrmsr(uint32_t number, uint64_t value)
{
    struct msr m = {number, value};
    struct trap_fault f;

    return trap_run(do_wrmsr, &m, &f) ? (int)f.vector : -1;
}

static uint64_t cell[3] = {0xf5f5, 0x6565, 0x7575};

static void by_call(void)
{
    test_eq("34a", "fs", set_base(SEGBASE_FS, HC_ADDR(&cell[0])), 0);
    test_eq("34a", "gs", set_base(SEGBASE_GS_KERNEL, HC_ADDR(&cell[1])), 0);
    test_eq("34a", "fs reads", (int64_t)read_fs(), 0xf5f5);
    test_eq("34a", "gs reads", (int64_t)read_gs(), 0x6565);
    for (unsigned int i = 0; i < 5; i++) {
        test_eq("34a", "fs not canonical", set_base(SEGBASE_FS, not_canonical[i]), -XEN_EINVAL);
        test_eq("34a", "user gs not canonical", set_base(SEGBASE_GS_USER, not_canonical[i]),
                -XEN_EINVAL);
        test_eq("34a", "kernel gs not canonical", set_base(SEGBASE_GS_KERNEL, not_canonical[i]),
                -XEN_EINVAL);
    }
    test_eq("34a", "old fs kept", (int64_t)read_fs(), 0xf5f5);
    test_eq("34a", "old gs kept", (int64_t)read_gs(), 0x6565);
    test_eq("34a", "no such base", set_base(4, 0), -XEN_EINVAL);
}

static void by_msr(void)
{
    static const uint32_t msrs[] = {0xc0000100, 0xc0000101, 0xc0000102};

    for (unsigned int m = 0; m < 3; m++)
        for (unsigned int i = 0; i < 5; i++)
            test_eq("34b", "base register not canonical", wrmsr(msrs[m], not_canonical[i]),
                    TRAP_GP);
    test_eq("34b", "old fs kept", (int64_t)read_fs(), 0xf5f5);
    test_eq("34b", "old gs kept", (int64_t)read_gs(), 0x6565);
    test_eq("34b", "fs by its register", wrmsr(msrs[0], HC_ADDR(&cell[2])), -1);
    test_eq("34b", "reads", (int64_t)read_fs(), 0x7575);
}

/* wrfsbase and the like: works or faults, and never sets what is not canonical. */
static void wrfsbase(void *arg)
{
    __asm__ volatile("wrfsbase %0" : : "r"(*(uint64_t *)arg));
}

static void by_instruction(void)
{
    for (unsigned int i = 0; i < 5; i++) {
        uint64_t v = not_canonical[i];
        struct trap_fault f = {0};

        test_true("34c", "faults", trap_run(wrfsbase, &v, &f));
        test_true("34c", "as undefined or protected", f.vector == TRAP_UD || f.vector == TRAP_GP);
    }
    test_eq("34c", "old fs kept", (int64_t)read_fs(), 0x7575);
}

/* A selector whose descriptor goes away while it is loaded. */
static volatile unsigned int failsafes;

static bool on_failsafe(struct trap_frame *f)
{
    (void)f;
    failsafes++;
    return true;
}

static void load_all(uint32_t s)
{
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs" : : "r"(s));
}

static void selectors_that_vanish(void)
{
    uint64_t page = mm_alloc(), list[1] = {mm_mfn(page)};

    ((uint64_t *)mm_va(page))[3] = DATA32;
    mm_home(page, PTE_RO);
    trap_set_hook(TRAP_FAILSAFE, on_failsafe);
    event_heartbeat(0); /* binds the timer's port: sleepers wake */
    for (int round = 0; round < 200; round++) {
        struct vcpu_set_singleshot_timer once = {.timeout_abs_ns = event_now() + 200000};

        if (hypercall(__HYPERVISOR_set_gdt, HC_ADDR(list), 8, 0, 0, 0))
            console_panic("gdt");
        load_all(3 << 3 | 3);
        hypercall(__HYPERVISOR_set_gdt, HC_ADDR(list), 0, 0, 0, 0);
        /* Descheduled: sleeping, and yielding. */
        if (round & 1) {
            /* Masked until the call itself unmasks: the wake-up cannot come too early. */
            event_deliver(false);
            hc_vcpu(VCPUOP_set_singleshot_timer, 0, &once);
            hc_sched(SCHEDOP_block, NULL);
        } else {
            vcpu_yield();
        }
    }
    load_all(0);
    trap_set_hook(TRAP_FAILSAFE, NULL);
    test_true("34d", "vanished selectors survived", true);
    test_note("%u failsafe callbacks", failsafes);
    test_eq("34d", "the page is free", mm_home(page, PTE_RW), 0);
}

/* User gs selectors that do not exist. */
static void user_gs_selector(void)
{
    static const uint32_t selectors[] = {0,      3,      8,      0x10,   0xe008, 0xe010,
                                         0xe023, 0xe02b, 0xe033, 0xfffb, 0xffff, 0x7};

    for (unsigned int i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
        long ret = set_base(SEGBASE_GS_USER_SEL, selectors[i]);

        test_true("34e", "user gs selector: taken, null or refused", ret <= 0);
        test_eq("34e", "kernel gs is ours", (int64_t)read_gs(), 0x6565);
    }
    set_base(SEGBASE_GS_USER_SEL, 0);
}

/* User and kernel gs stay paired through every toggle, also while others run. */
static volatile int stop;

static void noise(void *arg)
{
    (void)arg;
    while (!stop) {
        set_base(SEGBASE_GS_KERNEL, HC_ADDR(&cell[2]));
        set_base(SEGBASE_GS_USER, 0x1000);
        vcpu_yield();
    }
}

static void paired(void)
{
    static const unsigned char code[] = {0x65, 0x48, 0x8b,
                                         0x07, 0x0f, 0x05}; /* mov %gs:(%rdi),%rax */
    static const unsigned char bad[] = {0x65, 0x48, 0x8b, 0x07, 0x0f, 0x0b};
    int odd = 0;

    vcpu_run(1, noise, NULL);
    for (int kind = 0; kind < 2; kind++) {
        struct user u;

        user_make(&u, kind ? bad : code, 6);
        *(uint64_t *)mm_va(u.data) = 0xabcd;
        test_eq("34f", "user gs", set_base(SEGBASE_GS_USER, USER_DATA), 0);
        for (unsigned int i = 0; test_race(i, 300); i++) {
            struct trap_frame out;

            user_run(&u, NULL, &out, NULL);
            odd += out.rax != 0xabcd;
            odd += read_gs() != 0x6565;
            if (i % 10 == 0)
                vcpu_yield();
        }
        user_free(&u);
    }
    stop = 1;
    vcpu_join(1);
    test_eq("34f", "gs bases mixed up", odd, 0);
}

int main(void)
{
    test_begin("bases");
    by_call();
    by_msr();
    by_instruction();
    selectors_that_vanish();
    set_base(SEGBASE_FS, 0);
    user_gs_selector();
    paired();
    test_end();
}
