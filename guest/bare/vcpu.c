/* SPDX-License-Identifier: MIT */
#include <bare/console.h>
#include <bare/event.h>
#include <bare/mm.h>
#include <bare/start.h>
#include <bare/string.h>
#include <bare/vcpu.h>

extern const char entry_event[], entry_failsafe[], entry_syscall[], entry_secondary[];
_Noreturn void vcpu_secondary(void);

static struct vcpu *started[VCPU_MAX];

void vcpu_yield(void)
{
    hc_sched(SCHEDOP_yield, NULL);
}

unsigned int vcpu_count(void)
{
    unsigned int n = 0;

    while (n < 256 && hc_vcpu(VCPUOP_is_up, n, NULL) >= 0)
        n++;
    return n;
}

_Noreturn void vcpu_secondary(void)
{
    struct vcpu *v = vcpu_self();

    trap_init();
    event_deliver(true);
    for (;;) {
        while (!v->work)
            vcpu_yield();
        v->work(v->arg);
        v->work = NULL;
    }
}

void vcpu_context(struct vcpu_guest_context *c, void (*fn)(void), uint64_t stack_top)
{
    memset(c, 0, sizeof(*c));
    c->flags = VGCF_IN_KERNEL;
    c->user_regs.cs = FLAT_KERNEL_CS;
    c->user_regs.ss = FLAT_KERNEL_SS;
    c->user_regs.rip = HC_ADDR(fn);
    c->user_regs.rsp = stack_top;
    c->user_regs.rflags = 0x200;
    c->kernel_ss = FLAT_KERNEL_SS;
    c->kernel_sp = stack_top;
    c->event_callback_eip = HC_ADDR(entry_event);
    c->failsafe_callback_eip = HC_ADDR(entry_failsafe);
    c->syscall_callback_eip = HC_ADDR(entry_syscall);
    c->ctrlreg[3] = xen_pfn_to_cr3(mm_mfn(mm_root()));
}

static struct vcpu *start(unsigned int id)
{
    /* Stacks are aligned to their size: take twice as much and use the aligned part. */
    uint64_t raw = HC_ADDR(mm_va(mm_alloc_run(2 * VCPU_STACK / MM_PAGE)));
    uint64_t base = (raw + VCPU_STACK - 1) & ~(VCPU_STACK - 1);
    struct vcpu_guest_context *c = mm_va(mm_alloc_run(2));
    struct vcpu *v = (struct vcpu *)base;
    long ret;

    v->id = id;
    vcpu_context(c, (void (*)(void))entry_secondary, base + VCPU_STACK);
    ret = hc_vcpu(VCPUOP_initialise, id, c);
    if (!ret)
        ret = hc_vcpu(VCPUOP_up, id, NULL);
    if (ret)
        console_panic("vcpu %u does not start: %ld", id, ret);
    return v;
}

void vcpu_run(unsigned int id, void (*fn)(void *), void *arg)
{
    if (!started[id])
        started[id] = start(id);
    started[id]->arg = arg;
    __asm__ volatile("" ::: "memory");
    started[id]->work = fn;
}

void vcpu_join(unsigned int id)
{
    while (started[id]->work)
        vcpu_yield();
}
