/* SPDX-License-Identifier: MIT */
/*
 * Invariant 9: a multicall is a plain loop of top-level calls.
 *
 * run: smp=2 deadline=60
 */
#include <bare/test.h>

#define PATTERN 0x5a5a5a5a5a5a5a5aul

static struct multicall_entry version(void)
{
    return (struct multicall_entry){
        .op = __HYPERVISOR_xen_version, .result = PATTERN, .args = {XENVER_version, 0}};
}

static void plain(void)
{
    struct multicall_entry m[4] = {version(), version(), version(), version()};
    struct multicall_entry inner[2] = {version(), version()};

    m[1].op = 47;
    m[2].op = __HYPERVISOR_multicall;
    m[2].args[0] = HC_ADDR(inner);
    m[2].args[1] = 2;
    test_eq("9a", "a list", hc_multicall(m, 4), 0);
    test_eq("9a", "first", (int64_t)m[0].result, 0x40011);
    test_eq("9a", "no such call", (int64_t)m[1].result, -XEN_ENOSYS);
    test_eq("9a", "a multicall inside", (int64_t)m[2].result, -XEN_EINVAL);
    test_eq("9a", "what it lists is not run", (int64_t)inner[0].result, (int64_t)PATTERN);
    test_eq("9a", "the next one is", (int64_t)m[3].result, 0x40011);
    test_eq("9a", "an empty list", hc_multicall(m, 0), 0);
    m[0].op = 1ul << 32 | __HYPERVISOR_xen_version;
    m[0].result = PATTERN;
    hc_multicall(m, 1);
    test_either("9a", "number beyond 32 bits", (int64_t)m[0].result, -XEN_ENOSYS, 0x40011);
}

/* The list runs out of our memory: earlier results are kept. */
static void list_running_out(void)
{
    uint64_t pages = mm_alloc_run(2);
    struct multicall_entry *m;

    mm_home(pages + 1, 0);
    m = (void *)((char *)mm_va(pages + 1) - 2 * sizeof(*m));
    m[0] = m[1] = version();
    test_eq("9b", "third entry not mapped", hc_multicall(m, 3), -XEN_EFAULT);
    test_eq("9b", "first result", (int64_t)m[0].result, 0x40011);
    test_eq("9b", "second result", (int64_t)m[1].result, 0x40011);
    m = (void *)((char *)mm_va(pages + 1) - sizeof(*m) - sizeof(*m) / 2);
    m[0] = version();
    test_eq("9b", "second entry half mapped", hc_multicall(m, 2), -XEN_EFAULT);
    test_eq("9b", "first result", (int64_t)m[0].result, 0x40011);
    mm_home(pages + 1, PTE_RW);
}

/* An entry that leaves the kernel ends the list. */
static struct multicall_entry leaving[3];
static volatile int landed;

static void landing(void)
{
    landed = 1;
    __asm__ volatile("ud2");
}

static void leave(void *arg)
{
    uint64_t sp;

    (void)arg;
    __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
    /* The frame the iret call reads is on top of the stack when the call is made. */
    __asm__ volatile("push %[ss]; push %[sp]; push $0x200; push %[cs]; push %[rip]\n"
                     "push $0; push $0; push $0; push $0\n"
                     "syscall\n"
                     "add $72, %%rsp"
                     :
                     : "a"(__HYPERVISOR_multicall), "D"(leaving),
                       "S"(3ul), [ss] "r"((uint64_t)FLAT_KERNEL_SS), [sp] "r"(sp - 512),
                       [cs] "r"((uint64_t)FLAT_KERNEL_CS & ~3ul), [rip] "r"(landing)
                     : "rcx", "r11", "memory");
}

static void iret_ends_the_list(void)
{
    struct trap_fault f = {0};

    leaving[0] = leaving[1] = leaving[2] = version();
    leaving[1].op = __HYPERVISOR_iret;
    test_true("9c", "left by the call", trap_run(leave, NULL, &f) && landed);
    test_eq("9c", "where it should", (int64_t)f.vector, TRAP_UD);
    test_eq("9c", "before it: done", (int64_t)leaving[0].result, 0x40011);
    test_eq("9c", "behind it: not executed", (int64_t)leaving[2].result, (int64_t)PATTERN);
}

/* [SMP] Entries rewritten while the list runs: each result is of one or the other. */
static struct multicall_entry raced[64];
static volatile int stop;

static void rewrite(void *arg)
{
    (void)arg;
    while (!stop)
        for (unsigned int i = 0; i < 64; i++) {
            raced[i].op = 47;
            raced[i].args[0] = 0xffff;
            raced[i].op = __HYPERVISOR_xen_version;
            raced[i].args[0] = XENVER_version;
            raced[i].op = __HYPERVISOR_multicall;
        }
}

static void rewritten_while_running(void)
{
    int odd = 0;

    for (unsigned int i = 0; i < 64; i++)
        raced[i] = version();
    vcpu_run(1, rewrite, NULL);
    for (unsigned int round = 0; test_race(round, 3000); round++) {
        if (hc_multicall(raced, 64))
            odd++;
        for (unsigned int i = 0; i < 64; i++) {
            long r = (long)raced[i].result;

            /* The version, no such call or command, or a nested list. */
            odd += r != 0x40011 && r != -XEN_ENOSYS && r != -XEN_EINVAL;
        }
    }
    stop = 1;
    vcpu_join(1);
    test_eq("9d", "mixed results", odd, 0);
}

/* A long list, preempted by timer events: every result is there, none is done twice. */
static void preempted(void)
{
    unsigned int n = 4096 * 4 / sizeof(struct multicall_entry);
    uint64_t pfn = mm_alloc_run(4), t = mm_table(), data = mm_alloc();
    struct multicall_entry *m = mm_va(pfn);
    uint64_t req_pfn = mm_alloc_run(4);
    struct mmu_update *reqs = mm_va(req_pfn);
    int bad = 0;

    event_heartbeat(1000000);
    test_eq("9e", "a table", test_pin(1, t), 0);
    for (int round = 0; round < 50; round++) {
        for (unsigned int i = 0; i < n; i++) {
            reqs[i] = (struct mmu_update){mm_slot(t, i), round & 1 ? 0 : mm_entry(data, PTE_RO)};
            m[i] = (struct multicall_entry){.op = __HYPERVISOR_mmu_update,
                                            .result = PATTERN,
                                            .args = {HC_ADDR(&reqs[i]), 1, 0, DOMID_SELF}};
        }
        bad += hc_multicall(m, n) != 0;
        for (unsigned int i = 0; i < n; i++) {
            bad += m[i].result != 0;
            bad += ((((uint64_t *)mm_va(t))[i] & PTE_P) != 0) != !(round & 1);
        }
    }
    test_eq("9e", "wrong results in long lists", bad, 0);
    test_note("%lu timer events meanwhile", (unsigned long)vcpu_self()->beats);
    event_heartbeat(0);
    test_eq("9e", "unpin", test_unpin(t), 0);
}

int main(void)
{
    test_begin("multicall");
    plain();
    list_running_out();
    iret_ends_the_list();
    rewritten_while_running();
    preempted();
    test_end();
}
