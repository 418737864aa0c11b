/* SPDX-License-Identifier: MIT */
/* The guest's own record of each vCPU, found at the base of its stack. */
#ifndef BARE_VCPU_H
#define BARE_VCPU_H

#include <bare/hypercall.h>
#include <bare/trap.h>

#define VCPU_STACK 16384ul
#define VCPU_MAX   8

struct vcpu {
    uint64_t guard_sp; /* stack to resume at on an expected fault; 0: none */
    uint64_t user_sp;  /* the same for a return from user mode; 0: not there */
    unsigned int id;
    struct trap_fault fault;
    struct trap_frame exit; /* how user mode ended */
    uint64_t exit_address;
    void (*volatile work)(void *);
    void *volatile arg;
    volatile uint64_t beats; /* timer events seen */
};

static inline struct vcpu *vcpu_self(void)
{
    uint64_t sp;

    __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
    return (struct vcpu *)(sp & ~(VCPU_STACK - 1));
}

/* Boot vCPU id (its first use makes its stack) and run fn(arg) on it. */
void vcpu_run(unsigned int id, void (*fn)(void *), void *arg);
void vcpu_join(unsigned int id); /* until fn returned */
unsigned int vcpu_count(void);   /* vCPUs the domain has, counted by asking */
/* Fill a context that enters at fn with a stack whose top is given. */
void vcpu_context(struct vcpu_guest_context *c, void (*fn)(void), uint64_t stack_top);
void vcpu_yield(void);

#endif
