/* SPDX-License-Identifier: MIT */
/* System time: nanoseconds since boot, the same on all CPUs, from the TSC. */
#ifndef CORE_TIME_H
#define CORE_TIME_H

#include "base/types.h"
#include "core/vcpu.h"

/* tsc -> ns: ((tsc - tsc_base) shifted by shift) * mul >> 32, + ns_base: as in struct vcpu_time_info. */
struct time_scale {
    uint64_t tsc_base, ns_base;
    uint32_t mul;
    int8_t shift;
};
extern struct time_scale time_scale;
extern uint64_t tsc_hz;
extern bool time_tsc_stable; /* synchronised on all CPUs: guests may read it without a hypercall */

/* System time starts, at 0, by tsc_hz; once, when clock_init() knows it. Before, time_now() is 0. */
void time_start(void);

uint64_t time_now(void);                  /* ns */
uint64_t time_tsc_of(uint64_t system_ns); /* the inverse, for deadlines */

/* Wall clock at system time 0; from the CMOS clock at boot, changed by domain 0 (XENPF_settime64). */
void time_init_wallclock(void);
/* It is sec.nsec since 1970 at system_ns: all domains are told. 0, -EINVAL. */
int time_set_wallclock(uint64_t sec, uint32_t nsec, uint64_t system_ns);
void time_publish_wallclock(struct domain *d); /* into shared info */

/* Write v's vcpu_time_info into its vcpu_info: when v is created and when its vcpu_info moves. */
void time_update_vcpu(struct vcpu *v);
/* VCPUOP_register_vcpu_time_memory_area by the current vCPU for v of the same domain; va 0 ends it. 0, -EFAULT. */
int time_register_area(struct vcpu *v, uint64_t va);

/* Given by hv/dev (lapic.c): make VECTOR_TIMER fire at this system time on the calling CPU. 0: no deadline. */
uint64_t clock_event_program(uint64_t system_ns);

#endif
