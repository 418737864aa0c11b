/* SPDX-License-Identifier: MIT */
/*
 * A physical CPU, and how running code finds it.
 *
 * The hypervisor runs with interrupts off. It takes them only where it asks: irq_window() at preemption
 * points, and while idle. So there is no irq-saving lock and no nested interrupt, and data of one CPU
 * needs no protection from that CPU's own handlers except across preemption points.
 *
 * Every stack is 16 KiB, aligned to 16 KiB, and carries at its top a struct stack_top: masking the
 * stack pointer finds the CPU and the vCPU. Each vCPU has a stack of its own; so have the
 * non-maskable entries (double fault, NMI, machine check, debug) of each CPU.
 */
#ifndef X86_CPU_H
#define X86_CPU_H

#include "base/bits.h"
#include "base/list.h"
#include "base/spinlock.h"
#include "base/types.h"
#include "x86/memory_map.h"
#include "x86/regs.h"

struct vcpu;
struct cpu;

struct stack_top {
    uint64_t pad;     /* so that regs end at a multiple of 16: hardware aligns before it pushes */
    struct regs regs; /* the guest's, whenever the hypervisor was entered from a guest */
    struct cpu *cpu;  /* the CPU this stack runs on now */
    struct vcpu *current; /* whose stack this is; on a CPU's exception stacks: NULL */
};
_Static_assert(offsetof(struct stack_top, cpu) % 16 == 0, "where SYSCALL and TSS.rsp0 point");
_Static_assert(sizeof(struct stack_top) % 16 == 0, "stacks stay aligned");

struct tss {
    uint32_t reserved0;
    uint64_t rsp0, rsp1, rsp2;
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t iomap_base;
} __packed;

enum ist { IST_NONE, IST_DF, IST_NMI, IST_MC, IST_DB };

/* Data of a CPU's entry page (memory_map.h ENTRY_BASE), addressed relative to the entry code. */
struct entry_data {
    uint64_t stack_top; /* where SYSCALL/SYSENTER go: &stack_top.cpu of the running vCPU's stack */
    uint64_t scratch;
    uint64_t handler_syscall, handler_syscall32, handler_sysenter;
    uint64_t pad[507];
};

struct flush_request; /* hv/x86/tlb.c */
struct timer;

struct cpu {
    unsigned id; /* 0..cpu_count-1 */
    uint32_t apic_id;
    uint32_t acpi_id;
    uint32_t core_id; /* the same for CPUs of one physical core */
    struct vcpu *current;
    struct vcpu *idle;
    struct vcpu *switched_from; /* set by context_switch, for sched_switch_tail */
    struct entry_data *entry;
    struct tss *tss;
    uint64_t *window_ptes; /* the 32 entries that map this CPU's GDT/LDT window */

    /* sched.c: under rq_lock */
    bool need_resched; /* set by anyone; look at the run queue before returning to a guest */
    spinlock_t rq_lock;
    struct list rq; /* runnable vCPUs that are not running, by virtual time */
    unsigned rq_len;
    unsigned rq_weight, run_weight,
        tail_weight;    /* of those queued; of who runs (idle: 0); of who just ran and goes on */
    uint64_t run_start; /* ns, when the running vCPU got this CPU, or another turn on it */
    uint64_t turn_end;  /* ns; 0: nobody waits */
    uint64_t
        slice_end; /* ns, when to look again: the turn's end or the cap's; 0: never (timer.c) */
    uint64_t charged_at; /* ns, until when the running vCPU has been charged */
    uint64_t vclock;     /* virtual time that everybody here has had at least; never goes back */
    bool crowded;        /* who runs had to wait for long: move others away */

    /* timer.c */
    spinlock_t timer_lock;
    struct timer **timer_heap;
    unsigned timer_count, timer_capacity;
    struct timer *timer_running; /* whose callback runs here */
    uint64_t timer_programmed;   /* the hardware's deadline, 0: none */
    uint64_t timer_due;          /* when it can interrupt: not before it was programmed */

    /* tlb.c */
    uint64_t flushed_at;    /* TLB clock when this CPU last flushed everything */
    uint32_t flush_pending; /* a request waits in the mailbox */
    uint32_t guest; /* domain id << 16 | vCPU id whose tables may be loaded; idle: DOMID_IDLE */
    bool online;
    bool exempt; /* idle on the hypervisor's own root: holds no guest translation */

    /* statistics */
    uint64_t context_switches, hypercalls, longest_off_ns;
};

extern struct cpu *cpus[MAX_CPUS];
extern unsigned cpu_count; /* online CPUs */

static inline struct stack_top *stack_top_of(const void *sp)
{
    return (struct stack_top *)(((uintptr_t)sp | (STACK_SIZE - 1)) + 1 - sizeof(struct stack_top));
}
static inline struct stack_top *this_stack(void)
{
    uintptr_t sp;
    __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
    return stack_top_of((void *)sp);
}
/* Do not keep across a preemption point: the vCPU may go on elsewhere. */
static inline struct cpu *this_cpu(void)
{
    return this_stack()->cpu;
}
static inline struct vcpu *current_vcpu(void)
{
    return this_stack()->current;
}

/* What the hardware offers and the hypervisor uses; filled at boot (hv/x86/cpu.c). */
struct cpu_features {
    bool nx, smep, smap, umip, xsave, fsgsbase, x2apic, tsc_deadline, tsc_invariant, pge, pcid, avx,
        rdrand, intel_sysenter;
    unsigned phys_bits;
    uint64_t xcr0; /* what guests may use */
    unsigned xsave_size;
};
extern struct cpu_features cpu_features;

/* Stacks (hv/x86/stack.c): NULL when out of memory. Returns the stack's top structure. */
struct stack_top *stack_alloc(void);
void stack_free(struct stack_top *top);

/* Send a vector to a CPU (hv/dev/lapic.c). */
void lapic_send_ipi(unsigned cpu, unsigned vector);

/* Enable STAC/CLAC in the entry code where the CPU has SMAP; before the image becomes read-only. */
void smap_patch(void);

/* tlb.c: mailbox service, called by spin_wait, VECTOR_FLUSH and irq windows. */
void tlb_serve_requests(void);

#endif
