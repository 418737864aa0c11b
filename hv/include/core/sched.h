/* SPDX-License-Identifier: MIT */
/*
 * The scheduler. One run queue a CPU (cpu->rq under cpu->rq_lock). A vCPU is in exactly one place: running
 * on a CPU, on one run queue, or neither (blocked, paused, down).
 */
#ifndef CORE_SCHED_H
#define CORE_SCHED_H

#include "core/vcpu.h"

struct domain;

/* Who runs is not displaced by one who wakes before this time. */
#define SCHED_RATELIMIT_NS 1000000ull

void sched_init_cpu(struct cpu *c);
/* A new vCPU: state VCPU_DOWN, any CPU allowed, first placed on `cpu` (index). Not for idle vCPUs. */
void sched_init_vcpu(struct vcpu *v, unsigned cpu);
/* VCPU_DOWN -> runnable (its context is complete). Any other state: nothing. */
void sched_vcpu_up(struct vcpu *v);
/* Make v VCPU_DOWN or VCPU_DEAD. It stops at the guest boundary: at once if it is there or blocked and then
 * passes the boundary, else when it comes to it. Does not wait; for the current vCPU too. */
void sched_vcpu_stop(struct vcpu *v, enum vcpu_state state);
/* d's share of the processors: the usual one. Before its vCPUs are made. */
void sched_init_domain(struct domain *d);
/* d's vCPUs are dead and still: no timer is left. */
void sched_teardown_domain(struct domain *d);
/* Where v may run (hard: one online CPU at least) and where rather. It moves at its next chance. */
void sched_set_affinity(struct vcpu *v, const uint64_t *hard, const uint64_t *soft);
/* Weight (256 is usual; 0: unchanged) and cap (percent of one CPU; 0: none) of all d's vCPUs. 0, -EINVAL. */
int sched_set_share(struct domain *d, unsigned weight, unsigned cap);
/* Make v runnable if it is blocked and not paused; may kick its CPU or an idle one. Any CPU, short. */
void vcpu_wake(struct vcpu *v);
/* The current vCPU waits for an event; returns when woken. */
void vcpu_block(void);
void vcpu_yield(void);
/* v does not run guest code and is outside of any hypercall when this returns (waits; not for the current
 * vCPU). Nests. */
void vcpu_pause(struct vcpu *v);
void vcpu_unpause(struct vcpu *v);
/* The same without waiting; for the current vCPU too: it is held when it comes to the guest boundary. */
void vcpu_pause_nosync(struct vcpu *v);
/* The same for all of a domain's vCPUs but the current. */
void domain_pause(struct domain *d);
void domain_unpause(struct domain *d);

/* Give the CPU to the next vCPU (perhaps the same). Called on the current vCPU's stack with interrupts
 * off and no lock held; returns when this vCPU runs again, perhaps on another CPU. */
void schedule(void);
/* The same where the current vCPU holds nothing, between two requests of a list: it may be held here as at the guest
 * boundary, and goes on when it is let go or its domain dies. */
void sched_rest(void);
/* The exit path's last look: called whenever this CPU's need_resched is set, on the way to the guest, with
 * nothing held; call again until it is clear. A vCPU that is paused, down or dead stays in here. */
void sched_boundary(void);
/* Set need_resched of a CPU and send VECTOR_KICK if it is not this one. */
void sched_kick(unsigned cpu);
/* The endless loop of an idle vCPU. */
__noreturn void idle_loop(void);

/* Given by hv/x86/switch.c: change the machine from prev to next (stacks, roots, windows, segments, FPU,
 * debug registers); returns when prev is switched to again. */
void context_switch(struct vcpu *prev, struct vcpu *next);
/* First thing a vCPU does after it got the CPU: finish what the switch left (release the previous vCPU). */
void sched_switch_tail(void);

/* runstate.c */
void runstate_change(struct vcpu *v, int state, uint64_t now);
/* VCPUOP_get_runstate_info: with the time spent in the current state up to now. */
void runstate_get(struct vcpu *v, struct vcpu_runstate_info *out);
/* VCPUOP_register_runstate_memory_area; va 0 ends it. Written at once if v is the caller. 0, -EFAULT. */
int runstate_register_area(struct vcpu *v, uint64_t va);
/* Write registered runstate and time areas; called on the vCPU's own address space on the way to the guest. */
void runstate_update_area(struct vcpu *v);

#endif
