/* SPDX-License-Identifier: MIT */
/* The timers that a vCPU sets for itself: VIRQ_TIMER once or again and again; and the timeout of a poll. */
#ifndef CORE_VTIMER_H
#define CORE_VTIMER_H

#include "core/vcpu.h"

void vtimer_init_vcpu(struct vcpu *v);
/* Stop all of them for good: v is DEAD. */
void vtimer_teardown_vcpu(struct vcpu *v);

/* VIRQ_TIMER at system time abs_ns (any value; past: at once). flags: VCPU_SSHOTTMR_future: -ETIME if it has passed. The
 * caller is v. 0, -ETIME, -EINVAL (unknown flags), -ENOMEM. */
int vcpu_set_singleshot(struct vcpu *v, uint64_t abs_ns, uint32_t flags);
void vcpu_stop_singleshot(struct vcpu *v);
/* VIRQ_TIMER every period_ns, 1 ms at least: 0, -EINVAL, -ENOMEM. Periods that were missed are skipped. */
int vcpu_set_periodic(struct vcpu *v, uint64_t period_ns);
void vcpu_stop_periodic(struct vcpu *v);

#endif
