/* SPDX-License-Identifier: MIT */
/*
 * Invariant 56: the context of a vCPU is taken whole or refused whole, whether domain 0 gives it (to a new domain, a paused
 * one, one that runs) or the domain itself does, two vCPUs at once.
 *
 * run: smp=2 guests=self deadline=120
 */
#define __XEN_TOOLS__ 1
#include <bare/pair.h>
#include <xen/domctl.h>

extern const char entry_secondary[];

/* ---- contexts that are wrong in one place each ---- */

#define NOT_CANONICAL 0x0000800000000000ul
#define HV_ADDRESS    0xffff830000000000ul

static void good(struct vcpu_guest_context *c, uint64_t root_mfn)
{
    vcpu_context(c, (void (*)(void))(uint64_t)entry_secondary, START_VIRT_BASE + 0x10000);
    c->ctrlreg[3] = xen_pfn_to_cr3(root_mfn);
}

static const char *const faults[] = {
    "no root",
    "a root that is data",
    "a root beyond memory",
    "a root of the hypervisor",
    "a root of another",
    "user root of another",
    "user mode without root",
    "rip not canonical",
    "rip in our slots",
    "event callback",
    "failsafe callback",
    "syscall callback",
    "fs base",
    "gs base of kernel",
    "gs base of user",
    "stack pointer",
    "kernel stack",
    "trap handler",
    "breakpoint",
    "debug control",
    "too many descriptors",
    "descriptors in data of another",
    "descriptors in a table",
    "descriptors beyond memory",
    "too large an LDT",
    "LDT not canonical",
    "LDT in our slots",
    "LDT not aligned",
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

/* other: a frame of somebody else; table: a page table of the domain's own, in use. */
static void spoil(struct vcpu_guest_context *c, unsigned int fault, uint64_t own_data,
                  uint64_t other, uint64_t table)
{
    switch (fault) {
    case 0:
        c->ctrlreg[3] = 0;
        break;
    case 1:
        c->ctrlreg[3] = xen_pfn_to_cr3(own_data);
        break;
    case 2:
        c->ctrlreg[3] = xen_pfn_to_cr3(1ul << 39);
        break;
    case 3:
        c->ctrlreg[3] = xen_pfn_to_cr3(1);
        break;
    case 4:
        c->ctrlreg[3] = xen_pfn_to_cr3(other);
        break;
    case 5:
        c->ctrlreg[1] = xen_pfn_to_cr3(other);
        break;
    case 6:
        c->flags = 0;
        break;
    case 7:
        c->user_regs.rip = NOT_CANONICAL;
        break;
    case 8:
        c->user_regs.rip = HV_ADDRESS;
        break;
    case 9:
        c->event_callback_eip = HV_ADDRESS;
        break;
    case 10:
        c->failsafe_callback_eip = NOT_CANONICAL;
        break;
    case 11:
        c->syscall_callback_eip = HV_ADDRESS;
        break;
    case 12:
        c->fs_base = NOT_CANONICAL;
        break;
    case 13:
        c->gs_base_kernel = NOT_CANONICAL;
        break;
    case 14:
        c->gs_base_user = NOT_CANONICAL;
        break;
    case 15:
        c->user_regs.rsp = NOT_CANONICAL;
        break;
    case 16:
        c->kernel_sp = NOT_CANONICAL;
        break;
    case 17:
        c->trap_ctxt[200].address = HV_ADDRESS;
        break;
    case 18:
        c->debugreg[0] = HV_ADDRESS;
        break;
    case 19:
        c->debugreg[7] = 1ul << 40;
        break;
    case 20:
        c->gdt_ents = 14 * 512 + 1;
        break;
    case 21:
        c->gdt_ents = 512;
        c->gdt_frames[0] = other;
        break;
    case 22:
        c->gdt_ents = 512;
        c->gdt_frames[0] = table;
        break;
    case 23:
        c->gdt_ents = 512;
        c->gdt_frames[0] = 1ul << 50;
        break;
    case 24:
        c->ldt_ents = 8193;
        c->ldt_base = START_VIRT_BASE;
        break;
    case 25:
        c->ldt_ents = 1;
        c->ldt_base = NOT_CANONICAL;
        break;
    case 26:
        c->ldt_ents = 1;
        c->ldt_base = HV_ADDRESS;
        break;
    case 27:
        c->ldt_ents = 1;
        c->ldt_base = START_VIRT_BASE + 8;
        break;
    }
}

/* ---- the domain's own call ---- */

static struct vcpu_guest_context ctx;

static int64_t own_contexts(uint64_t other)
{
    uint64_t data = mm_alloc();

    for (unsigned int i = 0; i < FAULTS; i++) {
        good(&ctx, mm_mfn(mm_root()));
        /* Descriptors come first: that they were taken must be undone when something later is wrong. */
        if (i < 20 && i & 1)
            ctx.gdt_ents = 512, ctx.gdt_frames[0] = mm_mfn(data);
        mm_home(data, 0);
        spoil(&ctx, i, mm_mfn(data), other, mm_mfn(mm_root()));
        test_either("56c", faults[i], hc_vcpu(VCPUOP_initialise, 1, &ctx), -XEN_EINVAL, -XEN_EBUSY);
        test_eq("56c", "it stays down", hc_vcpu(VCPUOP_up, 1, NULL), -XEN_EINVAL);
        test_eq("56c", "nothing is held", mm_home(data, PTE_RW), 0);
    }
    test_eq("56c", "a vCPU that is not", hc_vcpu(VCPUOP_initialise, 77, &ctx), -XEN_ENOENT);
    test_eq("56c", "a context that is not", hc_vcpu(VCPUOP_initialise, 1, (void *)HV_ADDRESS),
            -XEN_EFAULT);
    mm_free(data);
    return 0;
}

/* Two initialise the same vCPU at once [SMP]: one does; the flags change under its hands meanwhile. */
static volatile int go;
static volatile int64_t second_result;
static struct vcpu_guest_context racing;

static void second(void *arg)
{
    uint64_t id = (uint64_t)arg;

    while (!go)
        ;
    second_result = hc_vcpu(VCPUOP_initialise, (unsigned int)id, &racing);
}

static void parked(void)
{
    for (;;)
        hc_vcpu(VCPUOP_down, vcpu_count() /* none such: then for ever */, NULL), vcpu_yield();
}

static int64_t raced(uint64_t arg)
{
    static char stacks[8][512] __attribute__((aligned(16)));

    (void)arg;
    for (unsigned int id = 2; id < 8; id++) {
        int64_t first;

        go = 0;
        vcpu_context(&racing, parked, HC_ADDR(stacks[id] + 512));
        vcpu_run(1, second, (void *)(uint64_t)id);
        go = 1;
        first = hc_vcpu(VCPUOP_initialise, id, &racing);
        for (unsigned int i = 0; i < 1000; i++)
            racing.ctrlreg[3] ^= 1ul << (i % 40);
        vcpu_join(1);
        test_true("56d", "one of two", (first == 0) + (second_result == 0) <= 1);
        test_true("56d", "the other is told",
                  first == 0 ? second_result == -XEN_EEXIST || second_result == -XEN_EINVAL
                             : first == -XEN_EEXIST || first == -XEN_EINVAL);
        if (first == 0 || second_result == 0) {
            test_eq("56d", "not twice", hc_vcpu(VCPUOP_initialise, id, &racing), -XEN_EEXIST);
            hc_vcpu(VCPUOP_up, id, NULL);
            test_eq("56d", "up", hc_vcpu(VCPUOP_is_up, id, NULL), 1);
            hc_vcpu(VCPUOP_down, id, NULL);
        }
    }
    return 0;
}

/* ---- domain 0's call ---- */

static long set(unsigned int id, unsigned int vcpu, struct vcpu_guest_context *c)
{
    struct xen_domctl_vcpucontext v = {.vcpu = vcpu};

    set_xen_guest_handle(v.ctxt, c);
    return control_domctl(XEN_DOMCTL_setvcpucontext, id, &v, sizeof(v));
}

static long get(unsigned int id, unsigned int vcpu, struct vcpu_guest_context *c)
{
    struct xen_domctl_vcpucontext v = {.vcpu = vcpu};

    set_xen_guest_handle(v.ctxt, c);
    return control_domctl(XEN_DOMCTL_getvcpucontext, id, &v, sizeof(v));
}

static bool any_role(uint64_t mfn)
{
    struct pal_frame f = {.mfn = mfn};

    hypercall(__HYPERVISOR_pal_op, PALOP_frame, HC_ADDR(&f), 0, 0, 0);
    return f.role_count || f.refs != (0x80000000u | 1);
}

/* vCPU 1 of the paused attacker has never been started. */
static void given_by_control(void)
{
    const struct control_domain *d = pair_control(pair_attacker);
    uint64_t data = d->mfns[d->pages - 2], other = pair_mfn(pair_witness, 300);
    bool held = any_role(data);

    control_pause(d->id, true);
    for (unsigned int i = 0; i < FAULTS; i++) {
        good(&ctx, d->root_mfn);
        spoil(&ctx, i, data, other, d->root_mfn);
        test_either("56e", faults[i], set(d->id, 1, &ctx), -XEN_EINVAL, -XEN_EBUSY);
        test_eq("56e", "it has none", get(d->id, 1, &ctx), -XEN_ENODATA);
        test_eq("56e", "nothing is held", any_role(data), held);
    }
    test_refused("56e", "a vCPU that is not", set(d->id, 77, &ctx));
    test_refused("56e", "a context that is not", set(d->id, 1, (void *)HV_ADDRESS));
    control_pause(d->id, false);
    pair_check("56e");
}

/* One that runs: read and set again, it goes on; set wrong, it stands still, and only it. */
static int64_t count(uint64_t arg)
{
    volatile uint64_t *at = &pair_facts()->frame;

    while (!pair_told_to_stop())
        (*at)++;
    return (int64_t)arg;
}

static void one_that_runs(void)
{
    const struct control_domain *d = pair_control(pair_attacker);
    uint64_t other = pair_mfn(pair_witness, 300);
    unsigned int changed = 0;

    pair_start(pair_attacker, count, 6);
    for (unsigned int i = 0; i < 25; i++) {
        control_pause(d->id, true);
        if (get(d->id, 0, &ctx) == 0)
            changed += set(d->id, 0, &ctx) == 0;
        control_pause(d->id, false);
    }
    test_true("56f", "its own context given back", changed > 0);
    pair_tell_to_stop(pair_attacker);
    test_eq("56f", "it has gone on", pair_wait(pair_attacker), 6);
    pair_check("56f");
    pair_start(pair_attacker, count, 6);
    for (unsigned int i = 0; i < FAULTS; i++) {
        control_pause(d->id, true);
        if (i == 0)
            test_eq("56g", "read", get(d->id, 0, &ctx), 0);
        good(&ctx, d->root_mfn);
        spoil(&ctx, i, d->mfns[d->pages - 2], other, d->root_mfn);
        test_true("56g", faults[i], set(d->id, 0, &ctx) < 0);
        control_pause(d->id, false);
    }
    pair_check("56g");
    pair_end_attacker("56g");
}

/* Two vCPUs of domain 0 give contexts, end the domain, ask. */
static volatile unsigned int target;

static void give_and_ask(void *arg)
{
    static struct vcpu_guest_context c;
    uint64_t root = (uint64_t)arg;

    for (unsigned int id; (id = target) != 0;) {
        good(&c, root);
        set(id, 1, &c);
        get(id, 1, &c);
        c.ctrlreg[3] = 0;
        set(id, 1, &c);
    }
}

static void given_while_it_ends(void)
{
    for (unsigned int i = 0; i < 5; i++) {
        pair_new_attacker(4);
        target = pair_id(pair_attacker);
        vcpu_run(1, give_and_ask, (void *)pair_control(pair_attacker)->root_mfn);
        for (unsigned int k = 0; k < i * 8; k++) {
            good(&ctx, pair_control(pair_attacker)->root_mfn);
            set(target, 1, &ctx);
            set(target, 2, &ctx);
        }
        pair_kill_attacker();
        target = 0;
        vcpu_join(1);
        pair_gone("56h");
    }
    pair_check("56h");
}

static void story(void)
{
    pair_begin(1);
    pair_new_attacker(8);
    pair_attack("56c", own_contexts, pair_mfn(pair_witness, 300));
    pair_attack("56d", raced, 0);
    pair_end_attacker("56d");
    pair_new_attacker(2);
    given_by_control();
    one_that_runs();
    given_while_it_ends();
}

int main(void)
{
    return pair_main("pair-context", story);
}
