/* SPDX-License-Identifier: MIT */
/* What sched.c shares with its neighbours pause.c and runstate.c only. */
#ifndef CORE_SCHED_INTERNAL_H
#define CORE_SCHED_INTERNAL_H

#include "core/domain.h"
#include "core/sched.h"

/* Lock the run queue that v belongs to; v->cpu does not change while it is held. */
struct cpu *sched_lock_vcpu(struct vcpu *v);

/* With v's run-queue lock: may v be given a CPU? (sched.c explains the rule.) */
bool sched_eligible(const struct vcpu *v);

/* With v's run-queue lock, which is released: put v on a queue if it may run and is not there yet.
 */
void sched_settle(struct cpu *c, struct vcpu *v);

/* sched_cap.c. With the run-queue lock of a CPU where a vCPU of d ran for so long: may end its budget. */
void sched_cap_charge(struct domain *d, uint64_t ran, uint64_t now);
/* When a vCPU of d that runs from now on will have spent it; 0: d has no cap. */
uint64_t sched_cap_end(struct domain *d, uint64_t now);

/* With v's run-queue lock: take v off its queue if it is on one. */
void sched_dequeue(struct cpu *c, struct vcpu *v);

/* Give the CPU away; while it is away the caller counts as being at the guest boundary. For one who
 * holds nothing. */
void sched_yield_parkable(void);

#endif
