/* SPDX-License-Identifier: MIT */
/*
 * A fake machine for hv/core: CPUs that take turns at every atomic access, in an order given by a
 * seed. A vCPU is a coroutine on an aligned stack of its own, so that this_cpu() and current_vcpu()
 * work as they are. Time goes on with the steps; when all CPUs are idle it jumps to the next
 * deadline, and when there is none the test has found a lost wake-up.
 */
#ifndef TESTS_HOST_CORE_MACHINE_H
#define TESTS_HOST_CORE_MACHINE_H

#include "core/domain.h"
#include "core/event.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "core/time.h"
#include "core/vtimer.h"

/* What a vCPU's guest does: called again and again, in guest mode. */
typedef void guest_fn(struct vcpu *v);

void machine_start(unsigned cpu_number, uint64_t seed);
struct domain *machine_domain(unsigned id, unsigned vcpus, bool privileged, guest_fn *guest);
/* Run until machine_stop() or, failing the test, until `steps` switches of turn. */
void machine_run(uint64_t steps);
void machine_stop(void);

unsigned machine_random(unsigned limit);
/* Time passes, and nothing happens: the machine's firmware took it. */
void machine_stand_still(uint64_t ns);
/* How often v was in its guest. */
uint64_t guest_turns(const struct vcpu *v);
/* Take the interrupts that wait for this CPU and pass the exit path, as a guest does between any
 * two instructions. */
void guest_instruction(struct vcpu *v);
__noreturn void machine_fail(const char *fmt, ...) __printf(1, 2);

/* Interrupt sources that irq_startup enabled, and failures to order. */
extern bool fake_irq_started[];
extern int fake_irq_error;
extern bool machine_crowded; /* new vCPUs all start on CPU 0 */
extern bool machine_uneven;  /* now and then a CPU stands still for long, wherever it is */
extern bool fake_copy_fails;
extern unsigned fake_heap_budget; /* allocations left; ~0: no end */

#endif
