/* SPDX-License-Identifier: MIT */
/* A virtual CPU: guest state that is not in its stack's regs, and its place in the scheduler. */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H

#include "base/list.h"
#include "base/spinlock.h"
#include "core/timer.h"
#include "mm/mm.h"
#include "x86/cpu.h"
#include <xen/xen.h>
#include <xen/vcpu.h>

enum vcpu_state {
    VCPU_DOWN,     /* not initialised, or taken down */
    VCPU_RUNNABLE, /* on a run queue, or running */
    VCPU_BLOCKED,  /* waits for an event (SCHEDOP_block) or poll */
    VCPU_DEAD,     /* its domain dies; never runs a guest again */
};

struct guest_trap {
    uint64_t address;
    uint16_t cs;
    uint8_t flags; /* bits 0..1: lowest privilege allowed to call; bit 2: mask events */
};

struct guest_callback {
    uint64_t address; /* 0: not registered */
    bool mask_events;
};

/* A guest page that the hypervisor writes: registered by frame (vcpu_info) or by address (areas). */
struct guest_area {
    uint64_t va; /* 0: none */
};

struct vcpu {
    /* --- touched on every entry and exit; offsets known to entry.S (asm_offsets.c) --- */
    struct mm_vcpu mm; /* d, roots, descriptor frames */
    struct domain *domain;
    struct stack_top *stack;
    struct vcpu_info *info; /* in the direct map; in the shared page until registered elsewhere */
    bool in_kernel;         /* guest kernel mode: kernel root, kernel GS */
    bool ts;                /* guest's CR0.TS */
    uint8_t iopl;           /* virtual I/O privilege level */
    bool exit_work;         /* something else to do before returning to the guest: see guest_exit */
    uint64_t kernel_sp;
    uint64_t syscall_frame; /* where a system call's bounce frame goes; 0: take the slow path */
    uint16_t kernel_ss;
    struct guest_callback event_cb, failsafe_cb, syscall_cb, syscall32_cb, sysenter_cb;
    uint64_t kernel_cr3, user_cr3; /* hardware values for the two roots (user: 0 when none) */

    /* --- traps and segments --- */
    struct guest_trap traps[256];
    uint64_t fs_base;
    /* The one of the current mode is live in the register while running. */
    uint64_t gs_base_user, gs_base_kernel;
    uint16_t ds, es, fs, gs; /* saved while not running */
    uint64_t cr0, cr4;       /* as the guest sees them */
    uint32_t tsc_aux;        /* loaded by msr_load */
    uint64_t dr[8];
    uint64_t nmi_address;
    bool nmi_pending, nmi_masked;
    void *xsave;    /* extended state, cpu_features.xsave_size bytes, aligned to 64 */
    bool fpu_used;  /* ever initialised */
    uint8_t *iobmp; /* (guest address) PHYSDEVOP_set_iobitmap */
    unsigned iobmp_limit;

    /* --- scheduling: under sched lock of `cpu` (core/sched.h) --- */
    enum vcpu_state state;
    unsigned pause_count; /* > 0: does not run guest code (atomic) */
    bool running;         /* its registers are on a CPU */
    unsigned cpu;         /* where it runs, or ran last */
    struct list rq_entry;
    uint64_t vtime;         /* time it ran, divided by its weight, on the clock of its CPU */
    uint64_t place;         /* orders its queue: its vtime, or later if it yielded */
    unsigned queued_weight; /* its part of rq_weight while it is queued */
    int64_t lag;            /* moved: vtime on the new CPU's clock, when it is queued there */
    bool moved;
    bool yielded;                          /* it gave up its CPU for others */
    uint64_t saved_rsp;                    /* of its hypervisor stack while it is switched out */
    uint64_t affinity[MAX_CPUS / 64];      /* where it may run */
    uint64_t soft_affinity[MAX_CPUS / 64]; /* where it runs rather, among those */
    bool is_idle;
    bool wake_pending; /* woken while paused and blocked */
    bool in_hypercall; /* switched out inside the hypervisor, not at the guest boundary (for pause,
                                audit, teardown); meaningless while running */
    bool at_rest;      /* in_hypercall, but between two requests: sched_rest() */

    /* --- time --- */
    struct timer periodic, singleshot, poll;
    uint64_t periodic_ns;
    struct vcpu_runstate_info runstate;
    uint64_t runstate_va; /* registered areas, 0: none */
    uint64_t time_va;
    uint32_t time_version;

    /* --- events --- */
    uint16_t virq_port[NR_VIRQS];
    int poll_port;     /* SCHEDOP_poll: the one port, -1 several, 0 not polling */
    uint64_t info_mfn; /* frame held for vcpu_info, ~0: still in the shared page */
    struct vcpu_info
        *own_info;    /* heap: where info lies for ids beyond the shared page's, until registered */
    bool claimed;     /* somebody gives, or gave, it a context (atomic) */
    bool initialised; /* has a complete context */

    uint64_t hypercalls, upcalls, switches; /* counted for its domain's account */
};

static inline struct vcpu *vcpu_of(struct mm_vcpu *m)
{
    return container_of(m, struct vcpu, mm);
}
static inline struct regs *vcpu_regs(struct vcpu *v)
{
    return &v->stack->regs;
}

#endif
