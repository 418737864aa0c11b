/* SPDX-License-Identifier: MIT */
/*
 * Invariants 34 and 56: a vCPU's context is taken as a whole or refused as a whole, once; and what a
 * context names is the vCPU's own, whoever ran on the CPU before.
 *
 * run: smp=2 deadline=60
 * also onecpu: smp=1 hv=dom0_max_vcpus=2
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

int main(void)
{
    test_begin("contexts");
    running_vcpus();
    user_without_a_root();
    local_tables();
    test_end();
}
