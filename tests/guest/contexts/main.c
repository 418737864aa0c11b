/* SPDX-License-Identifier: MIT */
/*
 * Invariants 34 and 56: a vCPU's context is taken as a whole or refused as a whole, once; and what a
 * context names is the vCPU's own, whoever ran on the CPU before.
 *
 * run: smp=2 deadline=60
 * also onecpu: smp=1 hv=dom0_max_vcpus=2
 * also nmi: nmi=20
 */
#include <bare/test.h>

#define DATA32      0x00cff3000000fffful
#define SELECTOR(n) ((n) << 3 | 7)

static struct vcpu_guest_context *context(void)
{
    static struct vcpu_guest_context *c;
    uint64_t stack = HC_ADDR(mm_va(mm_alloc_run(8)));

    if (!c)
        c = mm_va(mm_alloc_run(2));
    vcpu_context(c, NULL, ((stack + VCPU_STACK - 1) & ~(VCPU_STACK - 1)) + VCPU_STACK - 8);
    return c;
}

/* The vCPU that the builder started has its context, though nobody asked for it by hypercall. */
static void running_vcpus(void)
{
    struct vcpu_guest_context *c = context();

    c->user_regs.rip = START_VIRT_BASE;
    test_eq("56a", "the vCPU that calls", hc_vcpu(VCPUOP_initialise, 0, c), -XEN_EEXIST);
    c->ctrlreg[3] = 0;
    test_refused("56a", "the same with a bad context", hc_vcpu(VCPUOP_initialise, 0, c));
    test_audit("56a");
}

static void user_without_a_root(void)
{
    for (uint64_t low = 0; low < 4096; low += 1365) {
        struct vcpu_guest_context *c = context();

        c->flags = 0;
        c->user_regs.rip = USER_CODE;
        c->ctrlreg[1] = low; /* names frame 0: none */
        test_eq("56b", "user mode without a user root", hc_vcpu(VCPUOP_initialise, 1, c),
                -XEN_EINVAL);
        test_eq("56b", "and is not brought up", hc_vcpu(VCPUOP_up, 1, NULL), -XEN_EINVAL);
    }
}

/* ---- selectors of the local table, over switches of vCPUs ---- */

static void set_ldt(uint64_t address, unsigned int entries)
{
    struct mmuext_op op = {.cmd = MMUEXT_SET_LDT, .arg1.linear_addr = address};

    op.arg2.nr_ents = entries;
    test_eq("34e", "local table", hc_mmuext(&op, 1, NULL, DOMID_SELF), 0);
}

static uint32_t ds(void)
{
    uint32_t v;

    __asm__ volatile("mov %%ds, %0" : "=r"(v));
    return v;
}

static void load_ds(uint32_t selector)
{
    __asm__ volatile("mov %0, %%ds" : : "r"(selector));
}

static uint32_t limit_of(uint32_t selector)
{
    uint32_t limit = 0;

    __asm__ volatile("lsl %1, %0" : "+r"(limit) : "r"(selector) : "cc");
    return limit;
}

struct side {
    uint64_t *table;
    volatile uint32_t lost, foreign, rounds;
};

static void use_own_table(void *arg)
{
    struct side *s = arg;
    uint64_t entry = s->table[3];
    uint32_t limit = (uint32_t)((entry >> 32 & 0xf0000) | (entry & 0xffff)) << 12 | 0xfff;

    set_ldt(HC_ADDR(s->table), 512);
    load_ds(SELECTOR(3));
    for (unsigned int i = 0; test_race(i, 3000); i++) {
        if (i % 2)
            vcpu_yield();
        s->lost += ds() != SELECTOR(3);
        s->foreign += limit_of(SELECTOR(3)) != limit;
        load_ds(SELECTOR(3));
        s->rounds++;
    }
    load_ds(0);
    set_ldt(0, 0);
}

/* Two vCPUs, each with a table of its own at the same place in its selectors. */
static void local_tables(void)
{
    static struct side sides[2];

    for (unsigned int i = 0; i < 2; i++) {
        uint64_t pfn = mm_alloc();

        sides[i].table = mm_va(pfn);
        sides[i].table[3] = (DATA32 & ~0xfffful) | (0x1000 << i);
        mm_home(pfn, PTE_RO);
    }
    vcpu_run(1, use_own_table, &sides[1]);
    use_own_table(&sides[0]);
    vcpu_join(1);
    for (unsigned int i = 0; i < 2; i++) {
        test_true("34e", "switches", sides[i].rounds > 10);
        test_eq("34e", "selectors lost over a switch", sides[i].lost, 0);
        test_eq("34e", "another's table seen", sides[i].foreign, 0);
        test_eq("34e", "table free afterwards", mm_home(mm_pfn_of(sides[i].table), PTE_RW), 0);
    }
    test_audit("34e");
}

/* ---- a code segment that goes while it is in use ---- */

#define CODE64   0x00affb000000fffful
#define OWN_CODE (1 << 3 | 3)
#define ROUND_NS 300000000ul

static volatile int inside, gone;
static volatile unsigned int failed_back;
static uint64_t own_gdt;

/* The processor could not return to the segment: go on in the one that is always there. */
static bool on_failsafe(struct trap_frame *f)
{
    failed_back++;
    f->cs = FLAT_KERNEL_CS & ~3ul; /* to the kernel */
    return true;
}

static void take_segment_away(void *arg)
{
    (void)arg;
    while (!inside)
        vcpu_yield();
    hypercall(__HYPERVISOR_update_descriptor, mm_slot(own_gdt, 1), 0, 0, 0, 0);
    gone = 1;
}

static void far_to(uint64_t selector)
{
    __asm__ volatile("push %0\n\t"
                     "lea 1f(%%rip), %%rax\n\t"
                     "push %%rax\n\t"
                     "lretq\n"
                     "1:"
                     :
                     : "r"(selector)
                     : "rax", "memory");
}

/* Whatever interrupts meanwhile, non-maskable interrupts too, the way back finds the segment gone. */
static void vanishing_segment(void)
{
    xen_pfn_t mfn;

    own_gdt = mm_alloc();
    mfn = mm_mfn(own_gdt);
    mm_home(own_gdt, PTE_RO);
    test_eq("34f", "table", hypercall(__HYPERVISOR_set_gdt, HC_ADDR(&mfn), 8, 0, 0, 0), 0);
    trap_set_hook(TRAP_FAILSAFE, on_failsafe);
    for (unsigned int i = 0; i < 3; i++) {
        uint64_t until;

        hypercall(__HYPERVISOR_update_descriptor, mm_slot(own_gdt, 1), CODE64, 0, 0, 0);
        inside = gone = 0;
        vcpu_run(1, take_segment_away, NULL);
        far_to(OWN_CODE);
        inside = 1;
        until = event_now() + ROUND_NS;
        while (event_now() < until || !gone)
            __asm__ volatile("pause");
        far_to(FLAT_KERNEL_CS);
        vcpu_join(1);
    }
    test_note("returns to a segment that had gone: %u", failed_back);
    trap_set_hook(TRAP_FAILSAFE, NULL);
    test_eq("34f", "drop", hypercall(__HYPERVISOR_set_gdt, HC_ADDR(&mfn), 0, 0, 0, 0), 0);
    test_eq("34f", "writable again", mm_home(own_gdt, PTE_RW), 0);
    test_audit("34f");
}

int main(void)
{
    test_begin("contexts");
    running_vcpus();
    user_without_a_root();
    local_tables();
    vanishing_segment();
    test_end();
}
